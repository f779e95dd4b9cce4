"""A real ext4 or XFS as it is copied out: frozen in use, onto a disk full of something else."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, FileSystemFailed, TwinFailed
from appliance.host.files import mounted, mounted_readonly
from appliance.host.run import RealHost
from appliance.volumes.partition_fs import EXT4, XFS, FileSystem, file_system, look
from appliance.volumes.table import MIB

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.xfs"), reason="needs root and xfsprogs"),
]
HOST = RealHost()
SIZE = 320 * MIB
MAKE = {EXT4: ("mkfs.ext4", "-q", "-L", "theirs"), XFS: ("mkfs.xfs", "-q", "-L", "theirs")}
NEW = str(uuid.uuid4())


def said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


@contextmanager
def loop_over(file: Path) -> Iterator[str]:
    loop = said("losetup", "--find", "--show", str(file))
    try:
        yield loop
    finally:
        said("losetup", "-d", loop)


def fill(at: Path) -> None:
    (at / "folder").mkdir()
    (at / "folder/large").write_bytes(os.urandom(30 * MIB))
    (at / "zeros").write_bytes(bytes(2 * MIB))
    (at / "small").write_text("small\n")


def content(at: Path) -> dict[str, bytes]:
    return {str(p.relative_to(at)): p.read_bytes() for p in sorted(at.rglob("*")) if p.is_file()}


@pytest.fixture(params=[EXT4, XFS])
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    """As a twin's disk is when it was sealed: mounted, filled, frozen, its power gone."""
    file, seal = tmp_path / "fs", tmp_path / "seal"
    with file.open("wb") as out:
        out.truncate(SIZE)
    said(*MAKE[request.param], str(file))
    with loop_over(file) as loop, mounted(HOST, loop, request.param, tmp_path / "at") as at:
        fill(at)
        said("fsfreeze", "--freeze", str(at))
        try:
            said("cp", "--sparse=always", str(file), str(seal))
        finally:
            said("fsfreeze", "--unfreeze", str(at))
    with loop_over(seal) as loop:
        yield file_system(HOST, loop)


def copied(source: FileSystem, target: Path) -> int:
    """Bytes that went to `target`, which was full of chance."""
    with target.open("wb") as out:
        for _ in range(SIZE // (16 * MIB)):
            out.write(b"\xa5" * (16 * MIB))
    size, used = source.used()
    assert size == SIZE
    with open(source.device, "rb") as before, target.open("r+b") as after:
        for part in used:
            before.seek(part.start)
            after.seek(part.start)
            after.write(before.read(part.size))
    return sum(part.size for part in used)


def test_the_used_blocks_alone_are_the_whole_file_system(frozen: FileSystem, tmp_path: Path) -> None:
    frozen.replay(tmp_path / "replay")
    total = copied(frozen, tmp_path / "copy")
    assert total < SIZE // 2
    old = look(HOST, frozen.device)
    with ExitStack() as both:
        loop = both.enter_context(loop_over(tmp_path / "copy"))
        copy = FileSystem(HOST, loop, frozen.fstype)
        copy.become(NEW)
        assert look(HOST, loop) == type(old)(frozen.fstype, NEW, "")
        there = both.enter_context(mounted(HOST, loop, frozen.fstype, tmp_path / "there"))
        here = both.enter_context(mounted_readonly(HOST, frozen.device, frozen.fstype, tmp_path / "here"))
        assert content(there) == content(here)
        assert set(content(there)) == {"folder/large", "zeros", "small"}
    with loop_over(tmp_path / "copy") as loop:
        FileSystem(HOST, loop, frozen.fstype).relabel("theirs")
        assert look(HOST, loop).label == old.label == "theirs"


def test_a_copy_that_is_not_whole_becomes_nothing(frozen: FileSystem, tmp_path: Path) -> None:
    frozen.replay(tmp_path / "replay")
    copied(frozen, tmp_path / "copy")
    with (tmp_path / "copy").open("r+b") as out:
        for at in range(4096, 24 * MIB, MIB):
            out.seek(at)
            out.write(b"\x5a" * 512 * 1024)
    with loop_over(tmp_path / "copy") as loop, pytest.raises((FileSystemFailed, CommandFailed)):
        FileSystem(HOST, loop, frozen.fstype).become(NEW)


def test_a_mount_for_writing_is_seen_and_one_for_reading_is_not(frozen: FileSystem, tmp_path: Path) -> None:
    frozen.replay(tmp_path / "replay")
    before = frozen.witness()
    with mounted_readonly(HOST, frozen.device, frozen.fstype, tmp_path / "at"):
        pass
    assert frozen.witness() == before
    with mounted(HOST, frozen.device, frozen.fstype, tmp_path / "at"):
        pass
    assert frozen.witness() != before, "even where it wrote nothing"


def test_what_is_no_known_file_system_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "nothing").write_bytes(bytes(MIB))
    with loop_over(tmp_path / "nothing") as loop, pytest.raises(TwinFailed, match="nothing known"):
        file_system(HOST, loop)
