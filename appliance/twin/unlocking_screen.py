"""The passphrase of the twin's disk, typed by its keyboard where it asks on its screen.

The question may be drawn (Plymouth), so the twin is taken to ask once it does nothing at all. What is typed
then does no harm where nobody asks: spaces, and Enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from appliance.errors import TwinFailed
from appliance.twin.hypervisor import BlockStats, Load
from appliance.twin.own_key import PASSPHRASE

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
