"""Growing the data partition: the new table, and what a power cut at any write leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.image.stick import (
    SECTOR,
    Growth,
    Table,
    forget_partition,
    header_bytes,
    parse_table,
    plan_growth,
    table_writes,
    tell_partition,
)
from appliance.image.usb import MIB, plan_layout, write_table

WHOLE = 128 * MIB  # the stick


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A small image written to a bigger stick, as dd leaves it."""
    path = tmp_path / "stick"
    write_table(path, plan_layout(4 * MIB))
    with path.open("r+b") as file:
        file.truncate(WHOLE * SECTOR)
    return path


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(34 * SECTOR)


def planned(path: Path) -> Growth:
    growth = plan_growth(parse_table(head_of(path)), WHOLE)
    assert growth is not None
    return growth


def apply(path: Path, writes: tuple[tuple[int, bytes], ...]) -> None:
    with path.open("r+b") as file:
        for offset, data in writes:
            file.seek(offset)
            file.write(data)


def partitions(path: Path) -> dict[str, tuple[int, int]]:
    done = subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True, check=True)
    table = json.loads(done.stdout)["partitiontable"]
    return {part["name"]: (part["start"], part["size"]) for part in table["partitions"]}


def test_the_new_partition_lies_behind_the_old_table_and_fills_the_stick(stick: Path) -> None:
    growth = planned(stick)
    old = parse_table(head_of(stick))
    assert growth.first > old.alternate
    assert growth.first % MIB == 0 and (growth.last + 1) % MIB == 0
    assert WHOLE - growth.last < 3 * MIB


def test_after_all_writes_other_programs_read_the_grown_table(stick: Path) -> None:
    before = partitions(stick)
    growth = planned(stick)
    apply(stick, table_writes(growth.table))
    after = partitions(stick)
    assert after.pop("TWINBOOT") == (growth.first, growth.last - growth.first + 1)
    before.pop("TWINBOOT")
    assert after == before
    checked = subprocess.run(["sfdisk", "--verify", stick], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_growing_twice_does_nothing(stick: Path) -> None:
    apply(stick, table_writes(planned(stick).table))
    assert plan_growth(parse_table(head_of(stick)), WHOLE) is None


def test_a_stick_of_the_images_own_size_is_left_alone(tmp_path: Path) -> None:
    layout = plan_layout(4 * MIB)
    path = tmp_path / "stick"
    write_table(path, layout)
    assert plan_growth(parse_table(head_of(path)), layout.sectors) is None
    assert plan_growth(parse_table(head_of(path)), layout.sectors + 8 * MIB) is None


def linux_reads(disk: bytearray) -> Table:
    """As Linux with the argument `gpt`: the first copy, where that is damaged the one in the last sector."""
    try:
        return parse_table(bytes(disk[: 34 * SECTOR]))
    except DamagedData:
        last = bytes(disk[-33 * SECTOR :])
        return parse_table(bytes(SECTOR) + last[-SECTOR:] + last[: 32 * SECTOR])


def test_a_cut_at_any_sector_leaves_the_old_or_the_new_partition(stick: Path) -> None:
    """Both are whole file systems at that time: the new one is filled before the first of these writes."""
    growth = planned(stick)
    old = parse_table(head_of(stick)).entry(1)
    new = (growth.first, growth.last)
    disk = bytearray(stick.read_bytes())
    seen = []
    for offset, data in table_writes(growth.table):
        for sector in range(0, len(data), SECTOR):
            seen.append(linux_reads(disk).entry(1))
            disk[offset + sector : offset + sector + SECTOR] = data[sector : sector + SECTOR].ljust(
                SECTOR, b"\0"
            )
    seen.append(linux_reads(disk).entry(1))
    assert set(seen) == {old, new}
    assert seen == sorted(seen), "once new, it stays new"


@given(st.integers(SECTOR, 34 * SECTOR - 1), st.integers(1, 255))
def test_a_flipped_byte_in_the_table_is_noticed(position: int, flip: int) -> None:
    head = HEAD
    damaged = head[:position] + bytes([head[position] ^ flip]) + head[position + 1 :]
    header_size = 92
    if SECTOR + header_size <= position < 2 * SECTOR:
        parse_table(damaged)  # the rest of the header's sector is not part of the table
    else:
        with pytest.raises(DamagedData):
            parse_table(damaged)


def _head() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stick"
        write_table(path, plan_layout(4 * MIB))
        return head_of(path)


HEAD = _head()


def test_the_header_written_back_unchanged_is_the_one_read() -> None:
    table = parse_table(HEAD)
    assert header_bytes(table, primary=True) == HEAD[SECTOR : 2 * SECTOR]


def test_no_table_at_all_is_a_sentence() -> None:
    with pytest.raises(DamagedData, match="no GUID partition table"):
        parse_table(bytes(34 * SECTOR))


@pytest.mark.root
def test_the_kernel_learns_and_forgets_a_partition_while_the_disk_is_in_use(stick: Path) -> None:
    """On a loop device: the request to the kernel is the one it knows, and forgetting twice is no error."""
    growth = planned(stick)
    argv = ["losetup", "--find", "--show", str(stick)]
    device = Path(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip())
    known = Path(f"/sys/class/block/{device.name}/{device.name}p9")
    try:
        tell_partition(device, 9, growth)
        assert (known / "start").read_text() == f"{growth.first}\n"
        assert (known / "size").read_text() == f"{growth.last - growth.first + 1}\n"
        forget_partition(device, 9)
        assert not known.exists()
        forget_partition(device, 9)
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=True)
