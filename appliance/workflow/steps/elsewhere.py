"""Copies for the twins: their room is made before all else; one only rehearsed is thrown away at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from appliance.model.events import Line, Progress
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.twins import WORK, deactivate, twin_of

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class MakeRoom(OnGround):
    """All of the room is taken at once: what is not there is said now, not in the middle of a patch."""

    def do(self, ctx: Context) -> None:
        started = time.monotonic()

        def tell(done: int, total: int) -> None:
            ctx.check_cancel()
            passed = time.monotonic() - started
            left = passed * (total - done) / done if done else -1.0
            ctx.tell(Progress(step=self.plan.id, done=done / MIB, total=total / MIB, unit="MiB", left=left))

        store = self.ground.room(ctx.host)
        store.make_room(tell)
        size = store.room.size // MIB
        ctx.tell(Line(source="run", text=f"{size} MiB for the copy on {self.ground.whole.pool}"))

    def undo(self, ctx: Context) -> None:
        self.ground.room(ctx.host).remove_room()


@dataclass(frozen=True, slots=True)
class ThrowAway(OnGround):
    """Nothing of the run is left but its record."""

    def do(self, ctx: Context) -> None:
        twin_of(ctx, self.ground, WORK).teardown()
        deactivate(ctx.host, self.ground, WORK)
        self.ground.elsewhere(ctx.host).remove_room()
