"""Files and mounts with the care a production machine needs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Command, Host, read, write
from appliance.host.udev import settle

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""linux/fcntl.h, linux/fs.h"""


def sync_folder(folder: Path) -> None:
    """fsync(2) of a folder, which makes a rename or a new name in it durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def exchange(one: Path, other: Path) -> None:
    """Both names change places in one step (renameat2(2), RENAME_EXCHANGE). Raises OSError.

    With subvolumes of btrfs as with files (Linux 4.7, fs/btrfs/inode.c, btrfs_rename_exchange): on its disk
    it is one transaction.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Old content or new content after any power cut: temp, fsync, rename, fsync of the folder.

    For files of our own on Linux file systems. What a boot loader reads goes through boot/flip, since
    loaders do not replay journals.
    """
    fd, temp = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.replace(temp, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
        raise
    sync_folder(path.parent)


NO_REPLAY = {"ext3": "noload", "ext4": "noload", "xfs": "norecovery,nouuid", "btrfs": "rescue=nologreplay"}


BTRFS_WAITS = (0.0, 0.5, 3.0)
"""Seconds before a refused mount of btrfs is tried again."""


def mounts_under(folder: Path) -> tuple[Path, ...]:
    """Mount points inside `folder`, the latest first (/proc/self/mountinfo, field 5 with octal escapes)."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        at = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]))
        if folder in at.parents:
            found.append(at)
    return tuple(reversed(found))


def _make_room(host: Host, at: Path) -> None:
    """A mount point of ours, with nothing on it: an engine that was killed has unmounted nothing."""
    at.mkdir(parents=True, exist_ok=True)
    if at.is_mount():
        for each in (*mounts_under(at), at):
            host.run(write("umount", str(each), timeout=120))


def _mount(host: Host, command: Command, fstype: str) -> None:
    """Of two devices with one UUID the kernel keeps the one with the newer state of btrfs, and refuses the
    other (btrfs-device(8), scan): udev may have told it of a copy. What is mounted it does not forget. And
    while one is mounted that replays no log, it refuses to write to it anywhere else (btrfs(5), nologreplay):
    another thread may be reading, or a namespace that began meanwhile still have what was unmounted here.
    """
    for seconds in BTRFS_WAITS if fstype == "btrfs" else ():
        try:
            host.run(command)
            return
        except CommandFailed:
            time.sleep(seconds)
        settle(host)
        host.run(read("btrfs", "device", "scan", "--forget", timeout=60))
    host.run(command)


@contextlib.contextmanager
def mounted_readonly(
    host: Host, device: str, fstype: str, at: Path, more: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Mount without replaying the journal, so that not one sector is written (mount(8), ext4(5), xfs(5)).

    `more` are options that say which part of the file system is meant: a subvolume (btrfs(5)).
    """
    options = ",".join(filter(None, ("ro", "nodev", "nosuid", "noexec", NO_REPLAY.get(fstype, ""), *more)))
    _make_room(host, at)
    _mount(host, read("mount", "-t", fstype, "-o", options, device, str(at), timeout=60), fstype)
    try:
        yield at
    finally:
        host.run(read("umount", str(at), timeout=60))


@contextlib.contextmanager
def mounted(host: Host, device: str, fstype: str, at: Path, more: tuple[str, ...] = ()) -> Iterator[Path]:
    """Mount for writing: only volumes of our own, or /boot and the ESP inside a promotion.

    Snapshots of one volume may be mounted side by side, which XFS accepts with nouuid only (xfs(5)). `more`
    as in mounted_readonly.
    """
    _make_room(host, at)
    options = ",".join(("nodev", "nosuid", "noexec", *(("nouuid",) if fstype == "xfs" else ()), *more))
    _mount(host, write("mount", "-t", fstype, "-o", options, device, str(at), timeout=60), fstype)
    try:
        yield at
    finally:
        host.run(write("umount", str(at), timeout=120))


@dataclass(frozen=True, slots=True)
class Inside:
    """A volume that belongs into another one's tree: `target` is where, as the system sees it ("/var")."""

    device: str
    fstype: str
    target: str


@contextlib.contextmanager
def mounted_inside(host: Host, root: Path, volumes: Iterable[Inside], *, writable: bool) -> Iterator[None]:
    """Mount `volumes` where they belong in the tree mounted at `root`, those above before those inside them.

    Raises DamagedData where that is no folder, or a symbolic link on the way could lead out of the tree.
    """
    with contextlib.ExitStack() as stack:
        for each in sorted(volumes, key=lambda v: v.target.rstrip("/").count("/")):
            at = root / each.target.strip("/")
            if at.resolve() != root.resolve() / each.target.strip("/") or not at.is_dir():
                raise DamagedData(f"{each.target} is no folder in the system it belongs to.")
            mount = mounted if writable else mounted_readonly
            stack.enter_context(mount(host, each.device, each.fstype, at))
        yield
