"""The store of a system whose root is a partition, and what of the probed machine stands against one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from appliance.errors import Refused
from appliance.host.run import Host
from appliance.model.machine import Disk, InstalledSystem, Machine, Partition
from appliance.volumes import partition_room
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_out import Copied, nobody_listens


def why_not(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why no second root can stand beside that of `system`, whatever room there is. Pure."""
    if _where(machine, system) is None:
        return (f"The root volume {system.root.device} is no partition of a disk.",)
    return tuple(
        f"{volume.target} ({volume.device}) belongs to the volume set and is a partition of its own beside "
        "the root: a second one of it can not be made (yet)."
        for volume in system.beside_root
    )


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected` bytes does not fit beside it. Pure."""
    found = _where(machine, system)
    return partition_room.why_not(*found, expected) if found is not None else ()


def store_in(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    memory: Path,
    expected: int,
    tell: Callable[[Copied], None] = nobody_listens,
) -> PartitionStore:
    """`memory` is a folder in the appliance's memory. Raises Refused with every sentence of `why_not`."""
    found = _where(machine, system)
    reasons = why_not(machine, system)
    if found is None or reasons:
        raise Refused(reasons)
    disk, root = found
    room = partition_room.room_bytes(expected)
    return PartitionStore(host, disk, root, system.root.name, memory, room, tell)


def _where(machine: Machine, system: InstalledSystem) -> tuple[Disk, Partition] | None:
    disk = machine.disk_of(system.root.device)
    parts = disk.partitions if disk is not None and not system.root.vg else ()
    root = next((part for part in parts if part.path == system.root.device), None)
    return (disk, root) if disk is not None and root is not None else None
