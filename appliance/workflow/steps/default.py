"""Which root a start takes that names none: of a btrfs its default subvolume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.model.events import Line
from appliance.model.plan import PlannedStep
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.ground import Ground, OnGround


@dataclass(frozen=True, slots=True)
class TakeDefault(OnGround):
    """The root that stays is the default one, where one that goes is: nothing that is left open leads there.

    It is made while every start is led by a name, so that a cut before or after changes no start. What stays
    the default is right whatever becomes of the rest: nothing is undone.
    """

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        return not any(store.is_default(lv) for lv in self._going)

    def do(self, ctx: Context) -> None:
        store, stays = self.ground.store(ctx.host), default_of(self.ground)
        store.make_default(stays)
        store.release()
        ctx.tell(Line(source="run", text=f"{self.ground.names.vg}/{stays} is the default subvolume"))

    @property
    def _going(self) -> tuple[str, ...]:
        return self.ground.whole.doomed or (self.ground.names.trial,)


def default_of(ground: Ground) -> str:
    """The root that stays: the kept one where the installed root is to go, else the installed root."""
    installed = ground.system.root.member
    return ground.names.trial if installed in ground.whole.doomed else installed


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {"default": TakeDefault}
