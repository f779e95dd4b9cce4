"""The step that turns a file system's default subvolume to the root that stays, where it has one. Pure."""

from __future__ import annotations

from appliance.model.btrfs import TOP
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import PlannedStep, Write


def planned(machine: Machine, system: InstalledSystem, stays: str, if_cut: str) -> tuple[PlannedStep, ...]:
    """For the root `stays` of the group that `system` lies in; nothing where no subvolume is the default."""
    group = system.root.group
    held = next((s.btrfs for s in machine.systems if s.btrfs and s.root.group == group), None)
    if held is None or held.default == TOP:
        return ()
    write = Write(what=f"{group}: {stays} is its default subvolume, where it is another", if_cut=if_cut)
    return (PlannedStep(id="default", title=f"{stays} by default", weight=5, writes=(write,)),)
