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
from appliance.volumes.base import RehearsalStore
from appliance.workflow.runner import Context, Stop

EVERY = 5.0
"""Seconds between two looks. A fast disk writes a few GiB in that time, a fifth of a pool is more."""

OFTEN = 1.0
"""The same where the room is small: memory takes some hundred MiB in that time."""

GIB = 2**30


@dataclass(slots=True)
class Room:
    """What a look at one twin needs, and what the last one saw. `more`: how its room could be made larger."""

    store: RehearsalStore
    hypervisor: Hypervisor
    twin: str
    ctx: Context
    more: str = "Retire volumes that are no longer wanted (B), or give the pool more room."
    _told: dict[str, str] = field(default_factory=dict)
    _before: tuple[float, Load] | None = None

    def look(self) -> None:
        """One look: tell what has changed, pause where the limit is passed. Never raises."""
        try:
            used = self.store.fullest()
        except ApplianceError:
            used = -1.0  # between two lives of the pool: it is asked again
        self._tell("pool used", f"{used:.0f} %" if used >= 0 else "not known", used / 100)
        if used > FULL:
            self._brake(used)
        try:
            self._tell_load(self.hypervisor.load(self.twin), time.monotonic())
        except TwinFailed:
            self._before = None

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


def watch(room: Room, stop: threading.Event, every: float = EVERY) -> threading.Thread:
    """Look every `every` seconds until `stop`, in a thread of its own."""

    def looks() -> None:
        while not stop.wait(every):
            room.look()

    thread = threading.Thread(target=looks, name=f"room of {room.twin}", daemon=True)
    thread.start()
    return thread
