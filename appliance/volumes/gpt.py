"""A GUID partition table, changed one sector at a time.

The table's header holds a checksum of all entries, so that a new entry would take two writes, and a power cut
between them leave a table that is not believed: Linux then finds no partition at all. But four bytes of a
partition's own GUID can be chosen so that the checksum stays what it was. So the header is never written,
adding or removing an entry is one sector in each of the two copies, and the table is whole at any moment.

Source of the fields: UEFI specification, 5.3.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import DamagedData
from appliance.volumes.table import SectorWrite, Slot

Read = Callable[[int, int], bytes]

HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
"""A Linux file system. Not the type of a root, which systemd-gpt-auto-generator(8) would mount by itself."""

UNUSED = bytes(16)
FREE_BYTES = 16 + 10
"""Where in an entry the bytes are that may be anything: in the partition's own GUID, behind what says that it
is a random one."""

NAME = 36
"""UTF-16 units of a partition's name."""


@dataclass(frozen=True, slots=True)
class Gpt:
    """Both copies: `entries` is the first's list, `second` the other's; they differ after a power cut alone.

    `at` and `second_at` are where those lists begin, in bytes; `checksum` is what both headers say of theirs.
    """

    disk: str
    sector: int
    first: int
    end: int
    at: int
    second_at: int
    width: int
    checksum: int
    entries: bytes
    second: bytes

    @classmethod
    def read(cls, disk: str, read: Read, size: int, sector: int) -> Gpt:
        """Raises DamagedData where a copy is not whole, or both do not say the same of the disk."""
        first = _Copy.read(disk, "first", read, sector, 1, sector)
        second = _Copy.read(disk, "second", read, first.alternate * sector, first.alternate, sector)
        if first.alternate != size // sector - 1:
            raise DamagedData(f"The second partition table of {disk} is not at its end.")
        same = (first.usable, first.width, first.checksum) == (second.usable, second.width, second.checksum)
        if not same or second.alternate != 1:
            raise DamagedData(f"The two partition tables of {disk} do not belong together.")
        begin, last = first.usable
        return cls(
            disk=disk,
            sector=sector,
            first=begin * sector,
            end=(last + 1) * sector,
            at=first.at,
            second_at=second.at,
            width=first.width,
            checksum=first.checksum,
            entries=first.entries,
            second=second.entries,
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        numbers = range(1, len(self.entries) // self.width + 1)
        return tuple(slot for number in numbers if (slot := self._slot(number)) is not None)

    def free_number(self) -> int | None:
        numbers = range(1, len(self.entries) // self.width + 1)
        blank = bytes(self.width)
        return next((n for n in numbers if self._entry(n) == self._entry(n, self.second) == blank), None)

    def added(self, slot: Slot) -> tuple[SectorWrite, ...]:
        if self._entry(slot.number) != bytes(self.width):
            raise DamagedData(f"Partition {slot.number} of {self.disk} is not free.")
        name = slot.name.encode("utf-16-le")
        if len(name) >= 2 * NAME:
            raise DamagedData(f"{slot.name!r} is too long for the name of a partition.")
        raw = ENTRY.pack(LINUX, uuid.uuid4().bytes_le, *self._place(slot), 0, name)
        # The second copy first: as long as the first has no such entry, nobody sees it.
        return self._writes(slot.number, raw.ljust(self.width, b"\0"))[::-1]

    def moved(self, number: int, to: Slot) -> tuple[SectorWrite, ...]:
        kind, own, _, _, flags, name = ENTRY.unpack_from(self._entry(number))
        if kind == UNUSED:
            raise DamagedData(f"{self.disk} has no partition {number}.")
        raw = ENTRY.pack(kind, own, *self._place(to), flags, name)
        return self._writes(number, raw.ljust(self.width, b"\0"))[::-1]

    def removed(self, number: int) -> tuple[SectorWrite, ...]:
        blank = bytes(self.width)
        if self._entry(number) == self._entry(number, self.second) == blank:
            return ()
        return self._writes(number, blank)

    def mended(self) -> tuple[SectorWrite, ...]:
        starts = range(0, len(self.entries), self.sector)
        pairs = ((at, self.entries[at : at + self.sector]) for at in starts)
        return tuple(
            SectorWrite(self.second_at + at, sector)
            for at, sector in pairs
            if sector != self.second[at : at + self.sector]
        )

    def _writes(self, number: int, entry: bytes) -> tuple[SectorWrite, ...]:
        """The sector of either copy, the first copy's first, with `entry` made so that the checksum stays."""
        at = (number - 1) * self.width
        entries = _put(self.entries, at, entry)
        if entry != bytes(self.width):
            entries = with_checksum(entries, at + FREE_BYTES, self.checksum)
        second = _put(self.second, at, entries[at : at + self.width])
        if zlib.crc32(entries) != self.checksum or zlib.crc32(second) != self.checksum:
            raise DamagedData(f"Partition {number} of {self.disk} was changed by somebody else.")
        sector = at // self.sector * self.sector
        found = (
            SectorWrite(begin + sector, raw[sector : sector + self.sector])
            for begin, raw in ((self.at, entries), (self.second_at, second))
        )
        return tuple(found)

    def _place(self, slot: Slot) -> tuple[int, int]:
        """First and last sector."""
        if slot.start % self.sector or slot.size % self.sector or slot.size <= 0:
            raise DamagedData(f"A partition of {self.disk} must be whole sectors.")
        if slot.start < self.first or slot.end > self.end:
            raise DamagedData(f"A partition of {self.disk} must lie between the two copies of its table.")
        return slot.start // self.sector, slot.end // self.sector - 1

    def _entry(self, number: int, entries: bytes = b"") -> bytes:
        at = (number - 1) * self.width
        return (entries or self.entries)[at : at + self.width]

    def _slot(self, number: int) -> Slot | None:
        kind, _, first, last, _, name = ENTRY.unpack_from(self._entry(number))
        if kind == UNUSED:
            return None
        called = name.decode("utf-16-le", errors="replace").partition("\0")[0]
        return Slot(number, first * self.sector, (last - first + 1) * self.sector, called)


@dataclass(frozen=True, slots=True)
class _Copy:
    """One copy of the table as it was read."""

    alternate: int
    usable: tuple[int, int]
    at: int
    width: int
    checksum: int
    entries: bytes

    @classmethod
    def read(cls, disk: str, which: str, read: Read, at: int, block: int, sector: int) -> _Copy:
        raw = read(at, sector)
        fields = HEADER.unpack_from(raw)
        said, length = fields[0], fields[2]
        if said != b"EFI PART" or not HEADER.size <= length <= sector or fields[5] != block:
            raise DamagedData(f"The {which} partition table of {disk} is missing.")
        if zlib.crc32(raw[:16] + bytes(4) + raw[20:length]) != fields[3]:
            raise DamagedData(f"The header of the {which} partition table of {disk} is damaged.")
        count, width = fields[11], fields[12]
        if width < ENTRY.size or count * width > 1 << 20 or sector % width:
            raise DamagedData(f"The {which} partition table of {disk} has entries of {width} bytes.")
        begin = fields[10] * sector
        entries = read(begin, count * width)
        if zlib.crc32(entries) != fields[13]:
            raise DamagedData(f"The list of the {which} partition table of {disk} is damaged.")
        return cls(fields[6], (fields[7], fields[8]), begin, width, fields[13], entries)


def with_checksum(data: bytes, at: int, wanted: int) -> bytes:
    """`data` with the four bytes at `at` chosen so that its CRC-32 is `wanted`.

    A CRC is linear: what it becomes is the exclusive or of what each bit that is set adds to it. Of 32 bits
    in a row any sum can be reached, in one way alone.
    """
    base = _put(data, at, bytes(4))
    start = zlib.crc32(base)
    # Gauss: for each leading bit of the checksum one choice of bits that adds it.
    reached: dict[int, tuple[int, int]] = {}
    for bit in range(32):
        added, chosen = zlib.crc32(_put(base, at, (1 << bit).to_bytes(4, "little"))) ^ start, 1 << bit
        while added:
            leading = added.bit_length()
            if leading not in reached:
                reached[leading] = (added, chosen)
                break
            added, chosen = added ^ reached[leading][0], chosen ^ reached[leading][1]
    missing, bits = start ^ wanted, 0
    while missing:
        added, chosen = reached[missing.bit_length()]
        missing, bits = missing ^ added, bits ^ chosen
    return _put(base, at, bits.to_bytes(4, "little"))


def _put(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]
