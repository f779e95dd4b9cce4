"""How often a page that changes by itself may be drawn: the processor belongs to the twin.

A page costs 20 ms on a fast processor and half a second on an emulated one. Drawn each second there, the
consoles would take half of what the twin needs. What somebody does is shown at once on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.03
"""Of one processor: what drawing by itself may take of it in the long run."""

LONGEST = 15.0
"""Seconds: no machine is so slow that its page may be older."""


class Pace:
    """`spent` is the processor time of this process in seconds; `share` of it, at most 1, is the limit."""

    def __init__(
        self,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        self.share, self.clock, self.spent = share, clock, spent
        self._next = 0.0
        self._begun = 0.0

    def due(self) -> bool:
        """Whether it is time to draw; then drawing begins, and `drawn` is to be called at its end."""
        if self.clock() < self._next:
            return False
        self._begun = self.spent()
        return True

    def drawn(self) -> None:
        """The page is on the terminal: rest as long as that cost asks for."""
        cost = max(0.0, self.spent() - self._begun)
        self._next = self.clock() + min(LONGEST, cost / self.share)

    def hurry(self) -> None:
        """Somebody is at the keys: the next look is due."""
        self._next = 0.0
