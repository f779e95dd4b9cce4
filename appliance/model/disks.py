"""Disks and their partitions, and which parts of a disk are free."""

from __future__ import annotations

import enum

import msgspec

from appliance.model.free_parts import MIB, Extent, free_extents, inside, largest, without
from appliance.model.partitions import Copy, group_name

GPT, DOS = "gpt", "dos"
EXTENDED = frozenset({"0x5", "0xf", "0x85"})
"""Types of partitions that hold the logical ones (block/partitions/msdos.c, is_extended_partition)."""

GPT_BLOCKS = 34
"""Blocks that a GPT takes at either end of a disk: at most, with the 128 entries that all programs make."""

PRIMARY = 4
"""Entries of an MBR."""

MOST = 1 << 32
"""Blocks that the numbers of an MBR can count."""


class Bus(enum.Enum):
    """Disk bus classes; the twin's disk hangs on the same one."""

    VIRTIO = "virtio"
    NVME = "nvme"
    SATA = "sata"
    SCSI = "scsi"
    USB = "usb"
    OTHER = "other"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """`start` and `size` are bytes from the beginning of the disk."""

    path: str
    number: int
    start: int
    size: int
    type_id: str = ""
    partuuid: str = ""
    fstype: str = ""
    fsuuid: str = ""
    label: str = ""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A whole disk; `size` in bytes, `table` is gpt, dos or empty; `copies` are ours beside its own.

    `driver` is the kernel's for the adapter it hangs on ("megaraid_sas"); empty where that is not known.
    `named` is the number of the partition that a technician named for a second root, 0 where nobody did.
    """

    path: str
    size: int
    bus: Bus
    driver: str = ""
    model: str = ""
    serial: str = ""
    wwn: str = ""
    sector: int = 512
    table: str = ""
    table_id: str = ""
    rotational: bool = False
    smart: str = ""
    partitions: tuple[Partition, ...] = ()
    copies: tuple[Copy, ...] = ()
    named: int = 0

    @property
    def group(self) -> str:
        """What a plan calls it as a group of volumes; empty where nothing tells its table from another."""
        return group_name(self.table_id) if self.table_id else ""

    @property
    def extents(self) -> tuple[Extent, ...]:
        """What no partition takes, whole MiB. Copies of ours that the table does not list may lie there."""
        return free_extents(MIB, self._end, self._taken)

    @property
    def is_full(self) -> bool:
        """Whether its table has no entry left for one more partition."""
        return self.table == DOS and len([p for p in self.partitions if p.number <= PRIMARY]) >= PRIMARY

    @property
    def spare(self) -> Partition | None:
        """The partition that a second root goes into: that was named, or where one of ours lies already."""
        ours = (copy.within for copy in self.copies if copy.within and not copy.number)
        within = self.named or next(ours, 0)
        return next((part for part in self.partitions if part.number == within), None)

    @property
    def moved(self) -> Copy | None:
        """The second root that a named partition was moved onto: what is free may be its own again."""
        return next((copy for copy in self.copies if copy.number and copy.within), None)

    @property
    def room(self) -> str:
        """What a person calls the part of it that a second root goes into."""
        return f"the free part of {self.path}" if self.spare is None else self.spare.path

    @property
    def clear(self) -> Extent:
        """The largest part of that which no copy takes; of no size where there is none, or one is `moved`."""
        if self.moved is not None:
            return largest(())
        ours = ((copy.at, copy.end - copy.at) for copy in self.copies)
        rooms = self.extents if self.spare is None else (inside(self.spare.start, self.spare.size),)
        return largest(without(rooms, ours))

    @property
    def _end(self) -> int:
        if self.table == DOS:
            # Behind it controllers that join disks keep what they know.
            return min(self.size - MIB, MOST * self.sector)
        return self.size - GPT_BLOCKS * self.sector

    @property
    def _taken(self) -> tuple[tuple[int, int], ...]:
        return tuple((part.start, self._bytes_of(part)) for part in self.partitions)

    def _bytes_of(self, part: Partition) -> int:
        """Of an extended one, in which others lie, the kernel says two sectors: it may go up to the next
        primary one."""
        if self.table != DOS or part.type_id not in EXTENDED:
            return part.size
        behind = (p.start for p in self.partitions if p.number <= PRIMARY and p.start > part.start)
        return min((*behind, self._end)) - part.start
