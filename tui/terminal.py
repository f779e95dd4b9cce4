"""What the terminal at hand can show: its mode, its size, its name. Runs before Textual does."""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import re
import select
import struct
import termios
import time
import tty
from pathlib import Path


class Mode(enum.Enum):
    """RICH: 16 colours, lines and blocks. BASIC: pure ASCII, readable without colour."""

    RICH = "rich"
    BASIC = "basic"


LEAST_COLUMNS, LEAST_ROWS = 80, 24
PROBE_SECONDS = 0.5
_CURSOR_REPORT = re.compile(rb"\x1b\[(\d{1,4});(\d{1,4})R")
_SERIAL = re.compile(r"^(ttyS|ttyAMA|ttyUSB|ttyACM|hvc|hvsi|xvc|sclp|3270)")
_VT = re.compile(r"^tty\d+$")
_PLAIN_TERMS = ("", "dumb", "unknown", "network")


def own_name() -> str:
    """The terminal's name without /dev/, "tty1" or "ttyS0"; "console" where there is none."""
    try:
        return os.ttyname(0).removeprefix("/dev/")
    except OSError:
        return "console"


def is_serial(name: str) -> bool:
    return bool(_SERIAL.match(name))


def is_screen(name: str) -> bool:
    """Whether this is a virtual console of the machine's own screen and keyboard."""
    return bool(_VT.match(name))


def choose_mode(name: str, term: str, locale: str) -> Mode:
    """Serial lines and vt100-likes start BASIC; the VT and UTF-8 terminals start RICH."""
    if is_serial(name) or term.startswith(("vt", "ansi")) or term in _PLAIN_TERMS:
        return Mode.BASIC
    if _VT.match(name) or term == "linux":
        return Mode.RICH
    return Mode.RICH if "utf-8" in locale.lower() or "utf8" in locale.lower() else Mode.BASIC


def memory_of(name: str) -> Path:
    """Where the mode a terminal was switched to is kept for as long as the image runs."""
    folder = os.environ.get("TWINBOOT_RUNTIME", "/run/twinboot")
    return Path(folder) / f"console-{re.sub(r'[^A-Za-z0-9_-]', '-', name)}.mode"


def remember_mode(name: str, mode: Mode) -> None:
    """Best effort: a console that cannot write starts with the usual mode next time."""
    with contextlib.suppress(OSError):
        memory_of(name).write_text(mode.value)


def remembered_mode(name: str) -> Mode | None:
    try:
        return Mode(memory_of(name).read_text().strip())
    except (OSError, ValueError):
        return None


def can_show(term: str) -> bool:
    """False where full-screen codes would only be rubbish."""
    return term not in _PLAIN_TERMS


def size_of(fd: int) -> tuple[int, int]:
    """Rows and columns the kernel knows for `fd`; 0, 0 on a serial line nobody told."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
    except OSError:
        return 0, 0
    return rows, columns


def set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def probe_size(fd: int, limit: float = PROBE_SECONDS) -> tuple[int, int] | None:
    """Ask the terminal itself: cursor to the far corner, report, back. None when it does not answer.

    Whatever else arrives in that time is dropped: late answers would be taken for keys.
    """
    try:
        before = termios.tcgetattr(fd)
    except termios.error:
        return None
    try:
        tty.setraw(fd)
        os.write(fd, b"\x1b7\x1b[999;999H\x1b[6n\x1b8")
        answer = _read_report(fd, time.monotonic() + limit)
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
    if answer is None:
        return None
    rows, columns = int(answer.group(1)), int(answer.group(2))
    return (rows, columns) if rows >= 2 and columns >= 2 else None


def _read_report(fd: int, deadline: float) -> re.Match[bytes] | None:
    heard = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            return None
        heard = (heard + os.read(fd, 256))[-256:]
        if found := _CURSOR_REPORT.search(heard):
            return found
    return None


def settle_size(fd: int) -> tuple[int, int]:
    """Make sure the kernel knows a size for `fd`: its own, else the terminal's answer, else 24x80."""
    rows, columns = size_of(fd)
    if rows and columns:
        return rows, columns
    rows, columns = probe_size(fd) or (LEAST_ROWS, LEAST_COLUMNS)
    set_size(fd, rows, columns)
    return rows, columns
