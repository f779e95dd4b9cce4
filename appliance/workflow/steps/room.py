"""While a twin stands: how full the room for snapshots is and what the twin uses; and the brake (P7).

A thin pool that fills takes the installed system with it, so the twin is paused before that and the run ends.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from appliance.errors import ApplianceError, OutOfSpace, TwinFailed
from appliance.model.events import Gauge, Line
from appliance.model.plan import FULL
from appliance.twin.hypervisor import Hypervisor, Load
from appliance.volumes.base import RehearsalStore, Snapshot, Use
from appliance.workflow.runner import Context, Stop

EVERY = 5.0
"""Seconds between two looks. A fast disk writes a few GiB in that time, a fifth of a pool is more."""

OFTEN = 1.0
"""The same where the room is small: memory takes some hundred MiB in that time."""

GIB = 2**30


@dataclass(slots=True)
class Room:
    """What a look at one twin needs, and what the last one saw.

    `root` is the volume that its root lies on; `more`: how its room could be made larger.
    """

    store: RehearsalStore
    root: Snapshot
    hypervisor: Hypervisor
    twin: str
    ctx: Context
    more: str = "Retire volumes that are no longer wanted (B), or give the pool more room."
    _known: frozenset[str] = frozenset()
    _told: dict[str, str] = field(default_factory=dict)
    _before: tuple[float, Load] | None = None

    def look(self) -> None:
        """One look: tell what has changed, pause where the limit is passed. Never raises."""
        self._look_at_room()
        try:
            self._tell_load(self.hypervisor.load(self.twin), time.monotonic())
        except TwinFailed:
            self._before = None

    def _look_at_room(self) -> None:
        try:
            uses = self.store.uses(self.root)
        except ApplianceError:
            for name in self._known:  # between two lives of the pool: it is asked again
                self._tell(name, "not known", -1.0)
            return
        gauges = gauges_of(uses)
        self._known = frozenset(gauge.name for gauge in gauges)
        for gauge in gauges:
            self._tell(gauge.name, gauge.text, gauge.fraction)
        used = max((use.percent for use in uses if use.fills), default=0.0)
        if used > FULL:
            self._brake(used)

    def _brake(self, used: float) -> None:
        stop = self.ctx.cancel
        if stop.is_set():
            return
        full = OutOfSpace(
            f"The room for snapshots is {used:.0f} % full, the limit is {FULL:.0f} %: the twin was"
            " paused, the run ends and what it made is removed.",
            next_actions=(self.more, "Rehearse fewer patches at once."),
        )
        try:
            self.hypervisor.pause(self.twin)
        except TwinFailed as error:
            self.ctx.tell(Line(source="disk", level="error", text=error.what))
        self.ctx.tell(Line(source="disk", level="error", text=full.what))
        if isinstance(stop, Stop):
            stop.because(full)
        else:
            stop.set()

    def _tell_load(self, now: Load, at: float) -> None:
        if self._before is not None and at > self._before[0]:
            seconds, used = at - self._before[0], now.cpu - self._before[1].cpu
            share = max(0.0, min(1.0, used / seconds / max(1, now.cpus)))
            self._tell("VM processors", f"{share * 100:.0f} % of {now.cpus}", share)
        self._before = (at, now)
        text = f"{now.memory / GIB:.1f} of {now.most / GIB:.1f} GiB"
        self._tell("VM memory", text, now.memory / now.most if now.most else -1.0)

    def _tell(self, name: str, text: str, fraction: float) -> None:
        if self._told.get(name) != text:
            self._told[name] = text
            self.ctx.tell(Gauge(name=name, text=text, fraction=min(1.0, fraction)))


def gauges_of(uses: tuple[Use, ...]) -> tuple[Gauge, ...]:
    """How full each of them is, as it is shown."""
    return tuple(
        Gauge(name=f"{use.what} used", text=f"{use.percent:.0f} %", fraction=use.percent / 100)
        for use in uses
    )


def watch(room: Room, stop: threading.Event, every: float = EVERY) -> threading.Thread:
    """Look every `every` seconds until `stop`, in a thread of its own."""

    def looks() -> None:
        while not stop.wait(every):
            room.look()

    thread = threading.Thread(target=looks, name=f"room of {room.twin}", daemon=True)
    thread.start()
    return thread
