"""Going back with the data: what stands against it, and its steps in their order.

The loader is flipped first, the data follows. A cut between the two leaves what a roll back of the system
alone leaves: the old system, and the data as it is now. The other way round it would leave the new system on
data of before its trial, to be converted once more, and no undo: LVM merges a snapshot once, and what was
taken of the data before that is then no snapshot of it any more.

Whoever starts the machine from its disk after such a cut writes to the data. Then the data stays as it is:
nothing is replaced but what a snapshot holds block for block.
"""

from __future__ import annotations

from appliance.host.run import Host
from appliance.model.machine import InstalledSystem
from appliance.model.plan import Names, PlannedStep, Write
from appliance.workflow.steps.ground import Ground
from appliance.workflow.wording import wording

AS_NOW = "the machine boots as it did before; the next start of the appliance deletes the snapshot"
EITHER = (
    "either system boots, with the data as it is now; the next start of the appliance goes on, "
    "unless the data was written to meanwhile: then it stays as it is"
)
OLD_BOOTS = (
    "the old system boots, each data volume as it is now or as before the trial; the next start of the "
    "appliance goes on, unless the data was written to meanwhile: then it stays as it is"
)


def why_not(host: Host, ground: Ground) -> tuple[str, ...]:
    """Full sentences why the run's data can not go back; empty where it can. Asks the disk."""
    data, run = ground.data_to_put_back(), ground.names.run
    if not data:
        return (f"There is no safety snapshot of data for {run}: its system has no data volume of its own.",)
    store = ground.store(host)
    try:
        return store.why_not_put_back(data)
    finally:
        store.release()


def planned_steps(system: InstalledSystem, names: Names, flip: tuple[Write, ...]) -> tuple[PlannedStep, ...]:
    """`flip` is the write of the loader's sector, none where the old system boots already."""
    vg, undone, words = names.vg, dict(names.data_undone), wording(system)
    away = tuple(
        Write(what=f"add {vg}/{undone[lv]}: {vg}/{lv} as it is now, read-only", if_cut=AS_NOW)
        for lv, _ in names.data_safety
    )
    back = tuple(
        Write(what=words.put_back.format(group=vg, data=lv, safety=safety), if_cut=OLD_BOOTS)
        for lv, safety in names.data_safety
    )
    title = "Roll back: one sector" if flip else "The old system boots already"
    return (
        PlannedStep(id="data-ready", title="Can the data go back?", weight=5),
        PlannedStep(
            id="confirm",
            title="Boot the old system from the next start on, with its data as before the trial?",
            gate=True,
        ),
        PlannedStep(id="undone", title="Put the data away as it is now", weight=5, writes=away),
        PlannedStep(id="rollback", title=title, weight=5, commit=True, writes=flip),
        PlannedStep(id="data-back", title="Data as before the trial", weight=20, writes=back),
    )
