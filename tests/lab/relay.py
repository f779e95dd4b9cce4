"""Joins standard input and output to 127.0.0.1:PORT: QEMU's user network starts one per guest connection."""

from __future__ import annotations

import os
import socket
import sys
import threading


def _upstream(connection: socket.socket) -> None:
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def main() -> None:
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=_upstream, args=(connection,), daemon=True).start()
    while data := connection.recv(65536):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
