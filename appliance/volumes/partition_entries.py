"""Which entry of the disk's partition table a copy of ours has: one of its own, or that of a partition that a
technician named, which is moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import OutOfSpace, Refused, TwinFailed
from appliance.host import mapper
from appliance.host.run import Host, read, write
from appliance.model.codec import from_json
from appliance.model.free_parts import whole
from appliance.probe.partition_ours import Record, Within, chain
from appliance.volumes.partition_disk import (
    MINUTE,
    PartitionDisk,
    device_of,
    label_of,
    slot_of,
    within_of,
)
from appliance.volumes.table import Slot, Table, free_extents


@dataclass(frozen=True, slots=True)
class PartitionEntries(PartitionDisk):
    """Each verb can be cut off at any write, and is begun again then."""

    def list_copy(self, record: Record) -> None:
        """Add it to the table, and see that another reader of tables finds it. Listed twice is once."""
        table = self._mended()
        if self.numbers(record, table):
            return
        slot = self._slot_for(record, table)
        if record.within is not None:
            self._lead_past(record, slot.number)
            self._move(slot.number, slot)
        else:
            for each in table.added(slot):
                self.write_sector(each)
        self._tell(slot.number)
        if (slot.start, slot.size) not in as_sfdisk_reads(self.host, self.disk):
            raise TwinFailed(f"Partition {slot.number} of {self.disk} is listed, and sfdisk finds it not.")

    def unlist_copy(self, record: Record) -> None:
        """Take it out of the table, which is what it was before. Nothing happens where it is not in it."""
        was = record.within
        for number in self.numbers(record, self._mended()):
            if was is None or was.number != number:
                self._remove(number)
                continue
            if other := self._in_the_way(was):
                raise Refused(
                    (f"Partition {number} of {self.disk} can not be what it was: {other} lies there now.",)
                )
            self._move(number, slot_of(was))
            self._tell(number)

    def take_place(self, record: Record, number: int) -> None:
        """Partition `number` is the copy from then on, and it is listed nowhere else. The entry of a named
        partition gets the place that `number` had."""
        if record.within is None:
            self._lead_past(record, number)
        else:
            self.list_copy(record)
        if number not in self.numbers(record, self._mended()):
            self._move(number, Slot(number, record.start, record.size))
        self._forget(number)
        for other in self.numbers(record, self.table()):
            if other == number:
                continue
            if record.within is None:
                self._remove(other)
            else:
                self._move(other, Slot(other, record.old_at, record.size))
                self._tell(other)
        self._tell(number)

    # Parts.

    def _slot_for(self, record: Record, table: Table) -> Slot:
        """The entry that lists it: a new one, or that of the partition it lies inside of. Raises OutOfSpace
        where there is none left, Refused where that partition is not what it was."""
        was, number = record.within, table.free_number()
        if was is not None:
            if not any(was.is_at(within_of(slot)) for slot in table.slots):
                raise Refused(
                    (f"Partition {was.number} of {self.disk} is not where it was: rehearse again.",)
                )
            number = was.number
        if number is None:
            raise OutOfSpace(f"The partition table of {self.disk} has no entry left for a second root.")
        return Slot(number, record.start, record.size, label_of(record.lv))

    def _in_the_way(self, place: Within) -> str:
        """A partition that lies there and is another one; empty where none does."""
        others = (s for s in self.table().slots if s.number != place.number)
        end = place.start + place.size
        return next(
            (device_of(self.disk, s.number) for s in others if s.start < end > place.start < s.end), ""
        )

    def _move(self, number: int, to: Slot) -> None:
        self._forget(number)
        for each in self.table().moved(number, to):
            self.write_sector(each)

    def _remove(self, number: int) -> None:
        self._forget(number)
        for each in self.table().removed(number):
            self.write_sector(each)

    def _lead_past(self, record: Record, number: int) -> None:
        """What lies behind partition `number`, or inside of it, stays to be found when that is free: others
        are looked for from the beginning of what is free alone."""
        table = self._mended()
        hidden = [r for r in self.records() if not self.numbers(r, table)]
        own = (record.start, record.size)
        stay = [(s.start, s.size) for s in table.slots if s.number != number and (s.start, s.size) != own]
        for extent in free_extents(table.first, table.end, (*stay, own)):
            found = tuple(chain(self.record_at, extent))
            at = whole(found[-1].end) if found else extent.start
            behind = [r.at for r in hidden if at <= r.at and r.end <= extent.end]
            self.lead(record, at, min(behind, default=at))

    def _mended(self) -> Table:
        """The table, both copies alike: what a power cut left between the two is taken back."""
        for each in self.table().mended():
            self.write_sector(each)
        return self.table()

    def _tell(self, number: int) -> None:
        """Make the kernel know what the table says of one partition."""
        if not self._is_known(number):
            self.host.run(write("partx", "--add", "--nr", str(number), self.disk, timeout=2 * MINUTE))

    def _forget(self, number: int) -> None:
        """The kernel's alone: CommandFailed where somebody uses it."""
        if self._is_known(number):
            self.host.run(write("partx", "--delete", "--nr", str(number), self.disk, timeout=2 * MINUTE))

    def _is_known(self, number: int) -> bool:
        return Path("/sys/class/block", mapper.name_of(device_of(self.disk, number))).exists()


def as_sfdisk_reads(host: Host, disk: str) -> frozenset[tuple[int, int]]:
    """(start, size) in bytes of every partition on `disk`, by a reader of tables that is not ours.

    Raises DamagedData for a table it does not take.
    """
    said = host.run(read("sfdisk", "--json", disk, timeout=2 * MINUTE)).stdout
    found: Described = from_json(said, Described, f"what sfdisk says of {disk}")
    table = found.partitiontable
    return frozenset((p.start * table.sectorsize, p.size * table.sectorsize) for p in table.partitions)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What of sfdisk's words is looked at: in sectors."""

    start: int
    size: int


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    sectorsize: int = 512
    partitions: tuple[Part, ...] = ()


class Described(msgspec.Struct, frozen=True, kw_only=True):
    partitiontable: Parts
