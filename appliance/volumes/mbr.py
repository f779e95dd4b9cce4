"""The partition table of an MBR: four entries in the disk's first sector, written in one.

Only these four are used. Logical partitions lie in an extended one, which takes one of the four. Their chain
is not touched. Source of the fields: the Linux kernel, block/partitions/msdos.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from appliance.errors import DamagedData
from appliance.volumes.table import MIB, SectorWrite, Slot

ENTRIES, WIDTH, COUNT = 446, 16, 4
ENTRY = struct.Struct("<B3sB3sII")
SIGNATURE = b"\x55\xaa"
LINUX = 0x83
GPT_GUARD = 0xEE
FAR = b"\xfe\xff\xff"
"""Cylinder, head and sector of what they can not count; the numbers of blocks are what holds."""

CHS = len(FAR)

MOST = 1 << 32
"""Blocks that its numbers can count."""


def types_of(head: bytes) -> tuple[int, ...]:
    """The types of the four entries in a disk's first sector; none where it has no such table."""
    if head[510:512] != SIGNATURE:
        return ()
    return tuple(head[ENTRIES + WIDTH * n + 4] for n in range(COUNT))


@dataclass(frozen=True, slots=True)
class Mbr:
    disk: str
    sector: int
    size: int
    head: bytes

    @classmethod
    def parse(cls, disk: str, head: bytes, size: int, sector: int) -> Mbr:
        """Raises DamagedData where the first sector holds no table of partitions."""
        if not types_of(head):
            raise DamagedData(f"{disk} has no partition table that is known here.")
        return cls(disk, sector, size, head)

    @property
    def first(self) -> int:
        """GRUB lies in front of it."""
        return MIB

    @property
    def end(self) -> int:
        """Behind it controllers that join disks keep what they know."""
        return min((self.size - MIB) // self.sector, MOST) * self.sector

    @property
    def slots(self) -> tuple[Slot, ...]:
        found = ((number, ENTRY.unpack(self._entry(number))) for number in range(1, COUNT + 1))
        return tuple(
            Slot(number, start * self.sector, length * self.sector, chs=(begin + last).hex())
            for number, (_, begin, kind, last, start, length) in found
            if kind
        )

    def free_number(self) -> int | None:
        return next((n for n in range(1, COUNT + 1) if self._entry(n) == bytes(WIDTH)), None)

    def added(self, slot: Slot) -> tuple[SectorWrite, ...]:
        if self._entry(slot.number) != bytes(WIDTH):
            raise DamagedData(f"Partition {slot.number} of {self.disk} is not free.")
        return self._write(slot.number, ENTRY.pack(0, FAR, LINUX, FAR, *self._place(slot)))

    def moved(self, number: int, to: Slot) -> tuple[SectorWrite, ...]:
        flag, _, kind, _, _, _ = ENTRY.unpack(self._entry(number))
        if not kind:
            raise DamagedData(f"{self.disk} has no partition {number}.")
        chs = bytes.fromhex(to.chs) or FAR + FAR
        return self._write(number, ENTRY.pack(flag, chs[:CHS], kind, chs[CHS:], *self._place(to)))

    def removed(self, number: int) -> tuple[SectorWrite, ...]:
        return () if self._entry(number) == bytes(WIDTH) else self._write(number, bytes(WIDTH))

    def mended(self) -> tuple[SectorWrite, ...]:
        return ()

    def _write(self, number: int, entry: bytes) -> tuple[SectorWrite, ...]:
        at = ENTRIES + WIDTH * (number - 1)
        return (SectorWrite(0, self.head[:at] + entry + self.head[at + WIDTH :]),)

    def _place(self, slot: Slot) -> tuple[int, int]:
        if slot.start % self.sector or slot.size % self.sector or slot.size <= 0:
            raise DamagedData(f"A partition of {self.disk} must be whole sectors.")
        if slot.start < self.first or slot.end > self.end:
            raise DamagedData(f"A partition of {self.disk} must lie where its table can count.")
        return slot.start // self.sector, slot.size // self.sector

    def _entry(self, number: int) -> bytes:
        at = ENTRIES + WIDTH * (number - 1)
        return self.head[at : at + WIDTH]
