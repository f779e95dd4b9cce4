"""One disk with partitions: what of ours is on it, and how its partition table is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from appliance.errors import DamagedData, OutOfSpace, TwinFailed
from appliance.host import mapper
from appliance.host.run import Command, Effect, Host, read, write
from appliance.host.udev import settle
from appliance.model.codec import from_json
from appliance.model.free_parts import largest
from appliance.model.machine import Disk
from appliance.probe.partition_ours import LENGTH, Record, chain, decode, written
from appliance.volumes.disk_room import DiskPart
from appliance.volumes.partition_record import encode
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
        """What stands for the group of volumes in our names: the disk as a group, or its own name."""
        return self.probed.group or mapper.name_of(self.disk)

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

    def clear(self) -> Extent:
        """The largest part that neither the table nor a copy of ours takes; of no size where none is."""
        table = self.table()
        taken = [(slot.start, slot.size) for slot in table.slots]
        taken += [(record.at, record.end - record.at) for record in self.records()]
        return largest(free_extents(table.first, table.end, taken))

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
            for record in chain(self._record_at, extent):
                if record.gone and record.size >= size:
                    return record.at
                at = _whole(record.end)
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

    def claim(self, record: Record) -> None:
        """Write down a new copy where `place` said. The rest of one that was gone leads on to the next."""
        was = self._record_at(record.at)
        if was is not None and was.gone:
            self._lead(record, _whole(record.end), _whole(was.end))
        self.put(record)

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
        self._lead_past(record, number)
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

    def _lead_past(self, record: Record, number: int) -> None:
        """What lies behind partition `number` stays to be found when that is free: others are looked for from
        the beginning of what is free alone."""
        table = self._mended()
        hidden = [r for r in self.records() if not self.numbers(r, table)]
        own = (record.start, record.size)
        stay = [(s.start, s.size) for s in table.slots if s.number != number and (s.start, s.size) != own]
        for extent in free_extents(table.first, table.end, (*stay, own)):
            found = tuple(chain(self._record_at, extent))
            at = _whole(found[-1].end) if found else extent.start
            behind = [r.at for r in hidden if at <= r.at and r.end <= extent.end]
            self._lead(record, at, min(behind, default=at))

    def _lead(self, record: Record, at: int, to: int) -> None:
        """Whoever comes to `at` is led on to `to`, as past a copy that is gone."""
        if to > at:
            way = replace(record, origin="", at=at, size=to - at - MIB, uuid="", base="", witness="")
            self.put(replace(way, previous="", label="", old=0, old_at=0, gone=True))

    def _written(self, table: Table) -> tuple[Record, ...]:
        """What is written down in front of partitions, and in what is free."""
        listed = ((slot.start, slot.size) for slot in table.slots)
        return written(self._record_at, self.free(table), listed)

    def _record_at(self, at: int) -> Record | None:
        descriptor = os.open(self.disk, os.O_RDONLY)
        try:
            raw = os.pread(descriptor, LENGTH, at)
        finally:
            os.close(descriptor)
        return decode(raw, at)

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


def _whole(at: int) -> int:
    """The next whole MiB."""
    return -(-at // MIB) * MIB


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
