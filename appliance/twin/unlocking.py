"""The passphrase of the twin's disk, typed where its initrd asks for it: on a serial line, or its screen.

On the line the question is read. On the screen it may be drawn (Plymouth), so there the twin is taken to ask
once it does nothing at all. What is typed then does no harm where nobody asks: spaces, and Enter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.errors import TwinFailed
from appliance.twin.console import clean
from appliance.twin.hypervisor import BlockStats, Load
from appliance.twin.own_key import PASSPHRASE

# cryptsetup-initramfs' cryptroot, and systemd's cryptsetup in an initrd of dracut.
_ASKS = re.compile(r"(?:Please unlock disk|Please enter passphrase for disk) \S.*:\Z")

SPACE, ENTER = 57, 28
"""Keys as Linux numbers them (input-event-codes.h)."""

QUIET = 5.0
"""Seconds that a twin does nothing before it is taken to ask."""

IDLE = 0.25
"""Of one processor: what a twin that does nothing uses at most, emulated too. GRUB's wait takes all of it."""

LET_IN = 4 << 20
"""Bytes read after an answer, by which it was taken: asked again, a twin reads nothing."""

MOST = 5
"""Answers on the screen in one start: the keyboard may not be there yet."""


class Unlocking(Protocol):
    """Answers the question for the passphrase, in every start of the twin."""

    def begin(self) -> None:
        """The twin is about to start: what it said so far is no question."""

    def look(self) -> None:
        """Answer where the twin asks; to be called about once a second while it starts.

        Raises TwinFailed where it asks again.
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


class Twins(Protocol):
    """What is asked of the hypervisor; `twin.hypervisor.Hypervisor` in the product."""

    def load(self, name: str) -> Load: ...
    def block_stats(self, name: str) -> BlockStats: ...
    def press(self, name: str, key: int) -> None: ...


class OnTheScreen:
    """Presses keys where the twin `name` does nothing, a few times in every start, until it is let in.

    `clock` is in seconds, and stands still while the twin does.
    """

    def __init__(self, name: str, twins: Twins, clock: Callable[[], float]) -> None:
        self._name = name
        self._twins = twins
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        self._last: tuple[float, float, int] | None = None
        self._quiet_since: float | None = None
        self._answers = 0
        self._read_then = 0

    def end(self) -> None:
        """Nothing is held."""

    def look(self) -> None:
        if self._answers > MOST:
            return
        try:
            seen = (self._clock(), self._twins.load(self._name).cpu, self._twins.block_stats(self._name).read)
        except TwinFailed:
            return  # it is going off: who waits for it will say so
        last, self._last = self._last, seen
        if self._answers and seen[2] - self._read_then > LET_IN:
            self._answers = MOST + 1
        elif last is None or not self._idle(last, seen):
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = last[0]
        if self._quiet_since is not None and seen[0] - self._quiet_since >= QUIET and self._answers < MOST:
            self._answer(seen[2])

    def _answer(self, read: int) -> None:
        self._answers += 1
        self._read_then, self._quiet_since = read, None
        for key in (*[SPACE] * len(PASSPHRASE), ENTER):
            self._twins.press(self._name, key)

    def _idle(self, last: tuple[float, float, int], seen: tuple[float, float, int]) -> bool:
        """Between two looks: it has read its disk before, reads nothing, and hardly computes."""
        seconds = seen[0] - last[0]
        return seconds > 0 and 0 < seen[2] == last[2] and seen[1] - last[1] <= IDLE * seconds
