"""A file system on a partition: its used blocks, whether it was written, how a copy becomes another one.

The parsers are pure; what runs a program says so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import DamagedData, FileSystemFailed, TwinFailed
from appliance.host.files import mounted
from appliance.host.run import Host, read, write
from appliance.volumes.table import MIB

EXT4, XFS = "ext4", "xfs"
COPIED = (EXT4, XFS)
"""Those whose free blocks we can read, and whose UUID can be changed."""

HOUR = 3600.0
CLOSE = 8 * MIB
"""Bytes. A gap that is shorter is copied along: it costs less than another start of a program."""

_GROUP_FREE = re.compile(r"^ +Free blocks: (?P<ranges>[0-9, -]*)$", re.MULTILINE)
_NUMBER = re.compile(r"^(?P<name>[A-Za-z ]+[a-z]): +(?P<value>\d+)$", re.MULTILINE)
_XFS_VALUE = re.compile(r"^(?P<name>[a-z]+) = (?P<value>\d+)$", re.MULTILINE)
_XFS_FREE = re.compile(r"^ *(?P<ag>\d+) +(?P<block>\d+) +(?P<length>\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Used:
    """A part of the file system that has something in it, in bytes from its beginning."""

    start: int
    size: int


def between(size: int, free: Iterable[tuple[int, int]], close: int = CLOSE) -> tuple[Used, ...]:
    """What is not `free`, given as (start, length), of `size`, all in bytes; gaps below `close` are in it."""
    found: list[Used] = []
    at = 0
    for start, length in sorted((*free, (size, 0))):
        if start > at:
            found.append(Used(at, start - at))
        at = max(at, start + length)
    joined: list[Used] = []
    for part in found:
        if joined and part.start - (joined[-1].start + joined[-1].size) < close:
            part = Used(joined[-1].start, part.start + part.size - joined.pop().start)
        joined.append(part)
    return tuple(joined)


def ext4_free(text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """From `dumpe2fs`: the file system's length and what is free in it, (start, length), all in bytes."""
    found = {match["name"]: int(match["value"]) for match in _NUMBER.finditer(text)}
    if not {"Block count", "Block size"} <= found.keys():
        raise DamagedData("What dumpe2fs printed says nothing of blocks.")
    block = found["Block size"]
    free = []
    for match in _GROUP_FREE.finditer(text):
        for part in filter(None, (word.strip() for word in match["ranges"].split(","))):
            first, _, last = part.partition("-")
            free.append((int(first) * block, (int(last or first) - int(first) + 1) * block))
    return found["Block count"] * block, tuple(free)


def xfs_values(text: str) -> dict[str, int]:
    """From `xfs_db -c "sb 0" -c "p ..."`."""
    return {match["name"]: int(match["value"]) for match in _XFS_VALUE.finditer(text)}


