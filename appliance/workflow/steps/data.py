"""Data volumes of the twin: what they were right before the patch, and what was written to them since."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.checks.data import data_write
from appliance.host.files import mounted
from appliance.model.events import Line
from appliance.model.verdict import DataWrite
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.twins import WORK, twin_of


@dataclass(frozen=True, slots=True)
class RememberData(OnGround):
    """A throw-away snapshot of each of the twin's data volumes after the control boot, the twin running.

    Services write to their data at every boot; what is there now is not the patch's doing.
    """

    def done(self, ctx: Context) -> bool:
        store = self.ground.copies(ctx.host)
        return all(store.exists(before) for before, _ in self.ground.data_before())

    def do(self, ctx: Context) -> None:
        store, pairs = self.ground.copies(ctx.host), self.ground.data_before()
        if not pairs:
            return

        def take() -> None:
            for before, _ in pairs:
                store.create(before)

        if not twin_of(ctx, self.ground, WORK).while_frozen(take):
            text = "the twin could not be frozen: what it had not yet written counts as the patch's"
            ctx.tell(Line(source="run", level="warn", text=text))

    def undo(self, ctx: Context) -> None:
        forget_before(ctx, self.ground)


def written_since(ctx: Context, ground: Ground) -> tuple[DataWrite, ...]:
    """What was written to each data volume since it was remembered: by the patch and the boots after it.

    The twin's disks must be down. The throw-away snapshots are gone afterwards.
    """
    store, found = ground.copies(ctx.host), []
    for before, after in ground.data_before():
        volume, here = ground.data_volume(after.origin), ground.work.scratch / "data"
        with (
            mounted(ctx.host, store.activate(before), volume.fstype, here / "before") as old,
            mounted(ctx.host, store.activate(after), volume.fstype, here / "after") as new,
        ):
            written = data_write(volume.target, old, new)
        if written is not None:
            found.append(written)
            text = f"written to {volume.target} since the control boot: {written.bytes} bytes"
            ctx.tell(Line(source="run", text=text))
    forget_before(ctx, ground)
    return tuple(found)


def forget_before(ctx: Context, ground: Ground) -> None:
    """Delete the throw-away snapshots; nothing happens where they are gone."""
    store = ground.copies(ctx.host)
    for before, _ in ground.data_before():
        store.delete(before)
