"""The mirror that a machine's volumes lie on, before anything else is written to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.model.events import Line
from appliance.model.plan import PlannedStep
from appliance.workflow import arrays
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.ground import Ground, OnGround


@dataclass(frozen=True, slots=True)
class WriteByArray(OnGround):
    """Up since the history was opened; whether it still is whole is asked at the beginning of each act."""

    def do(self, ctx: Context) -> None:
        ground = self.ground
        arrays.bring_up(ctx.host, ground.machine, ground.names.vg)
        for layer in arrays.mirrors(ground.machine, ground.names.vg):
            ctx.tell(Line(source="disk", text=f"{layer.name}: {' and '.join(layer.below)} are in step"))


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {arrays.STEP: WriteByArray}
