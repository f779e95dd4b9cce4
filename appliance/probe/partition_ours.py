"""Copies of ours on a disk with partitions: what stands in front of each, and how they are found.

One sector, for which the first MiB in front of the copy is, says what the copy is, whether the partition
table lists it or not; one write of one sector changes it (volumes/partition_disk.py). It holds as long as
what it says of its own place is so.
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
from appliance.model.free_parts import MIB, Extent
from appliance.model.partitions import Copy

MAGIC = b"TWINBOOT"
HEAD = struct.Struct("<8sII")
LENGTH = 512


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at` is where it stands, `size` the length of the copy behind it, in bytes.

    `base` and `witness` say what the origin was when the run began (partition_fs.py). `old` is the origin's
    partition by number and place, `previous` what became of it: "" as it was, "previous" let go, "emptied".
    `label` is the origin's, which the copy gets back once it is alone. `gone`: there is no copy any more.
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
        at = -(-record.end // MIB) * MIB


def written(
    read: Callable[[int], Record | None], free: Iterable[Extent], listed: Iterable[tuple[int, int]]
) -> tuple[Record, ...]:
    """What is written down in what is free, and in front of partitions, given by (start, size): in the order
    of the disk."""
    found = {record.at: record for extent in free for record in chain(read, extent)}
    for start, size in listed:
        record = read(start - MIB) if start >= 2 * MIB else None
        if record is not None and (record.start, record.size) == (start, size):
            found[record.at] = record
    return tuple(found[at] for at in sorted(found))


def read_copies(file: Path, disk: Disk) -> tuple[Copy, ...]:
    """All of ours on `disk`, which is read as `file`: none where it does not read. Raises DamagedData."""
    if not disk.table:
        return ()
    try:
        with file.open("rb", buffering=0) as source:
            records = written(
                lambda at: decode(os.pread(source.fileno(), LENGTH, at), at),
                disk.extents,
                ((part.start, part.size) for part in disk.partitions),
            )
    except OSError:
        return ()
    numbers = {(part.start, part.size): part.number for part in disk.partitions}
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
        )
        for record in records
        if not record.gone
    )
