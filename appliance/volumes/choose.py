"""The one place that knows which storage calls for which store."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import Refused
from appliance.host.run import Host
from appliance.model.machine import (
    ELSEWHERE,
    REHEARSED,
    InstalledSystem,
    Machine,
    Storage,
    VolumeGroup,
)
from appliance.probe.lvm import lvm_config
from appliance.probe.lvm_metadata import parse
from appliance.probe.mappings import Mapping, Sources, linear, readable
from appliance.volumes import choose_btrfs, choose_partition, lvm_thin, thick_room
from appliance.volumes.base import SnapshotStore
from appliance.volumes.elsewhere import ElsewhereStore, View, prefix_of, room_name
from appliance.volumes.file_room import FileRoom, Place
from appliance.volumes.lvm_thick import LvmThickStore
from appliance.volumes.state import History, StateVolume


def why_no_store(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why no store fits this system; empty where one does. Pure."""
    if system.root.storage not in REHEARSED:
        known = " or ".join(sorted(storage.value for storage in REHEARSED))
        return (
            f"The root volume {system.root.device} is kept as {system.root.storage.value}; "
            f"what shall be promoted needs one kept as {known} (yet).",
        )
    if system.root.storage is Storage.BTRFS:
        return choose_btrfs.why_not(system)
    if system.root.storage is Storage.PARTITION:
        return choose_partition.why_not(machine, system)
    group = machine.vg(system.root.vg)
    if group is None:
        return (f"The volume group {system.root.vg} of the root volume was not found.",)
    if system.root.storage is Storage.LVM_THICK:
        return _why_not_thick(group, system)
    if not _pool_of(group, system.root.lv):
        return (f"The thin pool of {system.root.device} was not found.",)
    return tuple(
        f"{volume.target} ({volume.device}) belongs to the volume set "
        "but is not in the thin pool of the root volume."
        for volume in system.volume_set
        if volume.vg != group.name or _pool_of(group, volume.lv) != _pool_of(group, system.root.lv)
    )


def _why_not_thick(group: VolumeGroup, system: InstalledSystem) -> tuple[str, ...]:
    """A snapshot needs a linear volume under it, and goes with one volume at a time."""
    root = group.lv(system.root.lv)
    if root is None:
        return (f"The root volume {system.root.device} was not found.",)
    if root.segtype == "snapshot":
        return (
            f"The root volume {system.root.device} is itself a snapshot of {group.name}/{root.origin}, and "
            "LVM takes no snapshot of a snapshot: retire the old system first.",
        )
    if root.segtype != "linear":
        return (
            f"The root volume {system.root.device} is kept as {root.segtype}, not as a plain linear volume: "
            "that can not be rehearsed (yet).",
        )
    others = (v for v in system.volumes if v.lv and v.lv != system.root.lv and v not in system.swap)
    return tuple(
        f"{volume.target} ({volume.device}) is a volume of its own beside a root volume that is not in a "
        "thin pool: that can not be rehearsed (yet)."
        for volume in others
    )


