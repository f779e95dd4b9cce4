"""Partition tables as sfdisk makes them, changed one sector at a time, as sfdisk and parted read them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.host.run import RealHost
from appliance.volumes.gpt import Gpt, with_checksum
from appliance.volumes.mbr import Mbr
from appliance.volumes.partition_entries import as_sfdisk_reads
from appliance.volumes.table import MIB, SectorWrite, Slot, Table, free_extents, read_table

DISK = 64 * MIB
TWO = "start=1MiB, size=8MiB, name=boot\nstart=9MiB, size=16MiB, name=root, type=U\n"
PRIMARY = "start=1MiB, size=8MiB, bootable\nstart=9MiB, size=16MiB\n"
FREE = Slot(0, 32 * MIB, 16 * MIB, "Twinboot vda2-tb1")


def disk_with(folder: Path, label: str, lines: str, size: int = DISK) -> Path:
    disk = folder / "disk"
    with disk.open("wb") as out:
        out.write(b"boot code")
        out.truncate(size)
    subprocess.run(
        ("sfdisk", "--quiet", str(disk)), input=f"label: {label}\n{lines}".encode(), check=True, timeout=60
    )
    return disk


def put(disk: Path, writes: Iterable[SectorWrite]) -> None:
    with disk.open("r+b") as out:
        for each in writes:
            out.seek(each.at)
            out.write(each.data)


def at(number: int | None, name: str = FREE.name) -> Slot:
    assert number is not None
    return Slot(number, FREE.start, FREE.size, name)


def judged_good(disk: Path) -> bool:
    done = subprocess.run(("sfdisk", "--verify", str(disk)), capture_output=True, timeout=60, check=False)
    return done.returncode == 0 and b"corrupt" not in done.stderr


def by_parted(disk: Path) -> set[tuple[int, int]]:
    asked = ("parted", "-sm", str(disk), "unit", "B", "print")
    said = subprocess.run(asked, capture_output=True, check=True, timeout=60, text=True).stdout
    rows = (line.split(":") for line in said.splitlines()[2:])
    return {(int(start.rstrip("B")), int(size.rstrip("B"))) for _, start, _, size, *_ in rows}


def places(table: Table) -> set[tuple[int, int]]:
    return {(slot.start, slot.size) for slot in table.slots}


@pytest.mark.parametrize(("label", "lines"), [("gpt", TWO), ("dos", PRIMARY)])
def test_what_was_added_is_found_by_others_and_removed_again_every_byte_is_what_it_was(
    tmp_path: Path, label: str, lines: str
) -> None:
    disk = disk_with(tmp_path, label, lines)
    before = disk.read_bytes()
    table = read_table(disk, 512)
    assert [(s.start // MIB, s.size // MIB) for s in table.slots] == [(1, 8), (9, 16)]
    number = table.free_number()
    put(disk, table.added(at(number)))
    assert number == 3 and judged_good(disk)
    assert places(read_table(disk, 512)) == as_sfdisk_reads(RealHost(), str(disk)) == by_parted(disk)
    assert (FREE.start, FREE.size) in places(read_table(disk, 512))
    put(disk, read_table(disk, 512).removed(3))
    assert disk.read_bytes() == before
    assert read_table(disk, 512).removed(3) == ()


@pytest.mark.parametrize("act", ["added", "removed", "moved"])
def test_cut_between_the_two_copies_either_is_whole_and_the_second_is_made_what_the_first_is(
    tmp_path: Path, act: str
) -> None:
    disk = disk_with(tmp_path, "gpt", TWO)
    table = read_table(disk, 512)
    writes = table.added(at(3))
    if act != "added":
        put(disk, writes)
        table = read_table(disk, 512)
        writes = table.removed(3) if act == "removed" else table.moved(2, at(2))
    before = places(table)
    first, second = writes
    put(disk, (first,))
    assert judged_good(disk), "each copy by itself has its checksum"
    cut = read_table(disk, 512)
    assert cut.mended()
    put(disk, cut.mended())
    after = read_table(disk, 512)
    assert not after.mended() and judged_good(disk)
    assert places(after) == (before if act != "removed" else before - {(FREE.start, FREE.size)})
    assert second.at != first.at and len(first.data) == len(second.data) == 512


def test_moved_an_entry_keeps_its_type_its_guid_but_ten_bytes_and_its_name(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, "gpt", TWO)
    old = _described(disk)[1]
    put(disk, read_table(disk, 512).moved(2, at(2)))
    new = _described(disk)[1]
    assert new["type"] == old["type"] and new["name"] == old["name"] == "root"
    assert int(new["start"]) * 512 == FREE.start and int(new["size"]) * 512 == FREE.size
    assert judged_good(disk)


def test_an_mbr_keeps_its_boot_code_and_who_is_active(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, "dos", PRIMARY)
    put(disk, read_table(disk, 512).moved(1, at(1)))
    assert disk.read_bytes().startswith(b"boot code")
    assert _described(disk)[0].get("bootable") is True
    assert judged_good(disk)


def test_an_mbr_of_four_has_no_entry_left(tmp_path: Path) -> None:
    lines = "".join(f"start={n}MiB, size=1MiB\n" for n in range(1, 5))
    table = read_table(disk_with(tmp_path, "dos", lines), 512)
    assert table.free_number() is None
    with pytest.raises(DamagedData):
        table.added(at(4))


def test_an_extended_partition_takes_all_its_room(tmp_path: Path) -> None:
    lines = "start=1MiB, size=8MiB\nstart=9MiB, size=32MiB, type=5\nstart=10MiB, size=4MiB\n"
    table = read_table(disk_with(tmp_path, "dos", lines), 512)
    taken = tuple((s.start, s.size) for s in table.slots)
    assert [e.start // MIB for e in free_extents(table.first, table.end, taken)] == [41]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_a_disk_of_large_sectors(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(DISK)
    asked = ("losetup", "--find", "--show", "--sector-size", "4096", str(disk))
    loop = subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout.decode().strip()
    try:
        lines = b"label: gpt\nstart=256, size=2048\n"
        subprocess.run(("sfdisk", "--quiet", "--no-tell-kernel", loop), input=lines, check=True, timeout=60)
    finally:
        subprocess.run(("losetup", "-d", loop), check=True, timeout=60)
    before = disk.read_bytes()
    table = read_table(disk, 4096)
    assert [(s.start // MIB, s.size // MIB) for s in table.slots] == [(1, 8)]
    put(disk, table.added(at(2)))
    assert (FREE.start, FREE.size) in places(read_table(disk, 4096))
    put(disk, read_table(disk, 4096).removed(2))
    assert disk.read_bytes() == before


@pytest.mark.parametrize("spot", [512, 512 + 60, 1024 + 40, DISK - 512, DISK - 33 * 512 + 3])
def test_a_gpt_that_is_not_whole_is_not_touched(tmp_path: Path, spot: int) -> None:
    disk = disk_with(tmp_path, "gpt", TWO)
    raw = bytearray(disk.read_bytes())
    raw[spot] ^= 1
    disk.write_bytes(bytes(raw))
    with pytest.raises(DamagedData):
        read_table(disk, 512)


def test_a_disk_that_has_grown_is_not_touched_until_its_table_has(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, "gpt", TWO)
    with disk.open("r+b") as out:
        out.truncate(DISK + MIB)
    with pytest.raises(DamagedData, match="not at its end"):
        read_table(disk, 512)


def test_no_table_at_all(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    with pytest.raises(DamagedData, match="no partition table"):
        read_table(disk, 512)


def test_an_entry_that_somebody_else_wrote_is_not_removed(tmp_path: Path) -> None:
    """Without it the checksum would be another one."""
    table = read_table(disk_with(tmp_path, "gpt", TWO), 512)
    with pytest.raises(DamagedData, match="somebody else"):
        table.removed(2)


@pytest.mark.parametrize(
    "slot",
    [
        Slot(3, 63 * MIB, MIB),
        Slot(3, 0, MIB),
        Slot(3, 32 * MIB + 1, MIB),
        Slot(3, 32 * MIB, 0),
        Slot(2, 32 * MIB, MIB),
        Slot(3, 32 * MIB, MIB, "x" * 36),
    ],
)
def test_what_is_no_partition_is_refused(tmp_path: Path, slot: Slot) -> None:
    with pytest.raises(DamagedData):
        read_table(disk_with(tmp_path, "gpt", TWO), 512).added(slot)


@given(
    data=st.binary(min_size=8, max_size=4096), wanted=st.integers(0, 2**32 - 1), where=st.integers(0, 4095)
)
def test_any_checksum_can_be_reached_by_four_bytes(data: bytes, wanted: int, where: int) -> None:
    where %= len(data) - 3
    made = with_checksum(data, where, wanted)
    assert zlib.crc32(made) == wanted
    assert made[:where] == data[:where] and made[where + 4 :] == data[where + 4 :]


@given(st.binary(min_size=0, max_size=3 * 4096))
def test_chance_is_refused_and_nothing_worse(raw: bytes) -> None:
    def read(place: int, length: int) -> bytes:
        found = raw[place : place + length]
        if len(found) != length:
            raise DamagedData("short")
        return found

    with pytest.raises(DamagedData):
        Gpt.read("/dev/vda", read, len(raw), 512)
    if raw[510:512] != b"\x55\xaa":
        with pytest.raises(DamagedData):
            Mbr.parse("/dev/vda", raw, len(raw), 512)


def test_each_new_partition_has_a_guid_of_its_own(tmp_path: Path) -> None:
    disk = disk_with(tmp_path, "gpt", TWO)
    found = set()
    for _ in range(3):
        put(disk, read_table(disk, 512).added(at(3)))
        found.add(uuid.UUID(_described(disk)[2]["uuid"]))
        put(disk, read_table(disk, 512).removed(3))
    assert len(found) == 3 and {guid.version for guid in found} == {4}


def _described(disk: Path) -> list[dict[str, str]]:
    said = subprocess.run(("sfdisk", "--json", str(disk)), capture_output=True, check=True, timeout=60)
    return list(json.loads(said.stdout)["partitiontable"]["partitions"])
