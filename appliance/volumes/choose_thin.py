"""A root in a thin pool of LVM: which store it calls for, what room that needs, what is against it."""

from __future__ import annotations

from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine, VolumeGroup
from appliance.probe.lvm import lvm_config
from appliance.volumes import lvm_thin
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.kind import ProbedRoom, Traits, group_of, no_group
from appliance.volumes.lvm_group import every_pv
from appliance.volumes.lvm_thin import LvmThinStore

TRAITS = Traits(place="the thin pool", hidden=True, repairable=True)


def why_not(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    group = machine.vg(system.root.vg)
    if group is None:
        return (no_group(system),)
    pool = _pool_of(group, system.root.lv)
    if not pool:
        return (f"The thin pool of {system.root.device} was not found.",)
    return tuple(
        f"{volume.target} ({volume.device}) belongs to the volume set "
        "but is not in the thin pool of the root volume."
        for volume in system.volume_set
        if volume.vg != group.name or _pool_of(group, volume.lv) != pool
    )


def room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    group = group_of(machine, system)
    pool = _pool_of(group, system.root.lv)
    found = group.lv(pool)
    return ProbedRoom(f"{group.name}/{pool}", lvm_thin.free_bytes(found) if found else 0)


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    group = group_of(machine, system)
    return lvm_thin.why_not(group, _pool_of(group, system.root.lv), expected)


def lacking_bytes(machine: Machine, system: InstalledSystem, expected: int) -> int:
    return max(0, expected - room(machine, system).free)


def store(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    run: str,
    expected: int,
    tell: Tell = nobody_listens,
) -> LvmThinStore:
    group = group_of(machine, system)
    return LvmThinStore(host, group, lvm_config(every_pv(machine)), _pool_of(group, system.root.lv))


def _pool_of(group: VolumeGroup, lv: str) -> str:
    found = group.lv(lv)
    return found.pool if found else ""
