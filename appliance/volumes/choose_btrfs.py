"""A root that is a btrfs subvolume: which store it calls for, what room that needs, what is against it."""

from __future__ import annotations

import threading
from pathlib import Path

from appliance.host.run import Host
from appliance.model.groups import is_subvolume_name, subvolume_path
from appliance.model.machine import InstalledSystem, LoaderKind, Machine, VolumeGroup
from appliance.volumes.below import Disk
from appliance.volumes.btrfs import BtrfsStore
from appliance.volumes.btrfs_disk import BtrfsDisk
from appliance.volumes.btrfs_file import BlockFile, BtrfsRoom, room_in
from appliance.volumes.btrfs_state import FILE, BtrfsHistory
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.elsewhere import MIB, ElsewhereStore, bytes_for, room_name
from appliance.volumes.kind import ProbedRoom, Traits, group_of
from appliance.volumes.state import NAME, SIZE

TRAITS = Traits(place="the root's file system", copies=True)

RUNTIME = Path("/run/twinboot")
MOUNT = "btrfs"
"""In the appliance's memory: where the file system is mounted for an act."""

HISTORY = f"{NAME}-file"
"""The device of the history."""


def why_not(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    root, held = system.root, system.btrfs
    if root.vg:
        return (f"The btrfs of {root.device} lies inside LVM: that can not be taken round (yet).",)
    if held is None or not root.subvolume:
        return (
            f"The root on {root.device} lies at the top level of its file system, which has no name that a "
            "snapshot could take: move it into a subvolume.",
        )
    if not is_subvolume_name(root.subvolume):
        return (
            f"The root on {root.device} lies in the subvolume {root.subvolume}: only one directly below the "
            "top level, of letters, digits and @_.+-, can be taken round (yet).",
        )
    return why_not_unnamed(system) if system.starts_unnamed else ()


def why_not_unnamed(system: InstalledSystem) -> tuple[str, ...]:
    """The same of a root that is its file system's default subvolume, and not named for the kernel."""
    held, root = system.btrfs, system.root
    if system.loader.kind is not LoaderKind.GRUB:
        return (
            f"The root on {root.device} is its file system's default subvolume, and not named for the kernel "
            "(rootflags=): with another loader than GRUB that can not be taken round (yet).",
        )
    if held is not None and not held.tools:
        return (
            f"The root on {root.device} is its file system's default subvolume, which the new system must "
            "turn once it is kept: install btrfs-progs in it first.",
        )
    return ()


def spare_bytes(expected: int) -> int:
    """Bytes in which the difference waits that a run of `expected` bytes has sealed. Pure."""
    return (expected // MIB + 64) * MIB


def room_bytes(expected: int) -> int:
    """Bytes that a run which writes `expected` takes of the file system until its end. Pure."""
    return bytes_for(expected) + spare_bytes(expected)


def wanted_bytes(group: VolumeGroup, expected: int) -> int:
    """All that it takes: that room, what comes home beside it, and the history where there is none. Pure."""
    history = 0 if group.lv(NAME) is not None else SIZE
    return room_bytes(expected) + expected + history


def free_bytes(group: VolumeGroup) -> int:
    """What may be taken of the file system that `group` stands for. Pure."""
    return room_in(group.extent_count, group.free_count)


def room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    group = group_of(machine, system)
    return ProbedRoom(group.name, free_bytes(group))


def lacking_bytes(machine: Machine, system: InstalledSystem, expected: int) -> int:
    group = group_of(machine, system)
    return max(0, wanted_bytes(group, expected) - free_bytes(group))


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    group = group_of(machine, system)
    wanted, free = wanted_bytes(group, expected), free_bytes(group)
    if wanted <= free:
        return ()
    return (
        f"This run takes up to {wanted // MIB} MiB of the btrfs on {group.pvs[0].path}, which has "
        f"{free // MIB} MiB to give: retire volumes that are no longer wanted, or make room in it.",
    )


def disk_of(host: Host, group: VolumeGroup) -> BtrfsDisk:
    # A thread of the engine that looks is not to take the mount of another from under it.
    return BtrfsDisk(host, group.pvs[0].path, RUNTIME / MOUNT / str(threading.get_native_id()))


def history_in(host: Host, group: VolumeGroup) -> BtrfsHistory:
    return BtrfsHistory(BlockFile(disk_of(host, group), FILE, HISTORY, SIZE))


def store(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    run: str,
    expected: int,
    tell: Tell = nobody_listens,
) -> BtrfsStore:
    group = group_of(machine, system)
    disk, root = disk_of(host, group), subvolume_path(system.root.subvolume)
    file = BlockFile(disk, f"room-{run}", room_name(run), room_bytes(expected))
    place = BtrfsRoom(file, RUNTIME / run / "copies")
    copies = ElsewhereStore(host, run, Disk(disk.device), place, spare_bytes(expected))
    return BtrfsStore(host, disk, group.name, root, copies)
