"""The one place that knows which storage calls for which store."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import Refused
from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine, Storage, VolumeGroup
from appliance.probe.lvm import lvm_config
from appliance.volumes import lvm_thin
from appliance.volumes.base import SnapshotStore


def why_no_store(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why no store fits this system; empty where one does. Pure."""
    if system.root.storage is not Storage.LVM_THIN:
        return (
            f"The root volume {system.root.device} is kept as {system.root.storage.value}; "
            "rehearsals need a root volume in an LVM thin pool.",
        )
    group = machine.vg(system.root.vg)
    if group is None:
        return (f"The volume group {system.root.vg} of the root volume was not found.",)
    if not _pool_of(group, system.root.lv):
        return (f"The thin pool of {system.root.device} was not found.",)
    return tuple(
        f"{volume.target} ({volume.device}) belongs to the volume set "
        "but is not in the thin pool of the root volume."
        for volume in system.volume_set
        if volume.vg != group.name or _pool_of(group, volume.lv) != _pool_of(group, system.root.lv)
    )


@dataclass(frozen=True, slots=True)
class ProbedRoom:
    """Where the snapshots of a system grow ("vg0/pool"), and how many bytes may still be written there."""

    pool: str
    free: int


def probed_room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    """The room as the machine was probed. Only for a system with a store (`why_no_store`). Pure."""
    group, pool = _group_and_pool(machine, system)
    found = group.lv(pool)
    return ProbedRoom(f"{group.name}/{pool}", lvm_thin.free_bytes(found) if found else 0)


def why_no_room(machine: Machine, system: InstalledSystem, expected_bytes: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected_bytes` can not be kept in that room. Pure."""
    return lvm_thin.why_not(*_group_and_pool(machine, system), expected_bytes)


def choose_store(host: Host, machine: Machine, system: InstalledSystem) -> SnapshotStore:
    """The store for `system`'s volume set. Raises Refused with every sentence of `why_no_store`."""
    reasons = why_no_store(machine, system)
    if reasons:
        raise Refused(reasons)
    group, pool = _group_and_pool(machine, system)
    return lvm_thin.LvmThinStore(host, group, pool, lvm_config(every_pv(machine)))


def every_pv(machine: Machine) -> tuple[str, ...]:
    """The device paths of all physical volumes of the machine, the whole of what LVM may see."""
    return tuple(pv.path for group in machine.volume_groups for pv in group.pvs)


def _group_and_pool(machine: Machine, system: InstalledSystem) -> tuple[VolumeGroup, str]:
    group = machine.vg(system.root.vg)
    assert group is not None  # why_no_store has looked
    return group, _pool_of(group, system.root.lv)


def _pool_of(group: VolumeGroup, lv: str) -> str:
    found = group.lv(lv)
    return found.pool if found else ""
