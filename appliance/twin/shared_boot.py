"""A /boot that is an array (MD RAID 1) in the twin: every leg shows one content, each behind its own header.

What the twin writes to one leg it writes to the others, in the same place; and what is put there while the
twin is off is in all of them at once. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import Refused
from appliance.model.machine import Disk, InstalledSystem, Layer, Machine
from appliance.twin.extents import behind_header, mirror_place
from appliance.twin.segments import (
    SECTOR,
    CowRun,
    MirrorPlace,
    Scratch,
    Segment,
    TwinPartition,
    cow_store_length,
)


def boot_array(machine: Machine, system: InstalledSystem) -> Layer | None:
    """The array that is /boot itself. Raises Refused where a leg is no partition or disk."""
    volume = system.boot_volume
    array = machine.mirror_at(volume.device) if volume is not None else None
    lost = [leg for leg in array.below if machine.disk_of(leg) is None] if array is not None else []
    if lost:
        raise Refused(tuple(f"{leg}, where /boot lies, is neither a disk nor a partition." for leg in lost))
    return array


@dataclass(frozen=True, slots=True)
class SharedBoot:
    """`place` is the array on the twin's disks, `source` what each of its legs shows behind its header."""

    place: MirrorPlace
    source: CowRun

    @classmethod
    def of(cls, array: Layer, disks: tuple[Disk, ...], scratch: Scratch) -> SharedBoot:
        """Copy-on-write over the first leg's content. `disks` hold all of the legs. Raises Refused."""
        header, length = array.offset // SECTOR, array.size // SECTOR
        places = tuple(behind_header(path, header, length, disks) for path in array.below)
        first, store = places[0], cow_store_length(length)
        source = CowRun(disks[first.disk].path, first.start, scratch.take(store), store)
        return cls(mirror_place(array, places, header, length), source)

    @property
    def partition(self) -> TwinPartition:
        """Where it is found as a whole: behind the first leg's header."""
        first = self.place.legs[0]
        return TwinPartition(first.disk, 0, first.start + self.place.header, self.place.length)

    def on(self, index: int) -> tuple[Segment, ...]:
        """Its content on the twin's disk `index`, in order."""
        starts = sorted(leg.start + self.place.header for leg in self.place.legs if leg.disk == index)
        return tuple(Segment(start, self.place.length, self.source) for start in starts)
