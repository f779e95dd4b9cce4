"""Watches the room while a twin runs: a pool that fills would take the installed system with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from appliance.errors import ApplianceError, OutOfSpace
from appliance.volumes.base import SnapshotStore


@dataclass(slots=True)
class SpaceWatch:
    """What a watch has seen so far. `full` is the percentage at which it acted, 0 while it has not."""

    full: float = 0.0
    blind: str = ""
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises OutOfSpace once the limit was passed. For callers between two long steps."""
        if self.full:
            raise OutOfSpace(f"The twin was paused: the room for snapshots is {self.full:.0f} % full.")


@contextmanager
def watched(
    store: SnapshotStore,
    limit: float,
    pause: Callable[[], None],
    tell: Callable[[float], None] = lambda _: None,
    every: float = 1.0,
) -> Iterator[SpaceWatch]:
    """Ask `store` every `every` seconds; call `pause` once, when more than `limit` percent is used.

    `tell` hears every answer. A store that does not answer is asked again; `blind` keeps its last words.
    At the end of the block OutOfSpace is raised if the limit was passed, unless something else was raised.
    """
    watch = SpaceWatch()

    def look() -> None:
        while not watch._ended.wait(every):
            try:
                used = store.fullest()
                watch.blind = ""
            except ApplianceError as error:
                watch.blind = error.what
                continue
            tell(used)
            if used > limit and not watch.full:
                pause()
                watch.full = used

    thread = threading.Thread(target=look, name="space-watch", daemon=True)
    thread.start()
    try:
        yield watch
        watch.check()
    finally:
        watch._ended.set()
        thread.join(10)
