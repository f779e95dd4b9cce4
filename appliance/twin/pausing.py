"""A twin that stands still: whoever waits for it waits on, and no time limit of theirs runs meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from appliance.errors import Cancelled, Refused
from appliance.twin.guest import Channel

PATIENCE = 65.0
"""Seconds a pause waits for the agent's answers under way: one may take 60, and a twin that stands still
would never give it."""


class Pausing:
    """Thread-safe. The run calls `clock`, `call` and `undisturbed`; an operator `pause` and `resume`."""

    def __init__(self, cancelled: Callable[[], bool], time_of: Callable[[], float] = time.monotonic) -> None:
        self._cancelled = cancelled
        self._time_of = time_of
        self._changed = threading.Condition()
        self._calls = 0
        self._wanted = False
        self._since: float | None = None
        self._stood = 0.0
        self._not_now = ""

    @property
    def paused(self) -> bool:
        return self._since is not None

    def clock(self) -> float:
        """Seconds that count against limits: the monotonic clock without the time paused."""
        with self._changed:
            since = self._since
            return (self._time_of() if since is None else since) - self._stood

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around what only a running twin answers: waits until it runs. Raises Cancelled."""
        with self._changed:
            self._wait_until_it_runs()
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextmanager
    def undisturbed(self, why: str) -> Iterator[None]:
        """Around what must not stand still; `why` is the sentence a pause is refused with meanwhile."""
        with self._changed:
            self._wait_until_it_runs()
            self._not_now = why
        try:
            yield
        finally:
            with self._changed:
                self._not_now = ""

    def _wait_until_it_runs(self) -> None:
        while self._wanted or self.paused:
            if self._cancelled():
                raise Cancelled("The operator stopped the run while its twin was paused.")
            self._changed.wait(0.5)

    def pause(self, suspend: Callable[[], None], patience: float = PATIENCE) -> None:
        """Let calls under way end, then `suspend`. Raises Refused where that can not be, or need not."""
        with self._changed:
            if self.paused or self._wanted:
                raise Refused(("The run is paused already.",))
            if self._not_now:
                raise Refused((self._not_now,))
            self._wanted = True
            try:
                if not self._changed.wait_for(lambda: not self._calls, patience):
                    raise Refused(("The twin is answering a question: pause again in a minute.",))
                suspend()
                self._since = self._time_of()
            finally:
                self._wanted = False
                self._changed.notify_all()

    def resume(self, go_on: Callable[[], None]) -> float:
        """`go_on`, and let everybody go on; seconds it stood still. Raises Refused where it does not."""
        with self._changed:
            if self._since is None:
                raise Refused(("The run is not paused.",))
            go_on()
            return self._end()

    def forget(self) -> None:
        """The twin is gone or begins anew: nothing stands still any more."""
        with self._changed:
            self._end()

    def _end(self) -> float:
        stood = self._time_of() - self._since if self._since is not None else 0.0
        self._stood += stood
        self._since = None
        self._changed.notify_all()
        return stood


@dataclass(frozen=True, slots=True)
class PausableChannel:
    """guest.Channel of a twin that may stand still."""

    channel: Channel
    pausing: Pausing

    def call(self, command: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        with self.pausing.call():
            return self.channel.call(command, arguments, timeout)