def why_not_elsewhere(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why `system` can not be rehearsed with its copy elsewhere; empty where it can. Pure."""
    if system.root.storage not in ELSEWHERE:
        known = " or ".join(sorted(storage.value for storage in ELSEWHERE))
        return (
            f"The root volume {system.root.device} is kept as {system.root.storage.value}; with the copy "
            f"elsewhere only one kept as {known} can be rehearsed (yet).",
        )
    if system.root.vg and (reasons := why_no_store(machine, system)):
        return reasons
    try:
        _shown(machine, system, "")
    except Refused as refused:
        return refused.reasons
    return ()


def _shown(machine: Machine, system: InstalledSystem, run: str) -> tuple[Mapping, ...]:
    """The devices that show the root of `system` read-only, the last of them itself. Raises Refused."""
    root, prefix = system.root, f"{prefix_of(run)}view"
    if not root.vg:
        return (Mapping(name=f"{prefix}0", table=linear(root.device, root.size)),)
    group = _group(machine, system)
    metadata = parse(group.metadata, f"the metadata of {group.name}")
    others = frozenset(lv.name for lv in metadata.lvs if lv.name != root.lv)
    shown = readable(metadata, Sources(pvs={pv.uuid: pv.path for pv in group.pvs}), 0, others, prefix)
    if not shown.volumes:
        why = dict(shown.unreadable).get(root.lv, "it is not described")
        raise Refused((f"The root volume {root.device} can not be read where it lies: {why}.",))
    return shown.mappings


def choose_elsewhere(
    host: Host, machine: Machine, system: InstalledSystem, run: str, place: Place, size: int
) -> ElsewhereStore:
    """The store of `run` with `size` bytes of room at `place`. Raises Refused where `system` does not fit."""
    if reasons := why_not_elsewhere(machine, system):
        raise Refused(reasons)
    room = FileRoom(host, room_name(run), place, size)
    return ElsewhereStore(host, run, View(host, _shown(machine, system, run)), room, part=system.root_part)


def one_volume(system: InstalledSystem) -> bool:
    """Whether work, sealed and trial volume are one volume under one name for `system`'s storage. Pure."""
    return system.root.storage in (Storage.LVM_THICK, Storage.PARTITION)


def shares_blocks(system: InstalledSystem) -> bool:
    """Whether a kept system of `system` stands on its origin until that is retired. Pure."""
    return system.root.storage is Storage.LVM_THICK


def is_beside(system: InstalledSystem) -> bool:
    """Whether the trial volume of `system` is a partition of its own, with a file system of its own. Pure."""
    return system.root.storage is Storage.PARTITION


def repairable(system: InstalledSystem) -> bool:
    """Whether a copy of `system` can be mended: each has been seen on a machine. Pure."""
    return system.root.storage in (Storage.LVM_THIN, Storage.LVM_THICK)


def hidden_until_shown(system: InstalledSystem) -> bool:
    """Whether the machine's own start leaves a trial volume of `system` down until it is shown. Pure."""
    return system.root.storage in (Storage.LVM_THIN, Storage.PARTITION)


def works_on_a_copy(system: InstalledSystem) -> bool:
    """Whether the twins of `system` write to copies, for which room is made first. Pure."""
    return system.root.storage is Storage.BTRFS


def snapshots_in(system: InstalledSystem) -> str:
    """Where snapshots of `system` are made, as a person calls it. Pure."""
    if works_on_a_copy(system):
        return "the root's file system"
    if is_beside(system):
        return "the free part of the disk"
    return "the volume group" if one_volume(system) else "the thin pool"


@dataclass(frozen=True, slots=True)
class ProbedRoom:
    """Where the snapshots of a system grow ("vg0/pool"), and how many bytes may still be written there."""

    pool: str
    free: int


def probed_room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    """The room as the machine was probed. Only for a system with a store (`why_no_store`). Pure."""
    group = _group(machine, system)
    if works_on_a_copy(system):
        return ProbedRoom(group.name, choose_btrfs.free_bytes(group))
    if is_beside(system):
        return ProbedRoom(f"the free part of {group.pvs[0].path}", group.free_count)
    if one_volume(system):
        return ProbedRoom(group.name, thick_room.free_bytes(group))
    pool = _pool_of(group, system.root.lv)
    found = group.lv(pool)
    return ProbedRoom(f"{group.name}/{pool}", lvm_thin.free_bytes(found) if found else 0)


def why_no_room(machine: Machine, system: InstalledSystem, expected_bytes: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected_bytes` can not be kept in that room. Pure."""
    group = _group(machine, system)
    if works_on_a_copy(system):
        return choose_btrfs.why_no_room(group, expected_bytes)
    if is_beside(system):
        return choose_partition.why_no_room(machine, system, expected_bytes)
    if one_volume(system):
        return thick_room.why_not(group, system.root.lv)
    return lvm_thin.why_not(group, _pool_of(group, system.root.lv), expected_bytes)


def lacking_bytes(machine: Machine, system: InstalledSystem, expected_bytes: int) -> int:
    """What that room lacks for a run that writes `expected_bytes`; 0 where it fits or no store does. Pure."""
    if why_no_store(machine, system):
        return 0
    if works_on_a_copy(system):
        group = _group(machine, system)
        return max(0, choose_btrfs.wanted_bytes(group, expected_bytes) - choose_btrfs.free_bytes(group))
    if is_beside(system):
        return choose_partition.lacking_bytes(machine, system, expected_bytes)
    if one_volume(system):
        return thick_room.lacking_bytes(_group(machine, system), system.root.lv)
    return max(0, expected_bytes - probed_room(machine, system).free)


def choose_store(
    host: Host, machine: Machine, system: InstalledSystem, run: str = "", expected_bytes: int = 0
) -> SnapshotStore:
    """The store for `system`'s volume set. Raises Refused with every sentence of `why_no_store`.

    `run` and what it writes, `expected_bytes`, matter where its twins work on copies.
    """
    reasons = why_no_store(machine, system)
    if reasons:
        raise Refused(reasons)
    group = _group(machine, system)
    if works_on_a_copy(system):
        return choose_btrfs.store_in(host, group, system, run, expected_bytes)
    if (found := choose_partition.where(machine, system)) is not None:
        return choose_partition.store_in(host, *found, system.root.partition, expected_bytes)
    config = lvm_config(every_pv(machine))
    if one_volume(system):
        return LvmThickStore(host, group, config, system.root.lv)
    return lvm_thin.LvmThinStore(host, group, config, _pool_of(group, system.root.lv))


def choose_room(
    host: Host, machine: Machine, system: InstalledSystem, run: str, expected_bytes: int
) -> ElsewhereStore:
    """Where the twins of `run` have their copies on the machine itself (`works_on_a_copy`)."""
    return choose_btrfs.store_in(host, _group(machine, system), system, run, expected_bytes).copies


def choose_history(host: Host, machine: Machine, group: str) -> History:
    """What carries the machine's history in the group of that name. Raises Refused where there is none."""
    found = machine.group(group)
    if found is None:
        raise Refused((f"The volume group {group} was not found.",))
    if machine.vg(group) is None:
        on_disk = choose_partition.history_in(host, machine, found)
        return on_disk if on_disk is not None else choose_btrfs.history_in(host, found)
    return StateVolume(host, group, lvm_config(every_pv(machine)))


def every_pv(machine: Machine) -> tuple[str, ...]:
    """The device paths of all physical volumes of the machine, the whole of what LVM may see."""
    return tuple(pv.path for group in machine.volume_groups for pv in group.pvs)


def _group(machine: Machine, system: InstalledSystem) -> VolumeGroup:
    group = machine.group(system.root.group)
    assert group is not None  # why_no_store has looked
    return group


def _pool_of(group: VolumeGroup, lv: str) -> str:
    found = group.lv(lv)
    return found.pool if found else ""