def xfs_free(values: dict[str, int], text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """From the super block's values and `xfs_db -c "freesp -d"`, as ext4_free."""
    block, group = values["blocksize"], values["agblocks"]
    listed, _, _ = text.partition("from")
    free = tuple(
        ((int(m["ag"]) * group + int(m["block"])) * block, int(m["length"]) * block)
        for m in _XFS_FREE.finditer(listed)
    )
    return values["dblocks"] * block, free


def xfs_log(values: dict[str, int]) -> tuple[int, int]:
    """Where its log lies, (start, length) in bytes; (0, 0) where that is on another device."""
    if not values.get("logstart"):
        return 0, 0
    group, block = divmod(values["logstart"], 1 << values["agblklog"])
    at = (group * values["agblocks"] + block) * values["blocksize"]
    return at, values["logblocks"] * values["blocksize"]


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The one of type `fstype` on `device`, which nobody has mounted."""

    host: Host
    device: str
    fstype: str

    def used(self) -> tuple[int, tuple[Used, ...]]:
        """Its length in bytes, and the parts of it that are used, in their order."""
        if self.fstype == XFS:
            asked = self.host.run(read("xfs_db", "-r", "-c", "freesp -d", self.device, timeout=HOUR))
            size, free = xfs_free(self._xfs_values(), asked.stdout)
        else:
            size, free = ext4_free(self.host.run(read("dumpe2fs", self.device, timeout=HOUR)).stdout)
        return size, between(size, free)

    def witness(self) -> str:
        """Another one as soon as a system has mounted it for writing: of its super block, and of XFS's log.

        ext4 notes in its super block when it was mounted, and how often; XFS writes its super block and the
        log when it is unmounted, and at least the log when it is not.
        """
        total = hashlib.sha256(self.fstype.encode())
        parts = [(0, 4096)]
        if self.fstype == XFS:
            parts.append(xfs_log(self._xfs_values()))
        with Path(self.device).open("rb", buffering=0) as source:
            for at, size in parts:
                for place in range(at, at + size, MIB):
                    source.seek(place)
                    total.update(source.read(min(MIB, at + size - place)))
        return total.hexdigest()[:32]

    def replay(self, at: Path) -> None:
        """Bring into place what its journal alone says: only of a copy of ours. `at` is for a mount point.

        XFS leaves its log for the next mount even when it is frozen.
        """
        if self.fstype == XFS:
            with mounted(self.host, self.device, XFS, at):
                pass
            return
        # 1: something was replayed (e2fsck(8)).
        words = ("-y", "-E", "journal_only", self.device)
        self.host.run(write("e2fsck", *words, timeout=HOUR, ok=frozenset({0, 1})))

    def become(self, uuid: str) -> None:
        """Another file system, without a label: nothing that names the one it was copied from finds it.

        Raises FileSystemFailed where the copy is not whole.
        """
        if self.fstype == XFS:
            if self.host.run(read("xfs_repair", "-n", self.device, timeout=HOUR, ok=ANY)).status:
                raise FileSystemFailed(f"The copy on {self.device} is damaged, as xfs_repair finds it.")
            self.host.run(write("xfs_admin", "-U", uuid, "-L", "--", self.device, timeout=HOUR))
            return
        # A forced check is also what tune2fs wants before it writes every checksum anew.
        done = self.host.run(write("e2fsck", "-f", "-p", self.device, timeout=HOUR, ok=ANY))
        if done.status & ~1:
            raise FileSystemFailed(f"The copy on {self.device} is damaged, as e2fsck finds it.")
        self.host.run(write("tune2fs", "-U", uuid, "-L", "", self.device, timeout=HOUR))

    def relabel(self, label: str) -> None:
        if self.fstype == XFS:
            self.host.run(write("xfs_admin", "-L", label or "--", self.device, timeout=HOUR))
        else:
            self.host.run(write("tune2fs", "-L", label, self.device, timeout=HOUR))

    def _xfs_values(self) -> dict[str, int]:
        wanted = "p blocksize dblocks agblocks agblklog logstart logblocks"
        said = self.host.run(read("xfs_db", "-r", "-c", "sb 0", "-c", wanted, self.device, timeout=HOUR))
        return xfs_values(said.stdout)


ANY = frozenset(range(256))


@dataclass(frozen=True, slots=True)
class Seen:
    """What blkid finds on a device."""

    fstype: str = ""
    uuid: str = ""
    label: str = ""


def look(host: Host, device: str) -> Seen:
    """As the device itself says now: no cache. Nothing is found where nothing is."""
    # 2 means that nothing known was found on the device (blkid(8)).
    asked = ("blkid", "-p", "-o", "value", "-s")
    said = (
        host.run(read(*asked, key, device, timeout=120, ok=frozenset({0, 2})))
        for key in ("TYPE", "UUID", "LABEL")
    )
    return Seen(*(found.stdout.strip("\n") for found in said))


def file_system(host: Host, device: str) -> FileSystem:
    """Raises TwinFailed where it is none that can be copied."""
    seen = look(host, device)
    if seen.fstype not in COPIED:
        raise TwinFailed(f"{device} is kept as {seen.fstype or 'nothing known'}: that can not be copied.")
    return FileSystem(host, device, seen.fstype)


def pieces(used: Iterable[Used], most: int) -> Iterator[Used]:
    """The same in parts of at most `most` bytes."""
    for part in used:
        for at in range(part.start, part.start + part.size, most):
            yield Used(at, min(most, part.start + part.size - at))
