"""The one stream of events: everything that happens is published here, everybody else reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import cast

import msgspec

from appliance.model.events import AnyEvent, Event

KEEP = 20_000


class Bus:
    """Thread-safe. Keeps the last 20,000 events for clients that come late; numbers start at 1."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[AnyEvent] = []
        self._dropped = 0
        self._listeners: list[Callable[[AnyEvent], None]] = []
        self.run = ""

    @property
    def last_seq(self) -> int:
        return self._dropped + len(self._events)

    def kept(self) -> tuple[AnyEvent, ...]:
        """Every event that is still known, oldest first."""
        with self._lock:
            return tuple(self._events)

    def publish(self, event: Event) -> None:
        """Stamp the event with time, number and run, and tell every listener, in order."""
        with self._lock:
            stamped = cast(
                AnyEvent,
                msgspec.structs.replace(
                    event, at=event.at or time.time(), seq=self.last_seq + 1, run=event.run or self.run
                ),
            )
            self._events.append(stamped)
            if len(self._events) > KEEP:
                self._events.pop(0)
                self._dropped += 1
            for listener in self._listeners:
                listener(stamped)

    def follow(self, since: int, listener: Callable[[AnyEvent], None]) -> None:
        """Hand `listener` every kept event after number `since`, then every new one."""
        with self._lock:
            for event in self._events[max(0, since - self._dropped) :]:
                listener(event)
            self._listeners.append(listener)

    def leave(self, listener: Callable[[AnyEvent], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
