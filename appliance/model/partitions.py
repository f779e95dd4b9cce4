"""Roots that are partitions of a disk, and the copies of ours beside them, as one group of volumes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

import msgspec

from appliance.model.groups import PARTITION, LogicalVolume, PhysicalVolume, VolumeGroup

_RUN = re.compile(r"-(tb\d+)\Z")


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of ours on a disk, as the sector in front of it says; `at` is where that stands, `start` where
    the copy begins, in bytes from the beginning of the disk.

    `role` is in the words of the stores. `base` is the name of the witness of what the origin was, `previous`
    says what became of the origin: nothing, "previous" let go, "emptied". `number` is the partition's, 0
    while the table does not list it; `within` is that of the partition it lies inside of, or was moved onto
    it, 0 in free room.
    """

    name: str
    role: str
    at: int
    start: int
    size: int
    run: str = ""
    origin: str = ""
    uuid: str = ""
    base: str = ""
    previous: str = ""
    number: int = 0
    within: int = 0

    @property
    def end(self) -> int:
        return self.start + self.size


def part_name(number: int) -> str:
    """What a plan calls the machine's own root on partition `number`: it holds as long as the table does."""
    return f"part{number}"


def group_name(table_id: str) -> str:
    """What a plan calls a disk, by the identity of its partition table: its device may have another name at
    the next start."""
    return f"disk-{table_id.removeprefix('0x')[:8].lower()}"


def second_uuid(origin: str, run: str, name: str) -> str:
    """The UUID of the file system that is `origin`'s copy in a run: a plan can name it beforehand."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"twinboot {origin} {run} {name}"))


def uuid_called(own: str, fsuuid: str, name: str) -> str:
    """The UUID of what a plan calls `name` beside the root `own`, whose file system has `fsuuid`."""
    run = _RUN.search(name)
    return fsuuid if name == own or run is None else second_uuid(fsuuid, run[1], name)


def group_of_partitions(
    name: str, disk: PhysicalVolume, free: int, roots: Iterable[LogicalVolume], copies: Iterable[Copy]
) -> VolumeGroup:
    """The disk as a group: the machine's own roots, and what of ours stands beside them.

    `free` is the largest part of it in bytes that nobody takes.
    """
    copies = tuple(copies)
    let_go = {copy.origin: copy.run for copy in copies if copy.previous == "previous"}
    ours = [_member(copy.name, copy.role, copy.run, copy.origin, copy.uuid, copy.size) for copy in copies]
    ours += [_member(copy.base, "base", copy.run, copy.origin, "", 0) for copy in copies if copy.base]
    there = {lv.name for lv in ours}
    theirs = [
        msgspec.structs.replace(lv, tags=_tags("previous", let_go[lv.name], "")) if lv.name in let_go else lv
        for lv in roots
        if lv.name not in there
    ]
    return VolumeGroup(
        name=name,
        uuid=disk.uuid,
        extent_size=1,
        extent_count=disk.size,
        free_count=free,
        seqno=0,
        pvs=(disk,),
        lvs=(*theirs, *ours),
    )


def _member(name: str, role: str, run: str, origin: str, fsuuid: str, size: int) -> LogicalVolume:
    tags = _tags(role, run, origin)
    return LogicalVolume(name=name, uuid=fsuuid, size=size, segtype=PARTITION, origin=origin, tags=tags)


def _tags(role: str, run: str, origin: str) -> tuple[str, ...]:
    words = {"role": role, "run": run, "origin": origin}
    return ("twinboot", *(f"twinboot.{key}={value}" for key, value in words.items() if value))
