"""The one place that knows which storage calls for which store."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine, Storage
from appliance.model.seen import ELSEWHERE
from appliance.probe.lvm import lvm_config
from appliance.probe.lvm_metadata import parse
from appliance.probe.mappings import Mapping, Sources, linear, readable
from appliance.volumes import choose_btrfs, choose_partition, choose_thick, choose_thin
from appliance.volumes.base import SnapshotStore
from appliance.volumes.below import View
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.elsewhere import ElsewhereStore, prefix_of, room_name
from appliance.volumes.file_room import FileRoom, Place
from appliance.volumes.kind import Kind, ProbedRoom, Traits, group_of
from appliance.volumes.lvm_group import every_pv
from appliance.volumes.state import History, StateVolume

KINDS: dict[Storage, Kind] = {
    Storage.LVM_THIN: choose_thin,
    Storage.LVM_THICK: choose_thick,
    Storage.BTRFS: choose_btrfs,
    Storage.PARTITION: choose_partition,
}
"""Who answers for each kind of storage."""


def why_no_store(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why no store fits this system; empty where one does. Pure."""
    return KINDS[system.root.storage].why_not(machine, system)


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
    group = group_of(machine, system)
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


def traits(system: InstalledSystem) -> Traits:
    """What the storage of `system`'s root is like. Pure."""
    return KINDS[system.root.storage].TRAITS


def probed_room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    """The room as the machine was probed. Only for a system with a store (`why_no_store`). Pure."""
    return KINDS[system.root.storage].room(machine, system)


def why_no_room(machine: Machine, system: InstalledSystem, expected_bytes: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected_bytes` can not be kept in that room. Pure."""
    return KINDS[system.root.storage].why_no_room(machine, system, expected_bytes)


def lacking_bytes(machine: Machine, system: InstalledSystem, expected_bytes: int) -> int:
    """What that room lacks for a run that writes `expected_bytes`; 0 where it fits or no store does. Pure."""
    if why_no_store(machine, system):
        return 0
    return KINDS[system.root.storage].lacking_bytes(machine, system, expected_bytes)


def choose_store(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    run: str = "",
    expected_bytes: int = 0,
    tell: Tell = nobody_listens,
) -> SnapshotStore:
    """The store for `system`'s volume set. Raises Refused with every sentence of `why_no_store`.

    `run` and what it writes, `expected_bytes`, matter where its twins work on copies. `tell` hears how far
    it is with what it copies.
    """
    if reasons := why_no_store(machine, system):
        raise Refused(reasons)
    return KINDS[system.root.storage].store(host, machine, system, run, expected_bytes, tell)


def choose_room(
    host: Host, machine: Machine, system: InstalledSystem, run: str, expected_bytes: int
) -> ElsewhereStore:
    """Where the twins of `run` have their copies on the machine itself (`Traits.copies`)."""
    return choose_btrfs.store(host, machine, system, run, expected_bytes).copies


def choose_history(host: Host, machine: Machine, group: str) -> History:
    """What carries the machine's history in the group of that name. Raises Refused where there is none."""
    found = machine.group(group)
    if found is None:
        raise Refused((f"The volume group {group} was not found.",))
    if machine.vg(group) is None:
        on_disk = choose_partition.history_in(host, machine, found)
        return on_disk if on_disk is not None else choose_btrfs.history_in(host, found)
    return StateVolume(host, group, lvm_config(every_pv(machine)))
