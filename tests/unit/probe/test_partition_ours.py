"""Copies of ours on a disk are found by what stands in front of them, listed or not; nothing else is one."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.model.disks import Bus, Disk, Partition
from appliance.model.free_parts import MIB
from appliance.probe.partition_ours import HEAD, LENGTH, MAGIC, Record, Within, read_copies
from appliance.volumes.partition_record import encode

ROOT = Partition(path="/dev/vda1", number=1, start=MIB, size=4 * MIB)
DISK = Disk(path="/dev/vda", size=64 * MIB, bus=Bus.VIRTIO, table="gpt", partitions=(ROOT,))
STATE = Record(lv="state", run="", role="state", origin="", at=5 * MIB, size=4 * MIB, uuid="s")
COPY = Record(lv="part1-tb1", run="tb1", role="trial", origin="part1", at=10 * MIB, size=4 * MIB, uuid="u")


def names(file: Path, disk: Disk = DISK) -> list[tuple[str, int]]:
    return [(copy.name, copy.number) for copy in read_copies(file, disk)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "disk"
    made.write_bytes(bytes(64 * MIB))
    for record in (STATE, COPY):
        put(made, record)
    return made


def put(file: Path, record: Record) -> None:
    with file.open("r+b") as out:
        out.seek(record.at)
        out.write(encode(record))


def test_they_are_found_one_behind_the_other(file: Path) -> None:
    assert names(file) == [("state", 0), ("part1-tb1", 0)]


def test_one_that_is_listed_has_its_number_and_those_before_it_are_found(file: Path) -> None:
    second = replace(ROOT, path="/dev/vda2", number=2, start=COPY.start, size=COPY.size)
    assert names(file, replace(DISK, partitions=(ROOT, second))) == [("state", 0), ("part1-tb1", 2)]


SPARE = Partition(path="/dev/vda5", number=5, start=20 * MIB + 512, size=40 * MIB)
WITHIN = Within(number=5, start=SPARE.start, size=SPARE.size)
INSIDE = replace(COPY, at=21 * MIB, within=WITHIN)


def test_those_inside_of_a_named_partition_are_found_while_the_table_has_it_as_it_was(file: Path) -> None:
    behind = replace(STATE, lv="more", at=INSIDE.end)
    for record in (INSIDE, behind):
        put(file, record)
    spare = replace(DISK, partitions=(ROOT, SPARE))
    found = {copy.name: (copy.number, copy.within) for copy in read_copies(file, spare)}
    assert found == {"state": (0, 0), "part1-tb1": (0, 5), "more": (0, 5)}
    for moved in (replace(SPARE, size=39 * MIB), replace(SPARE, number=6)):
        assert names(file, replace(DISK, partitions=(ROOT, moved)))[1:] == [("part1-tb1", 0)], "the other one"


def test_a_partition_that_is_the_copy_now_is_it_and_what_lay_behind_is_found(file: Path) -> None:
    put(file, INSIDE)
    put(file, replace(STATE, lv="more", at=INSIDE.end))
    listed = replace(SPARE, start=INSIDE.start, size=INSIDE.size)
    found = read_copies(file, replace(DISK, partitions=(ROOT, listed)))
    assert [(copy.name, copy.number, copy.within) for copy in found][-2:] == [
        ("part1-tb1", 5, 5),
        ("more", 0, 0),
    ]


def test_one_that_only_looks_like_it_is_left_alone(file: Path) -> None:
    """A record that says nothing of the partition, at the beginning of one: it was copied there."""
    put(file, replace(INSIDE, within=None))
    put(file, replace(STATE, gone=True))
    put(file, replace(COPY, gone=True))
    assert names(file, replace(DISK, partitions=(ROOT, SPARE))) == []


def test_what_is_gone_leads_on_and_is_none(file: Path) -> None:
    put(file, replace(STATE, gone=True))
    assert names(file) == [("part1-tb1", 0)]


def test_where_somebody_made_a_partition_of_another_place_nothing_is_believed(file: Path) -> None:
    theirs = replace(ROOT, path="/dev/vda2", number=2, start=8 * MIB, size=8 * MIB)
    assert names(file, replace(DISK, partitions=(ROOT, theirs))) == []


def test_a_disk_that_does_not_read_or_has_no_table_has_none(file: Path) -> None:
    assert names(file.with_name("missing")) == [] and names(file, replace(DISK, table="")) == []
    file.write_bytes(b"short")
    assert names(file) == []


def test_what_another_version_wrote_is_not_taken_for_free_room(file: Path) -> None:
    said = b'{"lv":"x","of":"a later version"}'
    raw = (HEAD.pack(MAGIC, zlib.crc32(said), len(said)) + said).ljust(LENGTH, b"\0")
    with file.open("r+b") as out:
        out.seek(STATE.at)
        out.write(raw)
    with pytest.raises(DamagedData):
        read_copies(file, DISK)
