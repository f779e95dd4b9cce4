"""How file systems and swap areas were left, on real ones made by the real tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import ProbeFailed
from appliance.probe.superblock import HIBERNATED, Left, file_system_left, holds_hibernation, read_head


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


def image(path: Path, size: str = "16M") -> Path:
    run("truncate", "-s", size, str(path))
    return path


@pytest.fixture
def ext4(tmp_path: Path) -> Path:
    file = image(tmp_path / "ext4")
    run("mkfs.ext4", "-q", str(file))
    return file


def test_a_fresh_ext4_is_clean(ext4: Path) -> None:
    assert file_system_left(read_head(ext4)) is Left.CLEAN


def test_an_ext4_that_needs_recovery_is_dirty(ext4: Path) -> None:
    run("debugfs", "-w", "-R", "feature needs_recovery", str(ext4))
    assert file_system_left(read_head(ext4)) is Left.DIRTY


def test_an_ext4_that_saw_errors_says_so_even_when_dirty(ext4: Path) -> None:
    run("debugfs", "-w", "-R", "set_super_value state 3", str(ext4))
    assert file_system_left(read_head(ext4)) is Left.ERRORS
    run("debugfs", "-w", "-R", "feature needs_recovery", str(ext4))
    assert file_system_left(read_head(ext4)) is Left.ERRORS


@pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="btrfs-progs is not installed")
def test_btrfs_by_its_log_tree(tmp_path: Path) -> None:
    file = image(tmp_path / "btrfs", "128M")
    run("mkfs.btrfs", "-q", str(file))
    head = bytearray(read_head(file))
    assert file_system_left(bytes(head)) is Left.CLEAN
    head[64 * 1024 + 0x60] = 1
    assert file_system_left(bytes(head)) is Left.DIRTY


def test_anything_else_is_unknown() -> None:
    for head in (b"", b"x" * 100, bytes(128 * 1024), bytes(1024) + b"\xff" * 500):
        assert file_system_left(head) is Left.UNKNOWN
        assert not holds_hibernation(head)


def test_swap_awake_and_asleep(tmp_path: Path) -> None:
    file = image(tmp_path / "swap")
    run("mkswap", str(file))
    awake = read_head(file)
    assert not holds_hibernation(awake)
    for mark in HIBERNATED:
        for page in (4096, 65536):
            asleep = bytearray(awake)
            asleep[page - 10 : page - 10 + len(mark)] = mark
            assert holds_hibernation(bytes(asleep))


def test_a_device_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProbeFailed, match="nowhere"):
        read_head(tmp_path / "nowhere")
