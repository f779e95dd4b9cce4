"""The passphrase of the twin's disk, typed where its initrd asks for it: on a serial line, where the question
is read, or (`unlocking_screen`) on its screen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.errors import TwinFailed
from appliance.twin.console import clean
from appliance.twin.own_key import PASSPHRASE

# cryptsetup-initramfs' cryptroot, and systemd's cryptsetup in an initrd of dracut.
_ASKS = re.compile(r"(?:Please unlock disk|Please enter passphrase for disk) \S.*:\Z")


class Unlocking(Protocol):
    """Answers the question for the passphrase, in every start of the twin."""

    def begin(self) -> None:
        """The twin is about to start: what it said so far is no question."""

    def look(self) -> None:
        """Answer where the twin asks; to be called about once a second while it starts.

        Raises TwinFailed where it is certain that the answer was not taken.
        """

    def end(self) -> None:
        """Let go of what is typed on; nothing happens the second time."""


class NothingAsked:
    """Of a twin whose disk is not encrypted."""

    def begin(self) -> None: ...
    def look(self) -> None: ...
    def end(self) -> None: ...


class Line(Protocol):
    """What is typed on; `twin.lines.ConsoleLine` in the product."""

    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class OnTheLine:
    """Answers once in every start. What it types stands in no log: the prompt echoes nothing.

    `log` is what the twin says on its first serial line; `open_line` opens it to type on.
    """

    def __init__(self, log: Path, open_line: Callable[[], Line]) -> None:
        self._log = log
        self._open_line = open_line
        self._since = 0
        self._seen = self._answered = -1
        self._line: Line | None = None

    def begin(self) -> None:
        self._since = self._log.stat().st_size if self._log.exists() else 0
        self._seen = self._answered = -1
        self.end()

    def end(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def look(self) -> None:
        asked = self._asked()
        if asked < 0:
            self.end()  # what was typed has been read
        elif asked > self._seen:
            self._seen = asked  # seen once: it may not have stopped echoing what is typed
        elif asked > self._answered:
            self._answer(asked)

    def _answer(self, asked: int) -> None:
        if self._answered >= 0:
            raise TwinFailed("The twin's disk does not open, though its passphrase was typed.")
        self._answered = asked
        self._line = self._open_line()
        self._line.send(PASSPHRASE + b"\n")

    def _asked(self) -> int:
        """Where in the log the question begins that stands at its end; -1 where none does."""
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, 2)
                start = log.seek(max(self._since, end - 4096))
                data = log.read(end - start)
        except FileNotFoundError:
            return -1
        at = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data.rstrip()))) + 1
        return start + at if _ASKS.search(clean(data[at:].decode(errors="replace"))) else -1
