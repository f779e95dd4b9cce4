"""A disk's partition table as the store changes it: one entry at a time, each by writes of one sector.

Pure but for `read_table`. Where a partition lies is counted in bytes from the beginning of the disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import DamagedData
from appliance.model.free_parts import MIB as MIB
from appliance.model.free_parts import Extent as Extent
from appliance.model.free_parts import free_extents as free_extents


@dataclass(frozen=True, slots=True)
class Slot:
    """A partition: its number, where it lies, what it is called (a GPT's names alone). `chs` is the same
    place in cylinders, heads and sectors, as an MBR has it beside, in hexadecimal digits."""

    number: int
    start: int
    size: int
    name: str = ""
    chs: str = ""

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class SectorWrite:
    """One whole sector of the table, `at` bytes from the beginning of the disk."""

    at: int
    data: bytes


class Table(Protocol):
    """What both kinds of partition table do. Nothing is written: the writes are returned, in their order.

    After each of them the table is a valid one: it has the partition, or has it not.
    """

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every partition that takes room, by number."""

    @property
    def first(self) -> int:
        """Where the first partition may begin, in bytes."""

    @property
    def end(self) -> int:
        """Where the last one must end, in bytes."""

    def free_number(self) -> int | None:
        """The first number that a new partition can have; None where there is none."""

    def added(self, slot: Slot) -> tuple[SectorWrite, ...]:
        """The writes that add `slot`, whose number must be free."""

    def moved(self, number: int, to: Slot) -> tuple[SectorWrite, ...]:
        """Partition `number` lies where `to` does from then on; type, flags and name stay its own."""

    def removed(self, number: int) -> tuple[SectorWrite, ...]:
        """The writes that remove a partition that was `added`. Nothing happens where it is gone.

        Raises DamagedData where it was changed since by somebody else.
        """

    def mended(self) -> tuple[SectorWrite, ...]:
        """The writes that make the second copy what the first is, where a power cut came between the two."""


def read_table(disk: Path, sector: int) -> Table:
    """The table of `disk`, whose logical sectors have `sector` bytes. Raises DamagedData for one that is not
    whole, both copies of it where there are two."""
    from appliance.volumes.gpt import Gpt
    from appliance.volumes.mbr import GPT_GUARD, Mbr, types_of

    descriptor = os.open(disk, os.O_RDONLY)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)

        def read(at: int, length: int) -> bytes:
            found = os.pread(descriptor, length, at)
            if len(found) != length:
                raise DamagedData(f"{disk} ends before its partition table does.")
            return found

        head = read(0, sector)
        if GPT_GUARD in types_of(head):
            return Gpt.read(str(disk), read, size, sector)
        return Mbr.parse(str(disk), head, size, sector)
    finally:
        os.close(descriptor)
