"""Copies of ours on a disk with partitions: what stands in front of each, and how they are found.

One sector, for which the first MiB in front of the copy is, says what the copy is, whether the partition
table lists it or not; one write of one sector changes it (volumes/partition_disk.py). It holds as long as
what it says of its own place is so. They stand in what no partition takes, or inside one that a technician
named: what stands at its beginning says so.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from appliance.model.codec import from_json
from appliance.model.disks import Disk
from appliance.model.free_parts import MIB, Extent, inside, whole
from appliance.model.partitions import Copy

MAGIC = b"TWINBOOT"
HEAD = struct.Struct("<8sII")
LENGTH = 512


class Within(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The partition that a copy was made inside of, as the table had it: where it lies, in bytes. `chs` is
    what an MBR says beside (volumes/table.py)."""

    number: int
    start: int
    size: int
    chs: str = ""

    def is_at(self, other: Within) -> bool:
        return (self.number, self.start, self.size) == (other.number, other.start, other.size)

    @property
    def extent(self) -> Extent:
        return inside(self.start, self.size)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at` is where it stands, `size` the length of the copy behind it, in bytes.

    `base` and `witness` say what the origin was when the run began (partition_fs.py). `old` is the origin's
    partition by number and place, `previous` what became of it: "" as it was, "previous" let go, "emptied".
    `label` is the origin's, which the copy gets back once it is alone. `within` is the named partition, whose
    entry of the table becomes the copy's when that is shown. `gone`: there is no copy any more.
    """

    lv: str
    run: str
    role: str
    origin: str
    at: int
    size: int
    uuid: str
    base: str = ""
    witness: str = ""
    old: int = 0
    old_at: int = 0
    previous: str = ""
    label: str = ""
    within: Within | None = None
    gone: bool = False

    @property
    def start(self) -> int:
        """Where the copy begins."""
        return self.at + MIB

    @property
    def end(self) -> int:
        return self.start + self.size


def decode(raw: bytes, at: int) -> Record | None:
    """What stands at `at`; None where that is nothing of ours, or was copied there from elsewhere.

    Raises DamagedData where another version of ours wrote it.
    """
    if len(raw) < LENGTH:
        return None
    magic, checksum, length = HEAD.unpack_from(raw)
    said = raw[HEAD.size : HEAD.size + length]
    if magic != MAGIC or length > LENGTH - HEAD.size or zlib.crc32(said) != checksum:
        return None
    found: Record = from_json(said, Record, "what stands on the disk of a copy")
    return found if found.at == at else None


def chain(read: Callable[[int], Record | None], extent: Extent) -> Iterator[Record]:
    """One behind the other, from the beginning of what is free; what is gone is among them."""
    at = extent.start
    while at < extent.end:
        record = read(at)
        if record is None or record.end > extent.end:
            return  # nothing more, or a partition: it is listed, or somebody has made one in it
        yield record
        at = whole(record.end)


def opened(read: Callable[[int], Record | None], listed: Iterable[Within]) -> tuple[Within, ...]:
    """Those of the partitions in the table that something of ours lies inside of."""
    found = []
    for each in listed:
        record = read(each.extent.start) if each.extent.size else None
        if record is not None and record.within is not None and record.within.is_at(each):
            found.append(each)
    return tuple(found)


def written(
    read: Callable[[int], Record | None], free: Iterable[Extent], listed: Iterable[Within]
) -> tuple[Record, ...]:
    """What is written down in what is free, inside of partitions and in front of them: in the order of the
    disk."""
    there = tuple(listed)
    rooms = (*free, *(each.extent for each in opened(read, there)))
    found = {record.at: record for extent in rooms for record in chain(read, extent)}
    for part in there:
        record = read(part.start - MIB) if part.start >= 2 * MIB else None
        if record is not None and (record.start, record.size) == (part.start, part.size):
            found[record.at] = record
    return tuple(found[at] for at in sorted(found))


def read_copies(file: Path, disk: Disk) -> tuple[Copy, ...]:
    """All of ours on `disk`, which is read as `file`: none where it does not read. Raises DamagedData."""
    if not disk.table:
        return ()
    listed = [Within(number=part.number, start=part.start, size=part.size) for part in disk.partitions]
    try:
        with file.open("rb", buffering=0) as source:
            records = written(
                lambda at: decode(os.pread(source.fileno(), LENGTH, at), at), disk.extents, listed
            )
    except OSError:
        return ()
    numbers = {(part.start, part.size): part.number for part in listed}
    around = {record.at: part.number for record in records for part in listed if _lies_in(record, part)}
    return tuple(
        Copy(
            name=record.lv,
            role=record.role,
            at=record.at,
            start=record.start,
            size=record.size,
            run=record.run,
            origin=record.origin,
            uuid=record.uuid,
            base=record.base,
            previous=record.previous,
            number=numbers.get((record.start, record.size), 0),
            within=_made_in(record, numbers) or around.get(record.at, 0),
        )
        for record in records
        if not record.gone
    )


def _made_in(record: Record, numbers: dict[tuple[int, int], int]) -> int:
    """The named partition that it is now; 0 where it is none."""
    return record.within.number if record.within and (record.start, record.size) in numbers else 0


def _lies_in(record: Record, part: Within) -> bool:
    return part.start <= record.at and record.end <= part.start + part.size
