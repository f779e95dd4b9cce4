"""Files and mounts with the care a production machine needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, DamagedData
from appliance.host import files
from appliance.host.files import (
    NO_REPLAY,
    Inside,
    mounted,
    mounted_inside,
    mounted_readonly,
    mounts_under,
    write_atomic,
)
from appliance.host.run import Command, Effect, Output, RealHost, write
from tests.contract import alone


class Mounts:
    """Keeps what is run; `fails` is the program that ends badly, the first `times`."""

    def __init__(self, fails: str = "", times: int = 1000) -> None:
        self.ran: list[Command] = []
        self.fails = fails
        self.times = times

    def run(self, command: Command) -> Output:
        self.ran.append(command)
        if command.argv[0] == self.fails and self.times:
            self.times -= 1
            raise CommandFailed(f"{command} failed.")
        return Output(0, "")


def test_a_new_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "record"
    file.write_text("old")
    held = file.open()
    write_atomic(file, b"new", mode=0o600)
    assert file.read_text() == "new" and held.read() == "old"
    assert file.stat().st_mode & 0o777 == 0o600
    held.close()


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "record"
    file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(file, b"new")
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["record"]


@pytest.mark.parametrize("fstype", ["ext4", "ext3", "xfs", "btrfs", "vfat"])
def test_reading_never_replays_a_journal_and_writes_nothing(fstype: str, tmp_path: Path) -> None:
    host = Mounts()
    with mounted_readonly(host, "/dev/x", fstype, tmp_path / "at") as at:
        assert at.is_dir()
    mount, umount = host.ran
    options = mount.argv[mount.argv.index("-o") + 1].split(",")
    assert {"ro", "nodev", "nosuid", "noexec"} <= set(options)
    assert set(filter(None, NO_REPLAY.get(fstype, "").split(","))) <= set(options)
    assert umount.argv == ("umount", str(at))
    assert mount.effect is umount.effect is Effect.READ


def test_an_error_inside_unmounts(tmp_path: Path) -> None:
    host = Mounts()
    with pytest.raises(ZeroDivisionError), mounted(host, "/dev/x", "ext4", tmp_path / "at"):
        _ = 1 / 0
    assert [(c.argv[0], c.effect) for c in host.ran] == [("mount", Effect.WRITE), ("umount", Effect.WRITE)]


def test_what_does_not_mount_is_not_unmounted(tmp_path: Path) -> None:
    host = Mounts("mount")
    with pytest.raises(CommandFailed), mounted_readonly(host, "/dev/x", "ext4", tmp_path / "at"):
        pass
    assert [c.argv[0] for c in host.ran] == ["mount"]


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[str]:
    """A small ext4 on a loop device."""
    image = tmp_path / "image"
    with image.open("wb") as out:
        out.truncate(8 << 20)
    host = RealHost()
    host.run(write("mkfs.ext4", "-q", "-F", str(image)))
    device = host.run(write("losetup", "-f", "--show", str(image))).stdout.strip()
    yield device
    for left in mounts_under(tmp_path):
        host.run(write("umount", str(left)))
    host.run(write("losetup", "-d", device))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("how", [mounted, mounted_readonly])
def test_what_a_killed_engine_left_mounted_is_in_nobodys_way(
    how: Callable[..., AbstractContextManager[Path]], volume: str, tmp_path: Path
) -> None:
    """`kill -9` runs no `finally`: the next start finds /boot still mounted where it mounts it."""
    host, at = RealHost(), tmp_path / "boot"
    at.mkdir()
    host.run(write("mount", "-t", "ext4", volume, str(at)))
    with how(host, volume, "ext4", at):
        assert (at / "lost+found").is_dir()
    assert not at.is_mount()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_btrfs_file_system_and_its_copy_are_mounted_side_by_side_by_their_subvolume(tmp_path: Path) -> None:
    """As the verdict compares them: two devices with one file-system UUID."""
    host, root = RealHost(), tmp_path / "root"
    (root / "@rootfs").mkdir(parents=True)
    image = _btrfs(host, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone.held())
        device = _looped(stack, host, image)
        with mounted(host, device, "btrfs", tmp_path / "made") as made:
            host.run(write("btrfs", "subvolume", "create", str(made / "@rootfs"), timeout=60))
            (made / "@rootfs/there").touch()
        copy = tmp_path / "copy"
        shutil.copy(image, copy)
        was, part = image.read_bytes(), ("subvolid=256",)
        other = _looped(stack, host, copy)
        with (
            mounted_readonly(host, device, "btrfs", tmp_path / "before", part) as before,
            mounted(host, other, "btrfs", tmp_path / "after", part) as after,
        ):
            (after / "new").touch()
            assert os.listdir(before) == ["there"]
            assert sorted(os.listdir(after)) == ["new", "there"]
        host.run(write("blockdev", "--flushbufs", device, timeout=60))
        assert image.read_bytes() == was


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_a_namespace_still_has_of_a_btrfs_is_waited_for(tmp_path: Path) -> None:
    """Mounted without a replay it can be mounted nowhere to be written, and each new namespace has a copy."""
    host = RealHost()
    image = _btrfs(host, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone.held())
        device = _looped(stack, host, image)
        with mounted_readonly(host, device, "btrfs", tmp_path / "read"):
            words = ("unshare", "--mount", "sh", "-c", "echo begun; read _; exec sleep 1")
            pipe = subprocess.PIPE
            other = stack.enter_context(subprocess.Popen(words, stdin=pipe, stdout=pipe))
            assert other.stdin is not None and other.stdout is not None
            assert other.stdout.readline() == b"begun\n"
        direct = write("mount", "-t", "btrfs", device, str(tmp_path / "read"), timeout=60)
        with pytest.raises(CommandFailed):
            host.run(direct)
        other.stdin.write(b"\n")
        other.stdin.close()
        with mounted(host, device, "btrfs", tmp_path / "written") as top:
            (top / "new").touch()
        assert other.wait(60) == 0, "it was not killed but waited for"


def _btrfs(host: RealHost, folder: Path) -> Path:
    """An empty one in a file."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    host.run(write("mkfs.btrfs", "-q", str(image), timeout=60))
    return image


