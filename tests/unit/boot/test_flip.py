"""The only hand that writes /boot."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.boot.flip import (
    RealDisk,
    RecordingDisk,
    flip,
    mounted_for,
    mounted_to_read,
    open_boot,
    remove_tree,
    replace,
)
from appliance.boot.place import SECTOR_PATH, Boot, BootPlace, SectorPlace
from appliance.errors import BootConfigFailed, CommandFailed
from appliance.host.run import Command, Host, Output


class Quiet:
    """A host where every command works and is remembered."""

    def __init__(self, fails: str = "") -> None:
        self.ran: list[Command] = []
        self.fails = fails

    def run(self, command: Command) -> Output:
        self.ran.append(command)
        if self.fails and self.fails in str(command):
            raise CommandFailed(f"{command} ended with status 1.")
        return Output(0, "")


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    (tmp_path / "boot").mkdir()
    return RealDisk(Quiet(), tmp_path / "boot")


class Same:
    """RawBoot that sees what Linux sees, but for `lie`."""

    def __init__(self, disk: RealDisk, lie: bytes | None = None) -> None:
        self.disk, self.lie = disk, lie

    def read(self, path: str) -> bytes | None:
        return self.lie if self.lie is not None else self.disk.read(path)


def boot_of(disk: RealDisk, lie: bytes | None = None) -> Boot:
    place = BootPlace(mount=disk.boot, device="", fstype="ext4", fsuuid="")
    return Boot(place, disk, Same(disk, lie))  # type: ignore[arg-type]


def test_the_sector_is_written_in_place(disk: RealDisk) -> None:
    disk.create("env", b"#" * 1024)
    inode = (disk.boot / "env").stat().st_ino
    disk.write_sector("env", b"x" * 512)
    assert disk.read("env") == b"x" * 512 + b"#" * 512 and (disk.boot / "env").stat().st_ino == inode
    with pytest.raises(ValueError, match="512"):
        disk.write_sector("env", b"x")


def test_a_file_not_laid_out_is_not_flipped(disk: RealDisk) -> None:
    disk.create("short", b"x")
    with (disk.boot / "sparse").open("wb") as out:
        out.truncate(1024)
    for name in ("short", "sparse"):
        with pytest.raises(BootConfigFailed, match="laid out"):
            disk.write_sector(name, b"x" * 512)
    with pytest.raises(BootConfigFailed):
        disk.write_sector("absent", b"x" * 512)


def test_hard_links_are_links_and_may_be_repeated(disk: RealDisk) -> None:
    disk.create("vmlinuz", b"kernel")
    disk.link("vmlinuz", "old")
    disk.link("vmlinuz", "old")
    assert (disk.boot / "old").stat().st_nlink == 2
    disk.create("other", b"x")
    disk.link("vmlinuz", "other")
    assert disk.read("other") == b"kernel"


def test_where_links_are_not_possible_a_copy_is_made(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    disk.create("vmlinuz", b"kernel")
    disk.link("vmlinuz", "old")
    assert disk.read("old") == b"kernel" and (disk.boot / "old").stat().st_nlink == 1


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "a/../../b", ""])
def test_paths_that_leave_boot_are_a_mistake(disk: RealDisk, path: str) -> None:
    with pytest.raises(ValueError, match="inside /boot"):
        disk.create(path, b"")


def test_symbolic_links_are_not_followed(disk: RealDisk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs" * 200)
    (disk.boot / "twinboot").symlink_to(outside)
    (disk.boot / "env").symlink_to(outside / "file")
    with pytest.raises(BootConfigFailed, match="symbolic link"):
        disk.create("twinboot/x", b"")
    with pytest.raises(BootConfigFailed):
        disk.write_sector("env", b"x" * 512)
    with pytest.raises(BootConfigFailed, match="not a folder"):
        disk.make_folder("twinboot")
    assert disk.read("env") is None and disk.names("twinboot") == ()
    with pytest.raises(BootConfigFailed):
        remove_tree(disk, "twinboot")
    assert (outside / "file").read_bytes() == b"theirs" * 200


def test_a_freeze_that_fails_is_thawed_and_said(tmp_path: Path) -> None:
    host = Quiet(fails="freeze.sh")
    with pytest.raises(BootConfigFailed, match="settled"):
        RealDisk(host, tmp_path).settle()
    assert host.ran[-1].argv[:2] == ("fsfreeze", "--unfreeze")


def test_what_does_not_read_back_is_said(disk: RealDisk) -> None:
    disk.make_folder("twinboot")
    disk.create(SECTOR_PATH, b"#" * 1024)
    with pytest.raises(BootConfigFailed, match="read back"):
        flip(boot_of(disk, lie=b"#" * 1024), b"x" * 512)
    disk.create("grub.cfg", b"old")
    with pytest.raises(BootConfigFailed, match="untouched"):
        replace(boot_of(disk, lie=b"old"), "grub.cfg", b"new", "kept")
    assert disk.read("grub.cfg") == b"old"


def test_replace_keeps_the_old_inode_under_a_name(disk: RealDisk) -> None:
    disk.create("grub.cfg", b"old")
    inode = (disk.boot / "grub.cfg").stat().st_ino
    replace(boot_of(disk), "grub.cfg", b"new", "kept")
    assert disk.read("grub.cfg") == b"new" and disk.read("kept") == b"old"
    assert (disk.boot / "kept").stat().st_ino == inode and disk.names("") == ("grub.cfg", "kept")


def test_remove_tree_twice(disk: RealDisk) -> None:
    for folder in ("a", "a/b"):
        disk.make_folder(folder)
    disk.create("a/b/c", b"")
    (disk.boot / "a/link").symlink_to("/etc/passwd")
    remove_tree(disk, "a")
    remove_tree(disk, "a")
    assert disk.names("") == () and Path("/etc/passwd").exists()


def test_a_dry_disk_tells_and_writes_nothing(disk: RealDisk, tmp_path: Path) -> None:
    source = tmp_path / "kernel"
    source.write_bytes(b"k" * 10)
    disk.create("env", b"#" * 1024)
    dry = RecordingDisk(disk)
    dry.make_folder("twinboot")
    dry.create("twinboot/x", b"abc")
    dry.copy(source, "twinboot/k")
    dry.link("env", "twinboot/env")
    dry.rename("env", "e")
    dry.write_sector("env", b"x" * 512)
    dry.settle()
    dry.remove("env")
    dry.remove_folder("twinboot")
    assert disk.names("") == ("env",) and disk.read("env") == b"#" * 1024
    assert len(dry.would) == 9 and dry.would[1] == "create /boot/twinboot/x (3 bytes)"
    assert (dry.read("env"), dry.names(""), dry.is_file("env")) == (b"#" * 1024, ("env",), True)


@pytest.mark.parametrize(("entered", "options"), [(mounted_for, "nodev"), (mounted_to_read, "ro")])
def test_where_the_sector_lies_apart_its_place_is_mounted_as_boot_is(
    entered: Callable[[Host, BootPlace], AbstractContextManager[None]], options: str, tmp_path: Path
) -> None:
    """Both to be written, or both to be looked at: how much room there is, is asked of either."""
    host = Quiet()
    sector = SectorPlace(tmp_path / "esp", "/dev/vda2", "vfat", "7A3B-91C4", "/boot/efi", "twinboot/b007/env")
    place = BootPlace(
        tmp_path / "boot", "/dev/mapper/vg0-boot", "ext4", "b007", up=("lvchange", "-ay"), sector=sector
    )
    with entered(host, place):
        boot = open_boot(host, place)
        assert boot.apart is not None and boot.apart.disk.free() > 0 < boot.disk.free()
    mounts = [command.argv for command in host.ran if command.argv[0] == "mount"]
    assert [(argv[-2], argv[4].partition(",")[0]) for argv in mounts] == [
        ("/dev/mapper/vg0-boot", options),
        ("/dev/vda2", options),
    ]
    left = [command.argv[-1] for command in host.ran if command.argv[0] == "umount"]
    assert left == [str(tmp_path / "esp"), str(tmp_path / "boot")]
