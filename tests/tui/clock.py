"""A clock the console can be shown at: still for golden screens, running for replays at their pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_STRFTIME, _MONOTONIC = time.strftime, time.monotonic


class Clock:
    """Seconds since the epoch from `start` on, `pace` times as fast as real time; 0 stands still."""

    def __init__(self, start: float, pace: float = 0.0) -> None:
        self.pace = pace
        self.limit = float("inf")
        self.set(start)

    def set(self, at: float, limit: float = float("inf")) -> None:
        """It is `at` at this moment, and never later than `limit`."""
        self._start, self._since, self.limit = at, _MONOTONIC(), limit

    def time(self) -> float:
        return min(self.limit, self._start + (_MONOTONIC() - self._since) * self.pace)

    def strftime(self, form: str, at: time.struct_time | None = None) -> str:
        return _STRFTIME(form, time.localtime(self.time()) if at is None else at)

    @contextmanager
    def told(self) -> Iterator[Clock]:
        """Everybody who asks `time.time()` or `time.strftime()` in this process is told this time."""
        kept = time.time, time.strftime
        time.time, time.strftime = self.time, self.strftime  # type: ignore[assignment]
        try:
            yield self
        finally:
            time.time, time.strftime = kept
