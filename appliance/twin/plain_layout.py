"""The twin's disks where the root is a partition: the same disks, with the copy in that partition's place.

All else is throw-away copy-on-write over the metal: partition table, /boot, ESP, swap and data partitions as
they are, so that every id and every UUID is the machine's own. Pure arithmetic, in 512-byte sectors.
"""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model.machine import Disk, InstalledSystem, Machine, Partition
from appliance.twin.disks import cow, disks_needed, twin_partition
from appliance.twin.segments import SECTOR, FromVolume, Scratch, Segment, TwinDisk, TwinLayout


def plan_plain_layout(machine: Machine, system: InstalledSystem) -> TwinLayout:
    """The twin's disks for `system`, whose root is no logical volume. Raises Refused with every reason."""
    root = system.root
    disks = disks_needed(machine, system, frozenset())
    there = (p for disk in disks for p in disk.partitions if p.path == root.device)
    part = next(there, None)
    reasons = [
        f"{volume.target} is in the volume group {volume.vg}, the root in none: "
        "that can not be rehearsed (yet)."
        for volume in system.volumes
        if volume.vg
    ]
    if part is None:
        reasons.append(f"The root volume {root.device} is no partition of a disk.")
    if reasons or part is None:
        raise Refused(tuple(reasons))
    scratch = Scratch()
    return TwinLayout(
        disks=tuple(_twin_disk(disk, part, root.name, scratch) for disk in disks),
        pvs=(),
        vg="",
        vg_text="",
        swaps=(),
        volumes=(root.name,),
        sizes=(part.size // SECTOR,),
        linear=(),
        scratch_sectors=scratch.sectors,
        boot=twin_partition(system.boot, disks),
        esp=twin_partition(system.esp, disks),
    )


def _twin_disk(disk: Disk, root: Partition, name: str, scratch: Scratch) -> TwinDisk:
    sectors = disk.size // SECTOR
    segments: list[Segment] = []
    at = 0
    if root in disk.partitions:
        start, length = root.start // SECTOR, root.size // SECTOR
        segments += [*cow(disk.path, 0, 0, start, scratch), Segment(start, length, FromVolume(name, 0))]
        at = start + length
    segments += cow(disk.path, at, at, sectors - at, scratch)
    return TwinDisk(
        path=disk.path,
        sectors=sectors,
        real_sectors=sectors,
        sector_size=disk.sector,
        table=disk.table,
        segments=tuple(segments),
    )
