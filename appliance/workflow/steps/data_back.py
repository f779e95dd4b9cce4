"""Roll back with data: each data volume is put away as it is now, then becomes its safety snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import ApplianceError, DataNotPutBack, Refused
from appliance.model.events import Line
from appliance.model.plan import PlannedStep
from appliance.volumes.base import PutBack
from appliance.workflow.data_back import why_not
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.ground import Ground, OnGround


@dataclass(frozen=True, slots=True)
class CheckData(OnGround):
    """Nothing stands in the way, and the names are free: what an undo deletes was made by this act."""

    def do(self, ctx: Context) -> None:
        if reasons := why_not(ctx.host, self.ground):
            raise Refused(reasons)


@dataclass(frozen=True, slots=True)
class PutDataAway(OnGround):
    """A read-only snapshot of each data volume, the way back from going back."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        return all(store.exists(data.undone) for data in self.ground.data_to_put_back())

    def do(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for data in self.ground.data_to_put_back():
            store.create(data.undone)

    def undo(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for data in self.ground.data_to_put_back():
            if store.exists(data.safety):  # else the data went back, and only `undone` has what it was
                store.delete(data.undone)


@dataclass(frozen=True, slots=True)
class PutDataBack(OnGround):
    """All data volumes or none: what was written to one of them since it was put away keeps them all.

    The loader is flipped already, so that what fails here is said as DataNotPutBack.
    """

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        return all(store.is_put_back(data) for data in self.ground.data_to_put_back())

    def do(self, ctx: Context) -> None:
        try:
            self._put_back(ctx)
        except ApplianceError as error:
            raise DataNotPutBack(f"The data did not go back: {error.what}") from error

    def _put_back(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        away = [data for data in self.ground.data_to_put_back() if store.exists(data.undone)]
        due = [data for data in away if store.exists(data.safety)]
        stays = any(store.changed_since(data.origin, data.undone) for data in due)
        for data in away:
            if stays and data in due:
                ctx.tell(Line(source="run", level="warn", text=self._stays(data)))
            elif not store.is_put_back(data):
                store.put_back(data)
                ctx.tell(Line(source="run", text=self._went_back(data)))
        store.release()

    def _went_back(self, data: PutBack) -> str:
        where, vg = self.ground.data_volume(data.origin).target, self.ground.names.vg
        return f"{where} is what it was before the trial; {vg}/{data.undone.lv} keeps what it was until now"

    def _stays(self, data: PutBack) -> str:
        where, vg = self.ground.data_volume(data.origin).target, self.ground.names.vg
        return (
            f"{where} was NOT put back, as data was written since the roll back: {vg}/{data.origin} "
            f"stays as it is. As before the trial: {vg}/{data.safety.lv}; "
            f"as the roll back found it: {vg}/{data.undone.lv}."
        )


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "data-ready": CheckData,
    "undone": PutDataAway,
    "data-back": PutDataBack,
}
