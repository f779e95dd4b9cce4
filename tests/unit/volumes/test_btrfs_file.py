"""A file of a btrfs written below the file system: where its bytes lie, who may take them, what stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import DamagedData, HistoryUnread, OutOfSpace, Refused
from appliance.host.run import RealHost
from appliance.volumes.btrfs_file import FILES, BlockFile, BtrfsRoom, room_in
from appliance.volumes.btrfs_map import Piece, parse_chunks, parse_extents, places
from appliance.volumes.btrfs_state import BtrfsHistory
from appliance.volumes.btrfs_tags import Tags
from appliance.volumes.overlay import windows
from appliance.volumes.state import NAME
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import BtrfsBench, played_btrfs, tree
from tests.contract.real_lvm import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
RECORDED = Path(__file__).parents[2] / "fixtures/recorded/btrfs"
MIB = 1 << 20


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


def test_extents_and_chunks_as_the_programs_say_them() -> None:
    extents = parse_extents(recorded("filefrag"))
    assert extents == (
        Piece(0, 134217728, 137756672),
        Piece(134217728, 180355072, 355860480),
    )
    chunks = parse_chunks(recorded("chunks"))
    assert chunks[0] == Piece(13631488, 8388608, 13631488) and len(chunks) == 4
    assert places(extents, chunks, 300 * MIB) == (
        Piece(0, 134217728, 253493248),
        Piece(134217728, 180355072, 471597056),
    )


def test_an_extent_over_two_chunks_is_two_pieces() -> None:
    chunks = (Piece(0, 100, 1000), Piece(100, 100, 5000))
    assert places((Piece(0, 150, 40),), chunks, 150) == (Piece(0, 60, 1040), Piece(60, 90, 5000))


@pytest.mark.parametrize(
    ("extents", "why"),
    [
        ((Piece(0, 10, 0), Piece(20, 10, 20)), "hole at 10"),
        ((Piece(0, 10, 0),), "10 bytes, 20 were taken"),
        ((Piece(0, 20, 500),), "No chunk of the btrfs holds the address 500"),
    ],
)
def test_what_has_no_place_is_said(extents: tuple[Piece, ...], why: str) -> None:
    with pytest.raises(DamagedData, match=why):
        places(extents, (Piece(0, 100, 1000),), 20)


def test_bytes_that_are_packed_or_kept_twice_have_no_one_place() -> None:
    line = (
        "   0:        0..       7:          0..         7:      8:             last,not_aligned,inline,eof\n"
    )
    with pytest.raises(DamagedData, match="inline"):
        parse_extents(line)
    twice = (
        recorded("chunks")
        .replace("type DATA|single", "type DATA|DUP")
        .replace("num_stripes 1", "num_stripes 2")
    )
    with pytest.raises(Refused, match="keeps data as DATA"):
        parse_chunks(twice)


def test_a_tenth_of_the_file_system_is_never_taken() -> None:
    assert (room_in(1000, 500), room_in(1000, 80)) == (400, 0)


@pytest.fixture
def bench() -> Iterator[BtrfsBench]:
    made = played_btrfs()
    yield made
    made.close()


def file_of(bench: BtrfsBench, size: int = 4 * MIB, name: str = "room") -> BlockFile:
    return BlockFile(bench.store.disk, name, f"twinboot-test-{name}", size)


def there(bench: BtrfsBench) -> set[str]:
    """What lies in the folder of ours at the top level."""
    with bench.store.disk.reading() as mounted:
        return {str(p.relative_to(mounted.top)) for p in mounted.top.glob("twinboot/**/*")}


@needs_root
def test_what_is_written_lands_in_the_files_own_blocks_whoever_has_it_mounted(bench: BtrfsBench) -> None:
    file = file_of(bench)
    file.make()
    with replace(bench.store.disk, folder=bench.folder / "theirs").writing() as mounted:
        (mounted.at("root") / "theirs").write_bytes(b"theirs" * 99999)
        mounted.sync()
        before = tree(mounted.at("root"))
        device = file.up()
        data = os.urandom(file.size)
        Path(device).write_bytes(data)
        os.sync()
    assert bench.content("root") == before, "nothing else of the file system was written"
    (piece,) = file.pieces()
    run("blockdev", "--flushbufs", bench.loop)
    with Path(bench.loop).open("rb") as disk:
        disk.seek(piece.at)
        assert disk.read(file.size) == data
    file.down()
    assert Path(file.up()).read_bytes() == data, "it is the same after it was down"
    with bench.store.disk.writing() as mounted:
        run("btrfs", "scrub", "start", "-B", str(mounted.top))
        assert (mounted.at(FILES) / file.file).read_bytes() == bytes(file.size), (
            "unwritten, to the file system"
        )
    file.remove()
    file.remove()
    assert FILES not in there(bench) and not windows(RealHost(), bench.loop, readonly=False)


@needs_root
def test_one_of_two_may_go_and_the_other_stays_up(bench: BtrfsBench) -> None:
    one, other = file_of(bench, name="one"), file_of(bench, name="other")
    for file in (one, other):
        file.make()
        assert file.made() and file.up() == file.up()
    one.remove()
    assert not one.made() and Path(other.device).exists()
    other.remove()
    assert FILES not in there(bench)


@needs_root
def test_a_file_system_is_not_filled_and_a_file_cut_short_is_made_anew(bench: BtrfsBench) -> None:
    with pytest.raises(OutOfSpace, match="MiB to give"):
        file_of(bench, 120 * MIB).make()
    file = file_of(bench)
    file.make()
    with bench.store.disk.writing() as mounted:
        os.truncate(mounted.at(FILES) / file.file, MIB)
    assert not file.made()
    file.make()
    assert file.made() and file.pieces()


@needs_root
def test_a_room_has_its_small_files_in_memory(bench: BtrfsBench, tmp_path: Path) -> None:
    room = BtrfsRoom(file_of(bench), tmp_path / "run/copies")
    told: list[tuple[int, int]] = []
    room.make(lambda done, total: told.append((done, total)))
    assert told == [(0, room.size), (room.size, room.size)]
    (room.folder / "a.work").touch()
    assert room.made() and room.up() == f"/dev/mapper/{room.name}"
    room.make(lambda done, total: None)
    assert list(room.folder.iterdir()) == [], "what an earlier attempt left is gone"
    room.remove()
    room.remove()
    assert not room.made() and not room.folder.exists()


class TestHistory:
    """What a machine carries from stick to stick, in such a file."""

    pytestmark = needs_root

    @pytest.fixture
    def history(self, bench: BtrfsBench) -> BtrfsHistory:
        return BtrfsHistory(file_of(bench, 8 * MIB, "history"))

    def test_it_is_there_from_the_moment_it_is_whole_and_is_found_again(
        self, bench: BtrfsBench, history: BtrfsHistory, tmp_path: Path
    ) -> None:
        at = tmp_path / "state"
        assert not history.exists()
        for _ in range(2):
            history.ensure()
            assert history.exists()
        assert history.mount(at) == at and at.is_mount()
        (at / "journal").write_text("one line\n")
        run("umount", str(at))  # what is mounted is no device of device-mapper here
        for _ in range(2):
            history.unmount(at)
        assert isinstance(bench.host, PlayedMapper) and not bench.host.devices
        history.ensure()
        assert (history.mount(at) / "journal").read_text() == "one line\n"
        run("umount", str(at))
        with bench.store.disk.reading() as mounted:
            tag = Tags(mounted.top).get(NAME)
        assert tag is not None and (tag.role, tag.run, tag.path) == ("state", "", FILES)
        assert [s.lv for s in bench.store.ours()] == [NAME]

    def test_deleted_nothing_of_ours_is_left(
        self, bench: BtrfsBench, history: BtrfsHistory, tmp_path: Path
    ) -> None:
        history.ensure()
        for _ in range(2):
            history.delete()
            assert not history.exists()
        with bench.store.disk.reading() as mounted:
            assert not mounted.at("twinboot").exists()

    def test_cut_before_its_file_system_was_made_it_is_made_then(
        self, bench: BtrfsBench, history: BtrfsHistory, tmp_path: Path
    ) -> None:
        history.file.make()
        history.file.up()
        history.file.down()
        assert not history.exists(), "nobody looks for a history in it yet"
        history.ensure()
        assert history.exists()

    def test_one_that_lost_its_file_system_is_not_made_anew(
        self, bench: BtrfsBench, history: BtrfsHistory, tmp_path: Path
    ) -> None:
        history.ensure()
        Path(history.file.device).write_bytes(bytes(MIB))
        run("blockdev", "--flushbufs", history.file.device)
        with pytest.raises(HistoryUnread, match="has lost its super block"):
            history.ensure()
        with pytest.raises(HistoryUnread, match="cannot be read"):
            history.mount(tmp_path / "state")
