"""A mail server that takes every message and keeps it: what a machine sends is seen, and counted."""

from __future__ import annotations

import socketserver
import threading


class _Conversation(socketserver.StreamRequestHandler):
    """SMTP (RFC 5321) as far as a relay's client needs it: everything is accepted."""

    timeout = 120

    def handle(self) -> None:
        self._say("220 lab mail")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"DATA":
                    self._say("354 go on")
                    self._keep()
                    self._say("250 kept")
                case b"QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _keep(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b".\n", b""):
            lines.append(line)
        assert isinstance(self.server, MailServer)
        self.server.messages.append(b"".join(lines).decode(errors="replace"))

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class MailServer(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1 until `stop`; what comes is added to `messages`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, messages: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.messages = messages
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
