"""Copies of ours on a disk are found by what stands in front of them, listed or not; nothing else is one."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.model.disks import Bus, Disk, Partition
from appliance.model.free_parts import MIB
from appliance.probe.partition_ours import HEAD, LENGTH, MAGIC, Record, read_copies
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
