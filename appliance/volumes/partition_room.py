"""How much free room on its disk a run beside a root on a partition takes, and whether it is there. Pure."""

from __future__ import annotations

from appliance.model.machine import Disk, Partition
from appliance.volumes.elsewhere import bytes_for
from appliance.volumes.mbr import COUNT, MOST
from appliance.volumes.partition_fs import COPIED
from appliance.volumes.table import MIB, Extent, free_extents

GPT, DOS = "gpt", "dos"
EXTENDED = frozenset({"0x5", "0xf", "0x85"})
"""Types of partitions that hold the logical ones (block/partitions/msdos.c, is_extended_partition)."""

GPT_BLOCKS = 34
"""Blocks that a GPT takes at either end of a disk: at most, with the 128 entries that all programs make."""


def extents(disk: Disk) -> tuple[Extent, ...]:
    """What no partition takes, whole MiB."""
    ends = disk.size - GPT_BLOCKS * disk.sector
    if disk.table == DOS:
        ends = min(disk.size - MIB, MOST * disk.sector)
    return free_extents(MIB, ends, tuple((p.start, _taken(disk, p, ends)) for p in disk.partitions))


def _taken(disk: Disk, part: Partition, ends: int) -> int:
    """Bytes that `part` takes. Of an extended one, in which others lie, the kernel says two sectors: it may
    go up to the next primary one."""
    if disk.table != DOS or part.type_id not in EXTENDED:
        return part.size
    behind = (p.start for p in disk.partitions if p.number <= COUNT and p.start > part.start)
    return min((*behind, ends)) - part.start


def largest(found: tuple[Extent, ...]) -> Extent:
    """The first of the largest; one of no size where nothing is free."""
    return max(found, key=lambda extent: extent.size, default=Extent(0, 0))


def room_bytes(expected: int) -> int:
    """What the twins of a run that writes `expected` bytes get, in whole MiB."""
    return bytes_for(expected)


def copy_bytes(root: Partition) -> int:
    """What the copy takes: as much as the root's partition, and the MiB in front of it."""
    return -(-root.size // MIB) * MIB + MIB


def why_not(disk: Disk, root: Partition, expected: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected` bytes can not be kept on `disk`; empty where it can."""
    reasons = []
    if root.fstype not in COPIED:
        reasons.append(
            f"The root on {root.path} is kept as {root.fstype or 'nothing known'}; a second one can be made "
            f"of {' or '.join(COPIED)} (yet)."
        )
    if disk.table not in (GPT, DOS):
        reasons.append(f"{disk.path} has no partition table that is known here.")
        return tuple(reasons)
    if disk.table == DOS:
        reasons += _why_not_dos(disk, root)
    needed, free = copy_bytes(root) + room_bytes(expected), largest(extents(disk)).size
    if free < needed:
        reasons.append(
            f"A second root beside {root.path} needs {needed // MIB} MiB of {disk.path} in one piece that no "
            f"partition takes: {copy_bytes(root) // MIB} for the copy, {room_bytes(expected) // MIB} for "
            f"what the twin writes. {free // MIB} MiB are free: make a partition smaller, or remove one."
        )
    return tuple(reasons)


def _why_not_dos(disk: Disk, root: Partition) -> tuple[str, ...]:
    reasons = []
    if root.number > COUNT:
        reasons.append(
            f"{root.path} is a logical partition, whose place in the chain no other can take (yet): "
            "a root on a primary partition, or on a disk with a GPT, can."
        )
    if len([p for p in disk.partitions if p.number <= COUNT]) >= COUNT:
        reasons.append(
            f"All four entries of the partition table of {disk.path} are taken: a second root needs one."
        )
    return tuple(reasons)


def lacking_bytes(disk: Disk, root: Partition, expected: int) -> int:
    """How much more must be free in one piece; 0 where it is enough."""
    return max(0, copy_bytes(root) + room_bytes(expected) - largest(extents(disk)).size)
