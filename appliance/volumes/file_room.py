"""Room for throw-away volumes outside the machine: files on a stick, a USB disk or in memory, as one device.

All of it is taken when it is made, so that nothing below can run out later: what fills is told by
device-mapper alone. FAT takes no file of 4 GiB and knows no sparse ones, so the room is several files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, ExportFailed, OutOfSpace
from appliance.host import mapper
from appliance.host.mapper import LIMIT
from appliance.host.run import Host, read, write
from appliance.volumes.cow import SECTOR

FOLDER = "twinboot-copies"
"""Where the files are, on whatever holds them. Whatever lies there is ours, and of no use after a restart."""

PIECE = 1 << 30
"""Bytes of one file: few enough for FAT, and for a word on how far it is."""

SPARE = 64 << 20
"""Bytes that are left free, for the report."""

SLOW = 1800.0
"""Seconds for one piece where each of its bytes must be written: 1 GiB at 0.6 MiB a second."""

OPTIONS = "nosuid,nodev,noexec"
MEMORY = "tmpfs"


@dataclass(frozen=True, slots=True)
class Place:
    """A file system that is mounted at `at`; where `source` is not empty, mounted by us for the run.

    `fstype` is MEMORY for one in the appliance's RAM, which is made as large as what it has to hold.
    """

    at: Path
    source: str = ""
    fstype: str = ""

    @property
    def folder(self) -> Path:
        return self.at / FOLDER

    def open(self, host: Host, size: int) -> None:
        """Mount it, where that is ours to do and was not done."""
        if not self.source or self._mounted(host):
            return
        self.at.mkdir(parents=True, exist_ok=True)
        more = f",size={size + SPARE},mode=0700" if self.fstype == MEMORY else ",noatime"
        words = ("-t", self.fstype, "-o", f"{OPTIONS}{more}", self.source, str(self.at))
        host.run(write("mount", *words, timeout=LIMIT))

    def close(self, host: Host) -> None:
        """Unmount what `open` mounted; nothing happens where it is not."""
        if self.source and self._mounted(host):
            host.run(write("umount", str(self.at), timeout=10 * LIMIT))

    def _mounted(self, host: Host) -> bool:
        asked = read("findmnt", "-n", "-o", "SOURCE", "-M", str(self.at), ok=frozenset({0, 1}), timeout=LIMIT)
        return bool(host.run(asked).stdout.strip())


@dataclass(frozen=True, slots=True)
class FileRoom:
    """`size` bytes (whole MiB) at `place`, joined to the device `name`. Every method may be called twice."""

    host: Host
    name: str
    place: Place
    size: int

    @property
    def device(self) -> str:
        return mapper.node(self.name)

    @property
    def folder(self) -> Path:
        return self.place.folder

    @property
    def called(self) -> str:
        return str(self.place.at)

    @property
    def pieces(self) -> tuple[tuple[Path, int], ...]:
        """Files and their lengths in bytes."""
        starts = range(0, self.size, PIECE)
        return tuple(
            (self.place.folder / f"room.{n:03}", min(PIECE, self.size - at)) for n, at in enumerate(starts)
        )

    def make(self, tell: Callable[[int, int], None]) -> None:
        """Take the room; what an earlier run left there is removed first. `tell`: bytes done, bytes in all.

        Raises OutOfSpace where there is too little, ExportFailed where the medium does not take it.
        """
        self.place.open(self.host, self.size)
        self._clear()
        found = shutil.disk_usage(self.place.at)
        if found.free < self.size + SPARE:
            raise OutOfSpace(
                f"{self.place.at} has {found.free >> 20} MiB free; the copies need {self.size >> 20} MiB and "
                f"the report {SPARE >> 20} MiB."
            )
        try:
            self.place.folder.mkdir()
        except OSError as error:
            raise ExportFailed(f"{self.place.at} takes no files: {error.strerror}.") from None
        done = 0
        for file, length in self.pieces:
            tell(done, self.size)
            self._take(file, length)
            done += length
        tell(done, self.size)

    def made(self) -> bool:
        """Whether all of it was taken."""
        return all(file.is_file() and file.stat().st_size == length for file, length in self.pieces)

    def up(self) -> str:
        """Join the files and return the device's path."""
        if self.name in mapper.names(self.host):
            return self.device
        loops, at, table = self._loops(), 0, []
        for file, length in self.pieces:
            loop = loops.get(str(file)) or self._loop(file)
            table.append(f"{at // SECTOR} {length // SECTOR} linear {loop} 0")
            at += length
        return mapper.create(self.host, self.name, table)

    def down(self) -> None:
        """Take the device down; CommandFailed where it is in use. The files stay."""
        if self.name in mapper.names(self.host):
            mapper.remove(self.host, self.name)
        for loop in self._loops().values():
            self.host.run(write("losetup", "-d", loop, timeout=LIMIT))

    def remove(self) -> None:
        """Take it down and give the room back."""
        self._clear()
        self.place.close(self.host)

    def _clear(self) -> None:
        self.down()
        if self.place.folder.is_dir():
            shutil.rmtree(self.place.folder)

    def _take(self, file: Path, length: int) -> None:
        """A file of `length` bytes, each of which is there: by the file system's own way, or by zeros."""
        try:
            try:
                self.host.run(write("fallocate", "-l", str(length), str(file), timeout=SLOW))
            except CommandFailed:
                # exFAT has no such call and gives a longer file all its clusters; others make it sparse.
                self.host.run(write("truncate", "-s", str(length), str(file), timeout=SLOW))
            if os.stat(file).st_blocks * SECTOR < length:
                self.host.run(
                    write("dd", "if=/dev/zero", f"of={file}", "bs=1M", f"count={length >> 20}",
                          "conv=notrunc,fsync", "status=none", timeout=SLOW)
                )  # fmt: skip
        except CommandFailed as error:
            if "space" in error.what.lower():
                raise OutOfSpace(f"{self.place.at} has no room for the copies: {error.what}") from error
            raise

    def _loop(self, file: Path) -> str:
        made = self.host.run(write("losetup", "--find", "--show", str(file), timeout=LIMIT))
        return made.stdout.strip()

    def _loops(self) -> dict[str, str]:
        """Loop devices over files in the folder, by file: those that were deleted, too."""
        listed = self.host.run(read("losetup", "--list", "--json", "-O", "NAME,BACK-FILE", timeout=LIMIT))
        rows = json.loads(listed.stdout or "{}").get("loopdevices", [])
        ours = f"{self.place.folder}/"
        return {
            str(row["back-file"]): row["name"] for row in rows if (row["back-file"] or "").startswith(ours)
        }
