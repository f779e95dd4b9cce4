"""One disk with partitions: what of ours is on it, and where the next copy goes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import DamagedData, OutOfSpace, Refused
from appliance.host import mapper
from appliance.host.run import Command, Effect, Host, read
from appliance.host.udev import settle
from appliance.model.free_parts import largest, whole, without
from appliance.model.machine import Disk
from appliance.probe.partition_ours import LENGTH, Record, Within, chain, decode, opened, written
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
        return tuple(record for record in self.written_down(self.table()) if not record.gone)

    def free(self, table: Table) -> tuple[Extent, ...]:
        """What the table gives to nobody. Our own copies may lie there."""
        taken = tuple((slot.start, slot.size) for slot in table.slots)
        return free_extents(table.first, table.end, taken)

    def spares(self, table: Table) -> tuple[Within, ...]:
        """Partitions that copies lie inside of: first the one that was named, as long as the table has it
        where it was, then those that something of ours is in."""
        listed = [within_of(slot) for slot in table.slots]
        named = (part for part in self.probed.partitions if part.number == self.probed.named)
        wanted = [Within(number=part.number, start=part.start, size=part.size) for part in named]
        first = [each for each in listed if any(each.is_at(one) for one in wanted)]
        return (*first, *(each for each in opened(self.record_at, listed) if each not in first))

    def refuse_what_holds_something(self) -> None:
        """Raises Refused where that partition holds what somebody may want (wipefs(8) finds more than
        blkid(8) says: signatures at its end, and several at once)."""
        for each in self.spares(self.table())[:1]:
            device = device_of(self.disk, each.number)
            said = self.host.run(read("wipefs", "--noheadings", "--output", "TYPE", device, timeout=MINUTE))
            if found := ", ".join(said.stdout.split()):
                raise Refused((f"{device} holds {found}: only a partition that holds nothing is taken.",))

    def rooms(self, table: Table) -> tuple[Extent, ...]:
        """Where copies are made: inside the first of those, else in what the table gives to nobody. Nowhere
        while a named partition is moved: what is free then may be its own again."""
        if any(record.within and self.numbers(record, table) for record in self.records()):
            return ()
        return tuple(each.extent for each in self.spares(table)[:1]) or self.free(table)

    def clear(self) -> Extent:
        """The largest part of that which no copy of ours takes; of no size where none is."""
        taken = ((record.at, record.end - record.at) for record in self.records())
        return largest(without(self.rooms(self.table()), taken))

    def within(self, at: int) -> Within | None:
        """The partition that a copy whose record stands at `at` lies inside of; None in free room."""
        spares = self.spares(self.table())
        return next((each for each in spares if each.extent.start <= at < each.extent.end), None)

    def numbers(self, record: Record, table: Table) -> tuple[int, ...]:
        """The partitions that are this copy: one, where it is listed; two, where a move was cut short."""
        there = (s.number for s in table.slots if (s.start, s.size) == (record.start, record.size))
        return tuple(there)

    def place(self, size: int, keep: Extent) -> int:
        """Where the next copy of `size` bytes goes: behind those there are, and not in `keep`.

        Raises OutOfSpace where no part is free that is large enough.
        """
        table = self.table()
        for extent in self.rooms(table):
            at, end = extent.start, extent.end
            if extent.start <= keep.start < extent.end:
                end = keep.start
            for record in chain(self.record_at, extent):
                if record.gone and record.size >= size:
                    return record.at
                at = whole(record.end)
            if at + MIB + size <= end:
                return at
        raise OutOfSpace(
            f"{self.room(table)} has no {(size + MIB) // MIB} MiB in one piece: a second root has no room."
        )

    def room(self, table: Table) -> str:
        """What a person calls where copies are made."""
        numbers = [each.number for each in self.spares(table)]
        return device_of(self.disk, numbers[0]) if numbers else f"The free part of {self.disk}"

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
        self.write_sector(SectorWrite(record.at, encode(record).ljust(self.sector, b"\0")))

    def claim(self, record: Record) -> None:
        """Write down a new copy where `place` said. The rest of one that was gone leads on to the next."""
        was = self.record_at(record.at)
        if was is not None and was.gone:
            self.lead(record, whole(record.end), whole(was.end))
        self.put(record)

    def forget(self, record: Record) -> None:
        """From then on the copy is nothing but free room. Others are found behind it all the same."""
        self.put(replace(record, gone=True))
        table = self.table()
        written = self.written_down(table)
        # Those that lie inside of a named partition are looked for behind one another once it is moved back.
        needed = [r.at for r in written if not r.gone and (r.within or not self.numbers(r, table))]
        for each in reversed([r for r in written if r.gone]):
            if not any(at > each.at for at in needed):
                self.write_sector(SectorWrite(each.at, bytes(self.sector)))

    # Parts.

    def lead(self, record: Record, at: int, to: int) -> None:
        """Whoever comes to `at` is led on to `to`, as past a copy that is gone."""
        if to > at:
            way = replace(record, origin="", at=at, size=to - at - MIB, uuid="", base="", witness="")
            self.put(replace(way, previous="", label="", old=0, old_at=0, within=None, gone=True))

    def written_down(self, table: Table) -> tuple[Record, ...]:
        """What is written down in front of partitions, inside of them, and in what is free."""
        return written(self.record_at, self.free(table), [within_of(slot) for slot in table.slots])

    def record_at(self, at: int) -> Record | None:
        descriptor = os.open(self.disk, os.O_RDONLY)
        try:
            raw = os.pread(descriptor, LENGTH, at)
        finally:
            os.close(descriptor)
        return decode(raw, at)

    def write_sector(self, sector: SectorWrite) -> None:
        """On the disk before this returns."""
        if len(sector.data) != self.sector or sector.at % self.sector:
            raise DamagedData(f"{len(sector.data)} bytes at {sector.at} are no sector of {self.disk}.")
        where = (f"of={self.disk}", f"bs={self.sector}", f"seek={sector.at // self.sector}", "count=1")
        how = ("iflag=fullblock", "conv=notrunc,fsync", "status=none")
        self.host.run(Command(("dd", *where, *how), Effect.WRITE, timeout=10 * MINUTE, stdin=sector.data))
        settle(self.host)


def within_of(slot: Slot) -> Within:
    return Within(number=slot.number, start=slot.start, size=slot.size, chs=slot.chs)


def slot_of(part: Within) -> Slot:
    return Slot(part.number, part.start, part.size, chs=part.chs)
