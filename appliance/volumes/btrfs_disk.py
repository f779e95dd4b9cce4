"""A btrfs file system on the machine's disk, mounted at its top level for as long as one act takes.

It is never written while a copy-on-write over it stands: what the copy did not write itself, it reads here.
The kernel knows a file system by its UUID, which a copy shares: it is made to forget the other one first.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, OutOfSpace, TwinFailed
from appliance.host.files import exchange, mounted, mounted_readonly
from appliance.host.run import Host, read, write
from appliance.model.btrfs import BtrfsRoot
from appliance.probe import btrfs
from appliance.probe.superblock import Left, file_system_left, read_head

FSTYPE = "btrfs"
MINUTE = 60.0
SEND_LIMIT = 4 * 3600.0
"""Seconds for what a run wrote to its copy: a GiB takes minutes on a slow stick."""

BLOCK = 4096
"""Bytes: the smallest piece in which btrfs counts what a file has."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Mounted:
    """The file system at `top`; paths are from its top level."""

    host: Host
    top: Path

    def look(self) -> BtrfsRoot:
        return btrfs.look(self.host, self.top)

    def at(self, path: str) -> Path:
        return self.top / path

    def has(self, path: str) -> bool:
        """Whether a subvolume lies there, not a mere folder."""
        return bool(path) and self.look().at(path) != 0

    def snapshot(self, source: str, target: str, *, readonly: bool) -> None:
        """Make it and have it on the disk. Raises OutOfSpace."""
        kind = ("-r",) if readonly else ()
        self._write("subvolume", "snapshot", *kind, str(self.at(source)), str(self.at(target)))
        self.sync()

    def create(self, path: str) -> None:
        """An empty subvolume."""
        self._write("subvolume", "create", str(self.at(path)))
        self.sync()

    def usage(self) -> Usage:
        """As df(1) counts: what a file may still take, and all there is."""
        found = shutil.disk_usage(self.top)
        return Usage(found.total, found.free)

    def delete(self, path: str) -> None:
        """The name is gone from the disk when this returns; its room comes back by and by."""
        self._write("subvolume", "delete", "--commit-after", str(self.at(path)))

    def make_default(self, id: int) -> None:
        """What a mount takes that names no subvolume."""
        self._write("subvolume", "set-default", str(id), str(self.top))
        self.sync()

    def let_write(self, path: str) -> None:
        """A read-only subvolume is one no more. Nothing happens where it is none."""
        self._write("property", "set", "-ts", str(self.at(path)), "ro", "false")

    def change_places(self, one: str, other: str) -> None:
        """Each subvolume gets the other one's path, both in one commit, which is on the disk then."""
        try:
            exchange(self.at(one), self.at(other))
        except OSError as error:
            raise TwinFailed(f"{one} and {other} did not change places: {error.strerror}.") from error
        self.sync()

    def sync(self) -> None:
        self._write("filesystem", "sync", str(self.top))

    def send(self, parent: str, path: str, target: str) -> None:
        """Write what `path` has and `parent` has not to the device `target`. Raises OutOfSpace."""
        words = ("-p", str(self.at(parent)), "-f", target, str(self.at(path)))
        self._write("send", "-q", *words, limit=SEND_LIMIT)

    def receive(self, source: str, folder: str) -> None:
        """Make the read-only subvolume that the device `source` describes, in `folder`. Raises OutOfSpace."""
        self._write("receive", "-q", "-e", "-f", source, str(self.at(folder)), limit=SEND_LIMIT)
        self.sync()

    def generations(self, path: str) -> tuple[int, int]:
        """When `path` was last changed and when it was made, counted in the file system's own commits."""
        asked = read("btrfs", "subvolume", "show", str(self.at(path)), timeout=MINUTE)
        return btrfs.parse_generations(self.host.run(asked).stdout)

    def _write(self, *words: str, limit: float = 10 * MINUTE) -> None:
        try:
            self.host.run(write("btrfs", *words, timeout=limit))
        except CommandFailed as error:
            if "no space" in error.what.lower():
                raise OutOfSpace(f"The file system has no room: {error.what}") from error
            raise


@dataclass(frozen=True, slots=True)
class BtrfsDisk:
    """The file system on `device`, mounted at `folder` for one act at a time."""

    host: Host
    device: str
    folder: Path

    @contextlib.contextmanager
    def reading(self) -> Iterator[Mounted]:
        """Without one write: its log is not replayed."""
        self.forget()
        with mounted_readonly(self.host, self.device, FSTYPE, self.folder, btrfs.AT_TOP) as top:
            yield Mounted(self.host, top)

    @contextlib.contextmanager
    def writing(self, device: str = "") -> Iterator[Mounted]:
        """`device`: a copy of it, instead of itself."""
        self.forget()
        more = (*btrfs.AT_TOP, "noatime")
        with mounted(self.host, device or self.device, FSTYPE, self.folder, more) as top:
            yield Mounted(self.host, top)

    def has_log(self) -> bool:
        """Whether the file system was left without being unmounted, with a log to replay."""
        return file_system_left(read_head(Path(self.device))) is Left.DIRTY

    def forget(self) -> None:
        """Of two devices with one UUID the kernel would keep the one with the newer state (btrfs-device(8)).

        What is mounted it does not forget.
        """
        self.host.run(write("btrfs", "device", "scan", "--forget", timeout=MINUTE))
