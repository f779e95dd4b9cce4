"""A file of ours in a btrfs, written below the file system: a device made of the very blocks it was given.

A run's journal and what its twin writes must have a place on the machine while nobody may mount the file
system there (btrfs.py says why). So it gives us a file, all of it at once, whose blocks it never moves by
itself and has no checksums of: nodatacow and preallocated, as a swap file is (btrfs(5), SWAPFILE SUPPORT). In
the file system it reads as zeros. It lies in a subvolume of its own, of which no snapshot is taken. Where its
blocks are is asked anew each time: an administrator's balance moves them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, OutOfSpace
from appliance.host import mapper
from appliance.host.run import read, write
from appliance.volumes.btrfs_disk import MINUTE, BtrfsDisk, Mounted
from appliance.volumes.btrfs_map import Piece, parse_chunks, parse_extents, places
from appliance.volumes.btrfs_tags import FOLDER
from appliance.volumes.cow import SECTOR

FILES = f"{FOLDER}/.files"
"""The subvolume they lie in."""

HEAD = 1 << 20
"""Bytes at the beginning of a device that btrfs gives to nobody; a loop begins behind them, so that nothing
takes it for the file system itself (btrfs-man5, "BOOTLOADER SUPPORT")."""

KEPT_FREE = 0.1
"""How much of a file system is left free, whatever is taken: a full btrfs may not even take a deletion."""


def room_in(size: int, free: int) -> int:
    """Bytes that may be taken of a file system of `size` bytes with `free` of them free. Pure."""
    return max(0, free - int(size * KEPT_FREE))


@dataclass(frozen=True, slots=True)
class BlockFile:
    """The file `file` of `size` bytes, as the device `name`. Every method may be called twice.

    While it is up its blocks are written whoever has the file system mounted.
    """

    disk: BtrfsDisk
    file: str
    name: str
    size: int

    @property
    def device(self) -> str:
        return mapper.node(self.name)

    def made(self) -> bool:
        with self.disk.reading() as mounted:
            return self._is_whole(mounted)

    def make(self) -> None:
        """Take all of it at once. Raises OutOfSpace, also where the file system would be left too full."""
        with self.disk.writing() as mounted:
            if self._is_whole(mounted):
                return
            self._at(mounted).unlink(missing_ok=True)
            there = mounted.usage()
            if self.size > (room := room_in(there.total, there.free)):
                raise OutOfSpace(
                    f"The file system on {self.disk.device} has {room >> 20} MiB to give, "
                    f"{self.size >> 20} MiB are needed."
                )
            mounted.at(FOLDER).mkdir(mode=0o700, exist_ok=True)
            if not mounted.has(FILES):
                mounted.create(FILES)
            self._take(mounted)

    def up(self) -> str:
        """Join its blocks to a device and return the device's path."""
        host = self.disk.host
        if self.name in mapper.names(host):
            return self.device
        pieces, loop = self.pieces(), self._loop()
        table = [
            f"{p.start // SECTOR} {p.length // SECTOR} linear {loop} {(p.at - HEAD) // SECTOR}"
            for p in pieces
        ]
        return mapper.create(host, self.name, table)

    def down(self) -> None:
        """Take the device down; CommandFailed where it is in use. The file stays."""
        host = self.disk.host
        if self.name in mapper.names(host):
            mapper.remove(host, self.name)
        for loop, users in self._loops():
            if not users:
                host.run(write("losetup", "-d", loop, timeout=mapper.LIMIT))

    def remove(self) -> None:
        """Take it down and give its blocks back, and the subvolume with the last of such files."""
        self.down()
        with self.disk.reading() as mounted:
            if not mounted.has(FILES):
                return
        with self.disk.writing() as mounted:
            self._at(mounted).unlink(missing_ok=True)
            mounted.sync()
            if not any(mounted.at(FILES).iterdir()):
                mounted.delete(FILES)

    def pieces(self) -> tuple[Piece, ...]:
        """Where it lies on the disk. Raises DamagedData, Refused where that can not be told."""
        host = self.disk.host
        with self.disk.reading() as mounted:
            asked = read("filefrag", "-e", "-v", "-b512", str(self._at(mounted)), timeout=MINUTE)
            extents = parse_extents(host.run(asked).stdout)
        # What it reads goes past what the kernel has of the device itself in memory.
        host.run(write("blockdev", "--flushbufs", self.disk.device, timeout=MINUTE))
        asked = read(
            "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", self.disk.device, timeout=MINUTE
        )
        return places(extents, parse_chunks(host.run(asked).stdout), self.size)

    def _take(self, mounted: Mounted) -> None:
        host, at = self.disk.host, self._at(mounted)
        host.run(write("chattr", "+C", str(mounted.at(FILES)), timeout=MINUTE))
        try:
            host.run(write("fallocate", "-l", str(self.size), str(at), timeout=10 * MINUTE))
        except CommandFailed as error:
            at.unlink(missing_ok=True)
            if "space" in error.what.lower():
                raise OutOfSpace(f"The file system on {self.disk.device} is full: {error.what}") from error
            raise
        mounted.sync()

    def _at(self, mounted: Mounted) -> Path:
        return mounted.at(FILES) / self.file

    def _is_whole(self, mounted: Mounted) -> bool:
        at = self._at(mounted)
        return at.is_file() and at.stat().st_size == self.size

    def _loop(self) -> str:
        """One for every such file, not over the super block."""
        for loop, _ in self._loops():
            return loop
        words = ("--find", "--show", "--direct-io=on", "--offset", str(HEAD), self.disk.device)
        return self.disk.host.run(write("losetup", *words, timeout=mapper.LIMIT)).stdout.strip()

    def _loops(self) -> Iterator[tuple[str, bool]]:
        """Each with whether a device stands on it."""
        host, real = self.disk.host, str(Path(self.disk.device).resolve())
        asked = read("losetup", "--list", "--json", "-O", "NAME,BACK-FILE,OFFSET,RO", timeout=mapper.LIMIT)
        rows = json.loads(host.run(asked).stdout or "{}").get("loopdevices", [])
        found = [
            r["name"] for r in rows if (r["back-file"], int(r["offset"]), r["ro"]) == (real, HEAD, False)
        ]
        if not found:
            return
        tables = host.run(read("dmsetup", "table", timeout=mapper.LIMIT)).stdout
        for loop in found:
            yield loop, _stands_on(tables, loop)


def _stands_on(tables: str, loop: str) -> bool:
    """Whether a table names the loop: as major:minor, loops having 7 (Documentation/admin-guide/devices)."""
    minor = loop.removeprefix("/dev/loop")
    return any(f"7:{minor}" in line.split() for line in tables.splitlines())


@dataclass(frozen=True, slots=True)
class BtrfsRoom:
    """Room for the copies of a run, in a file of the very file system they stand over.

    `folder` is in memory: a copy is of no use once the power went.
    """

    file: BlockFile
    folder: Path

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def called(self) -> str:
        return self.file.disk.device

    def made(self) -> bool:
        return self.folder.is_dir() and self.file.made()

    def make(self, tell: Callable[[int, int], None]) -> None:
        self.remove()
        tell(0, self.size)
        self.folder.mkdir(parents=True)
        self.file.make()
        tell(self.size, self.size)

    def up(self) -> str:
        return self.file.up()

    def down(self) -> None:
        self.file.down()

    def remove(self) -> None:
        self.file.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
