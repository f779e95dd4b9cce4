"""What a retire deletes, named volume by volume while planning, and what stands against it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.boot.shapes import BootState, LoaderView
from appliance.model.machine import LogicalVolume, VolumeGroup, root_called
from appliance.model.plan import Names
from appliance.volumes.base import SnapshotRole
from appliance.volumes.tags import read_tags

_RUN_OF = re.compile(r"(?P<first>.+)-(?P<run>tb\d+)(?:-base)?\Z")


@dataclass(frozen=True, slots=True)
class Retirement:
    """`doomed` are the names of the volumes that go. `first_name` is the name the kept volume gets back;
    empty where a run is retired that the machine does not boot from. `merges`: the kept volume is a thick
    snapshot of the old one, which is emptied and takes it back; else it is renamed."""

    doomed: tuple[str, ...]
    first_name: str = ""
    merges: bool = False


def first_name(names: Names) -> str:
    """The root volume's name before any run: "root" of "root-tb2"."""
    return _first(names.trial, names.run)


def first_names(names: Names) -> dict[str, str]:
    """The name before any run of each volume of the set, by its trial's, the root's first."""
    return {trial: _first(trial, names.run) for trial in names.trials}


def _first(trial: str, run: str) -> str:
    return trial.removesuffix(f"-{run}")


def plan_retirement(group: VolumeGroup, names: Names, view: LoaderView | None) -> Retirement:
    """For a kept run the old system and every other run's volumes, else the run's own volumes.

    Other runs go as well, newer ones included: they are made of volumes that go or get another name.
    """
    if not is_kept(names, view):
        return Retirement(tuple(sorted(lv.name for lv in group.lvs if _run_of(group, lv) == names.run)))
    first, firsts = first_name(names), first_names(names)
    family = _family(group, first)
    doomed = {lv.name for lv in group.lvs if _run_of(group, lv) in family} - set(names.trials)
    doomed |= {first} if group.lv(first) is not None else set()
    # One that has its first name back already is the kept system's own.
    beside = ((trial, old) for trial, old in firsts.items() if trial != names.trial)
    doomed |= {old for trial, old in beside if group.lv(old) is not None and group.lv(trial) is not None}
    doomed -= {old for trial, old in firsts.items() if trial != names.trial and group.lv(trial) is None}
    kept = group.lv(names.trial)
    merges = kept is not None and kept.segtype == "snapshot" and kept.origin == first
    return Retirement(tuple(sorted(doomed)), first, merges)


def is_kept(names: Names, view: LoaderView | None) -> bool:
    """Whether the machine's next boot is this run's volume for good."""
    if view is None or view.whose != names.run:
        return False
    return view.state in (BootState.KEPT, BootState.SETTLING)


def why_not(group: VolumeGroup, names: Names, view: LoaderView | None) -> tuple[str, ...]:
    """Sentences on why the run's volumes are still needed."""
    if view is None or is_kept(names, view):
        return ()
    volume = root_called(group, names.trial)
    reasons = []
    if view.next_boot is not None and view.next_boot.root == volume:
        reasons.append(f"{names.run} is what this machine boots next: roll back first.")
    elif view.fallback is not None and view.fallback.root == volume:
        reasons.append(
            f"{names.run} is the previous system of {view.run}: it goes when {view.run} is retired."
        )
    elif view.whose != names.run and view.own is not None and view.own.root == volume:
        reasons.append(f"{names.run} is the system that {view.run} was made from: roll back first.")
    return tuple(reasons)


def _run_of(group: VolumeGroup, lv: LogicalVolume) -> str:
    """The run a volume belongs to; empty for the machine's own volumes, let go or not, and for our state."""
    found = read_tags(group.name, lv.name, lv.tags)
    no_runs = (SnapshotRole.STATE, SnapshotRole.PREVIOUS, SnapshotRole.EMPTIED)
    return "" if found is None or found.role in no_runs else found.run


def _family(group: VolumeGroup, first: str) -> frozenset[str]:
    """The runs made of the root volume that was first called `first`."""
    matches = (_RUN_OF.match(lv.name) for lv in group.lvs if "twinboot" in lv.tags)
    return frozenset(m["run"] for m in matches if m is not None and m["first"] == first)
