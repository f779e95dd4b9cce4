"""Room outside the machine: files that are there to the last byte, joined to one device, and gone again."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import ExportFailed, OutOfSpace
from appliance.volumes import file_room
from appliance.volumes.file_room import FOLDER, MEMORY, SPARE, FileRoom, Place
from tests.contract.fake_elsewhere import FakeElsewhere

MIB = 1 << 20


def room(host: FakeElsewhere, folder: Path, size: int = 8 * MIB, **place: str) -> FileRoom:
    return FileRoom(host, "twinboot-tb1-copy-room", Place(folder, **place), size)


def nothing(done: int, total: int) -> None:
    return None


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_room, "PIECE", 3 * MIB)


def said(host: FakeElsewhere, program: str) -> list[str]:
    return [str(c) for c in host.commands if c.argv[0] == program]


@pytest.mark.parametrize("fallocate", (True, False), ids=("fallocate", "exFAT"))
def test_the_files_are_whole_and_joined_in_their_order(tmp_path: Path, fallocate: bool) -> None:
    host, told = FakeElsewhere(knows_fallocate=fallocate), list[tuple[int, int]]()
    found = room(host, tmp_path)
    found.make(lambda done, total: told.append((done, total)))
    assert [p.stat().st_blocks * 512 >= size for p, size in found.pieces] == [True, True, True]
    assert told == [(at * MIB, 8 * MIB) for at in (0, 3, 6, 8)]
    assert found.made()
    assert found.up() == found.up() == "/dev/mapper/twinboot-tb1-copy-room"
    assert host.devices["twinboot-tb1-copy-room"].splitlines() == [
        "0 6144 linear /dev/loop0 0",
        "6144 6144 linear /dev/loop1 0",
        "12288 4096 linear /dev/loop2 0",
    ]
    assert said(host, "dd") == [], "nothing is written that need not be"


def test_where_a_longer_file_would_be_sparse_it_is_filled(tmp_path: Path) -> None:
    """Or the file system beneath could run out while the twin writes."""
    host = FakeElsewhere(knows_fallocate=False, sparse=True)
    found = room(host, tmp_path)
    found.make(nothing)
    assert [p.stat().st_blocks * 512 >= size for p, size in found.pieces] == [True, True, True]
    assert len(said(host, "dd")) == 3


def test_too_little_is_said_before_a_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = room(FakeElsewhere(), tmp_path)
    monkeypatch.setattr(file_room.shutil, "disk_usage", lambda _: _Usage(8 * MIB + SPARE - 1))
    with pytest.raises(OutOfSpace, match="the copies need 8 MiB and the report 64 MiB"):
        found.make(nothing)
    assert list(tmp_path.iterdir()) == []


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_medium_that_fills_while_the_room_is_taken_is_out_of_space(tmp_path: Path) -> None:
    host = FakeElsewhere(full=True)
    found = room(host, tmp_path)
    with pytest.raises(OutOfSpace, match="has no room for the copies"):
        found.make(nothing)
    found.remove()
    assert list(tmp_path.iterdir()) == [] and not host.loops


def test_what_another_run_left_when_the_power_went_is_removed_first(tmp_path: Path) -> None:
    left = tmp_path / FOLDER / "room.007"
    left.parent.mkdir()
    left.write_bytes(b"of another start")
    found = room(FakeElsewhere(), tmp_path)
    found.make(nothing)
    assert sorted(p.name for p in left.parent.iterdir()) == ["room.000", "room.001", "room.002"]


def test_a_medium_that_takes_no_files_is_said(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_bytes(b"in the way")
    with pytest.raises(ExportFailed, match="takes no files"):
        room(FakeElsewhere(), tmp_path).make(nothing)


@pytest.mark.parametrize("half", (0, 1, 2))
def test_remove_gives_everything_back_half_made_and_twice(tmp_path: Path, half: int) -> None:
    host = FakeElsewhere()
    found = room(host, tmp_path)
    if half > 0:
        found.make(nothing)
    if half > 1:
        found.up()
    for _ in range(2):
        found.remove()
    assert list(tmp_path.iterdir()) == []
    assert not host.loops and not host.devices


def test_the_room_in_memory_is_as_large_as_what_it_holds_and_goes_with_its_mount(tmp_path: Path) -> None:
    host = FakeElsewhere()
    found = room(host, tmp_path / "copies", source="twinboot", fstype=MEMORY)
    found.make(nothing)
    (mount,) = said(host, "mount")
    assert f"size={8 * MIB + SPARE}" in mount and "noexec" in mount
    found.make(nothing)
    assert len(said(host, "mount")) == 1
    for _ in range(2):
        found.remove()
    assert host.mounts == {}


def test_a_stick_is_neither_mounted_nor_unmounted_by_us(tmp_path: Path) -> None:
    host = FakeElsewhere()
    found = room(host, tmp_path)
    found.make(nothing)
    found.remove()
    assert said(host, "mount") == said(host, "umount") == []
