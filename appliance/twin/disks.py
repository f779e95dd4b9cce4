"""Which of the machine's disks the twin has, and what they have in common whatever the root lies on. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.model.machine import Disk, InstalledSystem, Machine, Partition
from appliance.twin.segments import (
    SECTOR,
    Blank,
    CowRun,
    Scratch,
    Segment,
    TwinPartition,
    cow_store_length,
)


def disks_needed(machine: Machine, system: InstalledSystem, pvs: frozenset[str]) -> tuple[Disk, ...]:
    """Those that hold a volume of `system`, its /boot, its ESP or one of `pvs` (device paths)."""
    paths = pvs | {v.device for v in system.volumes}
    paths |= {p.path for p in (system.boot, system.esp) if p is not None}
    return tuple(d for d in machine.disks if d.path in paths or any(p.path in paths for p in d.partitions))


def cow(device: str, start: int, offset: int, length: int, scratch: Scratch) -> Iterator[Segment]:
    """Throw-away copy-on-write over `length` sectors of `device` from `offset` on; nothing for none."""
    if length > 0:
        store_length = cow_store_length(length)
        yield Segment(start, length, CowRun(device, offset, scratch.take(store_length), store_length))


def blank(start: int, length: int, scratch: Scratch) -> Iterator[Segment]:
    if length > 0:
        yield Segment(start, length, Blank(scratch.take(length)))


def twin_partition(part: Partition | None, disks: tuple[Disk, ...]) -> TwinPartition | None:
    """Where `part` lies on the twin's disks, which stand in the order of `disks`; None where it does not."""
    if part is None:
        return None
    for index, disk in enumerate(disks):
        if any(p.path == part.path for p in disk.partitions):
            return TwinPartition(index, part.number, part.start // SECTOR, part.size // SECTOR)
    return None