def _looped(stack: contextlib.ExitStack, host: RealHost, image: Path) -> str:
    made = host.run(write("losetup", "-f", "--show", str(image), timeout=60)).stdout.strip()
    stack.callback(host.run, write("losetup", "-d", made, timeout=60))
    return made


def places(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "var/lib").mkdir(parents=True)
    return root


def test_volumes_of_a_set_are_mounted_from_the_top_down_and_unmounted_from_below(tmp_path: Path) -> None:
    root, host = places(tmp_path), Mounts()
    inside = (Inside("/dev/b", "xfs", "/var/lib"), Inside("/dev/a", "ext4", "/var"))
    with mounted_inside(host, root, inside, writable=True):
        assert [c.argv[-2:] for c in host.ran] == [
            ("/dev/a", str(root / "var")),
            ("/dev/b", str(root / "var/lib")),
        ]
        assert all(c.effect is Effect.WRITE and c.argv[0] == "mount" for c in host.ran)
        del host.ran[:]
    assert [c.argv for c in host.ran] == [("umount", str(root / "var/lib")), ("umount", str(root / "var"))]


def test_to_be_read_they_are_mounted_without_a_replay(tmp_path: Path) -> None:
    host = Mounts()
    with mounted_inside(host, places(tmp_path), (Inside("/dev/a", "ext4", "/var"),), writable=False):
        (command,) = host.ran
        assert command.effect is Effect.READ and {"ro", "noload"} <= set(command.argv[4].split(","))


@pytest.mark.parametrize("kind", ["missing", "link", "file"])
def test_a_place_that_is_no_folder_of_the_tree_gets_no_volume(tmp_path: Path, kind: str) -> None:
    root, host = places(tmp_path), Mounts()
    if kind == "link":
        (root / "srv").symlink_to(tmp_path)
    if kind == "file":
        (root / "srv").touch()
    inside = (Inside("/dev/a", "ext4", "/var"), Inside("/dev/b", "ext4", "/srv"))
    with (
        pytest.raises(DamagedData, match="/srv is no folder"),
        mounted_inside(host, root, inside, writable=True),
    ):
        raise AssertionError("it must not open")
    mounted_now = [c.argv[-1] for c in host.ran if c.argv[0] == "mount"]
    assert sorted(mounted_now) == sorted(c.argv[-1] for c in host.ran if c.argv[0] == "umount")


def test_nothing_happens_for_a_system_in_one_volume(tmp_path: Path) -> None:
    host = Mounts()
    with mounted_inside(host, tmp_path, (), writable=True):
        assert host.ran == []


@pytest.mark.parametrize(("refusals", "ran"), [(0, 1), (2, 3), (3, 4)])
def test_a_btrfs_mount_that_is_refused_is_tried_again(
    refusals: int, ran: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BTRFS_WAITS", (0.0, 0.0, 0.0))
    host = Mounts("mount", refusals)
    with mounted(host, "/dev/x", "btrfs", tmp_path / "at"):
        pass
    assert [c.argv[0] for c in host.ran].count("mount") == ran
    assert [c.argv[0] for c in host.ran].count("btrfs") == refusals
    assert host.ran[-1].argv[0] == "umount"


def test_a_btrfs_mount_that_stays_refused_is_an_error_and_nothing_is_unmounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BTRFS_WAITS", (0.0, 0.0, 0.0))
    host = Mounts("mount", 4)
    with pytest.raises(CommandFailed), mounted(host, "/dev/x", "btrfs", tmp_path / "at"):
        pass
    assert "umount" not in [c.argv[0] for c in host.ran]


def test_another_file_system_is_not_tried_again(tmp_path: Path) -> None:
    host = Mounts("mount", 1)
    with pytest.raises(CommandFailed), mounted(host, "/dev/x", "ext4", tmp_path / "at"):
        pass
    assert [c.argv[0] for c in host.ran] == ["mount"]
