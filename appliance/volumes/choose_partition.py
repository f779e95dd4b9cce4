"""A root that is a partition: which store it calls for, what room that needs, what is against it."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from appliance.host.run import Host
from appliance.model.groups import VolumeGroup
from appliance.model.machine import Disk, InstalledSystem, LoaderKind, Machine, Partition
from appliance.model.partitions import part_name
from appliance.model.seen import BESIDE_ITSELF
from appliance.volumes import partition_room
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.kind import ProbedRoom, Traits
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_disk import PartitionDisk
from appliance.volumes.partition_state import PartitionHistory

TRAITS = Traits(place="the free part of the disk", one_volume=True, beside=True, hidden=True)

MEMORY = Path("/run/twinboot/partition")
"""In the appliance's memory: what there is of copies that go with the power."""

_ROOT = re.compile(r"(?:\A|\s)root=(\S*)")


def why_not(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    root, found = system.root, where(machine, system)
    if found is None:
        return (f"The root volume {root.device} is no partition of a disk whose table has an identity.",)
    disk, part = found
    reasons = list(partition_room.why_never(disk, part))
    if others := [d.path for d in machine.disks if d.group == disk.group and d.path != disk.path]:
        reasons.append(
            f"The partition tables of {disk.path} and {others[0]} bear the same identity: one of the two is "
            "a copy; give it an identity of its own (sfdisk --disk-id)."
        )
    if part.fstype not in BESIDE_ITSELF:
        reasons.append(
            f"A root on a partition kept as {part.fstype} can only be rehearsed, not promoted (yet)."
        )
    named = _ROOT.search(system.command_line)
    if named is None or named[1] != f"UUID={root.fsuuid}":
        reasons.append(
            f"The loader names the root on {root.device} as {named[1] if named else 'nothing'}: only one "
            "named by its UUID can be told from a second one (yet)."
        )
    if system.loader.kind is LoaderKind.SYSTEMD_BOOT:
        reasons.append("A root on a partition that systemd-boot starts can not be promoted (yet).")
    return (
        *reasons,
        *(
            f"{volume.target} ({volume.device}) belongs to the volume set and is a partition of its own "
            "beside the root: a second one of it can not be made (yet)."
            for volume in system.beside_root
        ),
    )


def room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    disk, _ = _found(machine, system)
    return ProbedRoom(disk.room, disk.clear.size)


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    return partition_room.why_not(*_found(machine, system), expected)


def lacking_bytes(machine: Machine, system: InstalledSystem, expected: int) -> int:
    """How much more must be free on its disk in one piece; 0 where it is enough. Pure."""
    return partition_room.lacking_bytes(*_found(machine, system), expected)


def store(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    run: str,
    expected: int,
    tell: Tell = nobody_listens,
) -> PartitionStore:
    return store_in(host, *_found(machine, system), system.root.partition, expected, tell=tell)


def history_in(host: Host, machine: Machine, group: VolumeGroup) -> PartitionHistory | None:
    """The history on the disk that is `group`; None where that is none."""
    disk = _disk(machine, group.name)
    return PartitionHistory(PartitionDisk(host, disk)) if disk is not None else None


def store_in(
    host: Host,
    disk: Disk,
    root: Partition,
    called: str,
    expected: int,
    memory: Path | None = None,
    tell: Tell = nobody_listens,
) -> PartitionStore:
    """The store beside `root` on `disk`, which `where` has found; a plan calls that root `called`."""
    wanted = partition_room.room_bytes(expected)
    return PartitionStore(host, disk, root, called, memory or MEMORY, wanted, tell)


def where(machine: Machine, system: InstalledSystem) -> tuple[Disk, Partition] | None:
    """Disk and partition of the root that a plan calls as `system` does, by the numbers in the table: a
    device may have another name than when the plan was made. One that a retire has emptied by now is of the
    kind it was."""
    disk = _disk(machine, system.root.disk) if system.root.partition else None
    if disk is None:
        return None
    listed = {copy.name: copy.number for copy in disk.copies if copy.number}
    own = (p for p in disk.partitions if part_name(p.number) == system.root.partition)
    ours = (p for p in disk.partitions if p.number == listed.get(system.root.partition))
    part = next(own, None) or next(ours, None)
    return (disk, replace(part, fstype=part.fstype or system.root.fstype)) if part is not None else None


def _found(machine: Machine, system: InstalledSystem) -> tuple[Disk, Partition]:
    """The same, once `why_not` has said nothing against it (`Kind`)."""
    found = where(machine, system)
    assert found is not None, system.root.device
    return found


def _disk(machine: Machine, group: str) -> Disk | None:
    return next((disk for disk in machine.disks if group and disk.group == group), None)
