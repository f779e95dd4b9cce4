"""The consoles of one machine share what they load: one process has it ready and forks a client per terminal.

On a machine with three terminals and one slow processor, loading is most of what a console costs before its
first page. `twinboot-console` asks at SOCKET and hands its terminal over (SCM_RIGHTS, unix(7)); where nobody
answers it loads everything itself. Asker and client live and die together: each sees the connection end.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import termios
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

SOCKET = Path("/run/twinboot-prefork.sock")
LISTENING = 3
"""The descriptor a socket unit hands over (sd_listen_fds(3))."""

STARTS = 180.0
"""Seconds for a client to be there; loading takes half a minute on a slow machine that still starts."""

HUNG_UP = 128 + signal.SIGHUP
MOST = 1 << 18
Run = Callable[[str, str], None]
"""The application on descriptors 0 to 2: the terminal's name and its mode."""


def ask(name: str, mode: str, at: Path = SOCKET) -> int | None:
    """Have a client run on this terminal; its exit status, HUNG_UP where it says none.

    None where nobody answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.settimeout(STARTS)
            line.connect(str(at))
            wish = json.dumps([name, mode, dict(os.environ), os.getcwd()]).encode() + b"\n"
            socket.send_fds(line, [wish], [0, 1, 2])
            if line.recv(1) != b"s":
                return None
        except OSError:
            return None
        line.settimeout(None)
        with contextlib.suppress(OSError):
            if status := line.recv(1):
                return status[0]
        return HUNG_UP


def serve(listening: socket.socket, run: Run) -> None:
    """Fork a client for each that asks; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here
    while True:
        line, _ = listening.accept()
        with line:
            if not os.fork():
                listening.close()
                os._exit(_client(line, run))


def _client(line: socket.socket, run: Run) -> int:
    """In the new process: take the terminal over, run, say how it ended."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        name, mode = _take_over(line)
        threading.Thread(target=_watch, args=(line,), name="asker", daemon=True).start()
        run(name, mode)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  what a terminal shows of it is all there will be
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        line.send(bytes([status]))
    return status


def _take_over(line: socket.socket) -> tuple[str, str]:
    """The asker's terminal, environment and folder become this process's own.

    The terminal controls this process from now on, so that keys, a new size and a hang-up reach it, not the
    asker (TIOCSCTTY with 1 takes it from another session: ioctl_tty(2)).
    """
    text, fds = b"", array.array("i")
    while not text.endswith(b"\n"):
        part, more, _, _ = socket.recv_fds(line, MOST, 3)
        fds.extend(more)
        if not part:
            raise EOFError("the asker is gone")
        text += part
    name, mode, environment, folder = json.loads(text)
    line.send(b"s")
    os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    with contextlib.suppress(OSError):
        fcntl.ioctl(0, termios.TIOCSCTTY, 1)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    return name, mode


def _watch(line: socket.socket) -> None:
    """Nothing outlives the one it was started for."""
    with contextlib.suppress(OSError):
        line.recv(1)
    os._exit(HUNG_UP)


def listen(load: Callable[[], Run]) -> int:
    """A service with a listening socket (systemd.socket(5)): load once, then serve. Never returns."""
    run = load()
    with socket.socket(fileno=LISTENING) as listening:
        serve(listening, run)
    return 0
