"""One disk with partitions: what of ours is on it, and how its partition table is changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from appliance.errors import DamagedData, OutOfSpace, TwinFailed
from appliance.host import mapper
from appliance.host.run import Command, Effect, Host, read, write
from appliance.host.udev import settle
from appliance.model.codec import from_json
from appliance.model.machine import Disk
from appliance.volumes.disk_room import DiskPart
from appliance.volumes.partition_record import LENGTH, Record, decode, encode
from appliance.volumes.table import MIB, Extent, SectorWrite, Slot, Table, free_extents, read_table

MINUTE = 60.0


def device_of(disk: str, number: int) -> str:
    """The kernel's name of a partition: sda1, nvme0n1p1."""
    return f"{disk}{'p' if disk[-1].isdigit() else ''}{number}"


def label_of(lv: str) -> str:
    """What a GPT calls the partition of a copy of ours."""
    return f"Twinboot {lv}"


@dataclass(frozen=True, slots=True)
class PartitionDisk:
    """The disk that was `probed`: where it is and how long its sectors are; its table is read anew."""

    host: Host
    probed: Disk

    @property
    def disk(self) -> str:
        return self.probed.path

    @property
    def sector(self) -> int:
        return self.probed.sector

    @property
    def vg(self) -> str:
        """What stands for the group of volumes in our names: the disk's own name."""
        return mapper.name_of(self.disk)

    # What the disk says.

    def table(self) -> Table:
        """Raises DamagedData where it is not whole."""
        return read_table(Path(self.disk), self.sector)

    def records(self) -> tuple[Record, ...]:
        """Every copy of ours, listed in the table or not, in the order of the disk."""
        return tuple(record for record in self._written(self.table()) if not record.gone)

    def free(self, table: Table) -> tuple[Extent, ...]:
        """What the table gives to nobody. Our own copies may lie there."""
        taken = tuple((slot.start, slot.size) for slot in table.slots)
        return free_extents(table.first, table.end, taken)

    def numbers(self, record: Record, table: Table) -> tuple[int, ...]:
        """The partitions that are this copy: one, where it is listed; two, where a move was cut short."""
        there = (s.number for s in table.slots if (s.start, s.size) == (record.start, record.size))
        return tuple(there)

    def place(self, size: int, keep: Extent) -> int:
        """Where the next copy of `size` bytes goes: behind those there are, and not in `keep`.

        Raises OutOfSpace where no part is free that is large enough.
        """
        table = self.table()
        for extent in self.free(table):
            at, end = extent.start, extent.end
            if extent.start <= keep.start < extent.end:
                end = keep.start
            for record in self._chain(extent, table):
                if record.gone and record.size >= size:
                    return record.at
                at = -(-record.end // MIB) * MIB
            if at + MIB + size <= end:
                return at
        raise OutOfSpace(
            f"{self.disk} has no {(size + MIB) // MIB} MiB in one piece that no partition takes: "
            "a second root has no room."
        )

    def part(self, record: Record) -> DiskPart:
        """The copy as a device, whether the table lists it or not."""
        name = f"twinboot-{record.run}-region-{record.lv}"
        return DiskPart(self.host, name, self.disk, record.start, record.size, self.sector)

    def foreign(self, lv: str) -> bool:
        """Whether a partition is called as ours would be, and is none."""
        table, name = self.table(), label_of(lv)
        ours = {n for record in self.records() for n in self.numbers(record, table)}
        return any(slot.name == name and slot.number not in ours for slot in table.slots)

    # What changes the disk: one sector, each time.

    def put(self, record: Record) -> None:
        """Write it down, in front of its copy."""
        self._write(SectorWrite(record.at, encode(record).ljust(self.sector, b"\0")))

    def forget(self, record: Record) -> None:
        """From then on the copy is nothing but free room. Others are found behind it all the same."""
        self.put(replace(record, gone=True))
        table = self.table()
        written = self._written(table)
        needed = [r.at for r in written if not r.gone and not self.numbers(r, table)]
        for each in reversed([r for r in written if r.gone]):
            if not any(at > each.at for at in needed):
                self._write(SectorWrite(each.at, bytes(self.sector)))

    def list_copy(self, record: Record) -> None:
        """Add it to the table, and see that another reader of tables finds it. Listed twice is once."""
        table = self._mended()
        if self.numbers(record, table):
            return
        number = table.free_number()
        if number is None:
            raise OutOfSpace(f"The partition table of {self.disk} has no entry left for a second root.")
        slot = Slot(number, record.start, record.size, label_of(record.lv))
        for each in table.added(slot):
            self._write(each)
        self._tell(number)
        if (slot.start, slot.size) not in as_sfdisk_reads(self.host, self.disk):
            raise TwinFailed(f"Partition {number} of {self.disk} was added, and sfdisk does not find it.")

    def unlist_copy(self, record: Record) -> None:
        """Take it out of the table, which is what it was before. Nothing happens where it is not in it."""
        for number in self.numbers(record, self._mended()):
            self._forget(number)
            for each in self.table().removed(number):
                self._write(each)

    def take_place(self, record: Record, number: int) -> None:
        """Partition `number` is the copy from then on, and it is listed nowhere else."""
        table = self._mended()
        if number not in self.numbers(record, table):
            self._forget(number)
            for each in table.moved(number, Slot(number, record.start, record.size)):
                self._write(each)
        for other in self.numbers(record, self.table()):
            self._forget(other)
            if other != number:
                for each in self.table().removed(other):
                    self._write(each)
        self._tell(number)

    # Parts.

    def _written(self, table: Table) -> tuple[Record, ...]:
        """What is written down in front of partitions, and in what is free."""
        found = {record.at: record for extent in self.free(table) for record in self._chain(extent, table)}
        for slot in table.slots:
            record = self._record_at(slot.start - MIB) if slot.start >= 2 * MIB else None
            if record is not None and (record.start, record.size) == (slot.start, slot.size):
                found[record.at] = record
        return tuple(found[at] for at in sorted(found))

    def _chain(self, extent: Extent, table: Table) -> Iterable[Record]:
        """One behind the other, from the beginning of what is free."""
        at = extent.start
        while at < extent.end:
            record = self._record_at(at)
            if record is None or record.end > extent.end:
                return  # nothing more, or a partition: it is listed, or somebody has made one in it
            yield record
            at = -(-record.end // MIB) * MIB

    def _record_at(self, at: int) -> Record | None:
        descriptor = os.open(self.disk, os.O_RDONLY)
        try:
            raw = os.pread(descriptor, LENGTH, at)
        finally:
            os.close(descriptor)
        return decode(raw, at) if len(raw) == LENGTH else None

    def _mended(self) -> Table:
        """The table, both copies alike: what a power cut left between the two is taken back."""
        for each in self.table().mended():
            self._write(each)
        return self.table()

    def _write(self, sector: SectorWrite) -> None:
        """On the disk before this returns."""
        if len(sector.data) != self.sector or sector.at % self.sector:
            raise DamagedData(f"{len(sector.data)} bytes at {sector.at} are no sector of {self.disk}.")
        where = (f"of={self.disk}", f"bs={self.sector}", f"seek={sector.at // self.sector}", "count=1")
        how = ("iflag=fullblock", "conv=notrunc,fsync", "status=none")
        self.host.run(Command(("dd", *where, *how), Effect.WRITE, timeout=10 * MINUTE, stdin=sector.data))
        settle(self.host)

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
