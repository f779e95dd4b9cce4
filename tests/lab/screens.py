"""A machine's terminals as a person sees and uses them: the screen (tty1) and the serial line (ttyS0).

Both are the same to a test: the text that stands there, and keys. Nothing else goes in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from appliance.twin.terminal import COLUMNS
from appliance.twin.terminal import Terminal as TwinTerminal
from tests.lab.console import Console
from tests.lab.machine import Machine
from tests.lab.native import LabError

AT_ONCE = 16_000
"""Characters drawn at once: of more than 64 KiB a twin's terminal draws the end only."""

SERIAL_KEYS = {"enter": "\r", "escape": "\x1b", "down": "\x1b[B", "up": "\x1b[A", "ctrl+]": "\x1d"}
QCODES = {"enter": "ret", "escape": "esc", " ": "spc", "-": "minus"}
"""Names of QEMU's send-key (QAPI, QKeyCode)."""
SHIFTED = {"+": "equal"}
"""What stands above another character on a US keyboard."""


SOON = 180.0
"""Seconds in which an emulated machine answers a key, at most."""


class Terminal(Protocol):
    """What a person has before them."""

    def text(self) -> str:
        """The whole screen, rows joined by newlines."""

    def press(self, *keys: str) -> None:
        """Names as in Textual ("enter", "escape", "down"), or single characters."""


class SerialTerminal:
    """ttyS0, drawn from everything the line has said so far: firmware, loader, kernel and console alike."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._terminal = TwinTerminal()
        self._drawn = 0

    def text(self) -> str:
        said = self._console.text
        for at in range(self._drawn, len(said), AT_ONCE):
            self._terminal.feed(said[at : at + AT_ONCE].encode())
        self._drawn = len(said)
        return "\n".join(row.text for _, row in self._terminal.view().rows)

    def press(self, *keys: str) -> None:
        for key in keys:
            self._console.send(SERIAL_KEYS.get(key, key))


class ScreenTerminal:
    """tty1: keys by the emulated keyboard, the text as the kernel holds it (vcs(4)), read over `shell`."""

    def __init__(self, machine: Machine, shell: Console) -> None:
        self._machine = machine
        self._shell = shell

    def text(self) -> str:
        return self._shell.read(f"fold -b -w {COLUMNS} /dev/vcs1")  # which has no ends of lines

    def press(self, *keys: str) -> None:
        _press(self._machine, keys)


class BareScreen:
    """The screen of a machine that has no shell yet: what its card shows in text mode."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def text(self) -> str:
        return self._machine.vga_text()

    def press(self, *keys: str) -> None:
        _press(self._machine, keys)


def _press(machine: Machine, keys: tuple[str, ...]) -> None:
    """On a US keyboard."""
    for key in keys:
        if key in SHIFTED or key.isupper():
            machine.press("shift", SHIFTED.get(key, key.lower()))
        else:
            machine.press(QCODES.get(key, key))


def sees(terminal: Terminal, *texts: str, limit: float, never: str = "REFUSED") -> str:
    """The screen once all `texts` stand on it. LabError, with the screen, after `limit` s or at `never`."""

    def there(screen: str) -> bool:
        if never in screen:
            raise LabError(f"{never} stands on the screen:\n{screen}")
        return all(text in screen for text in texts)

    return _until(terminal.text, there, limit, " and ".join(texts))


@contextmanager
def twins_keyboard(terminal: Terminal) -> Iterator[None]:
    """From the page of a run that waits for a person: keys go to its twin's own console meanwhile."""
    terminal.press("w")
    sees(terminal, "You are root in the TWIN of this machine", limit=SOON)
    terminal.press("i")
    sees(terminal, "KEYBOARD IS THE VM'S", limit=SOON)
    yield
    terminal.press("ctrl+]")
    sees(terminal, "READ ONLY", limit=SOON)


def go_on(terminal: Terminal) -> None:
    """The work by hand is done."""
    terminal.press("g")
    sees(terminal, "type yes and press Enter", limit=SOON)
    terminal.press(*"yes", "enter")


def _until(look: Callable[[], str], there: Callable[[str], bool], limit: float, what: str) -> str:
    deadline = time.monotonic() + limit
    while not there(screen := look()):
        if time.monotonic() > deadline:
            raise LabError(f"not on the screen within {limit:.0f} s: {what}. It shows:\n{screen}")
        time.sleep(2)
    return screen
