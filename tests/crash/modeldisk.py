"""/boot on a journaling file system as a loader sees it after a power cut: the journal is never replayed.

What Linux sees changes at once. What lies in place on the disk changes later: after an fsync, names and
inodes are in the journal only, and any subset of them may or may not have reached its place when the power
goes; freeze and thaw put all of them there. File data is in place before the inode that leads to it (ext4,
data=ordered), and a freed inode may already read as empty while its name is still there.

`fat` makes it a FAT: no hard links, and nothing is ordered, so that a name may lead to nothing, or to the
first half of its file. The firmware's variables stand beside it: each is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

JUNK = b""  # a freed inode as GRUB finds it
LIMIT = 9  # up to 2**LIMIT subsets are tried exhaustively


class PowerCut(Exception):
    """The machine died at this write."""


@dataclass(frozen=True)
class Change:
    """One update in place: the name `path` leads to `inode` (0: gone), or `inode` reads `data`."""

    path: str = ""
    inode: int = 0
    data: bytes | None = None
    dead: bool = False


@dataclass
class Place:
    """What is in place on the disk."""

    names: dict[str, int] = field(default_factory=dict)
    inodes: dict[int, bytes] = field(default_factory=dict)

    def after(self, changes: tuple[Change, ...]) -> Place:
        out = Place(dict(self.names), dict(self.inodes))
        for change in changes:
            if change.path and change.inode:
                out.names[change.path] = change.inode
            elif change.path:
                out.names.pop(change.path, None)
            else:
                out.inodes[change.inode] = JUNK if change.dead else change.data or b""
        return out

    def read(self, path: str) -> bytes | None:
        folder = path.rpartition("/")[0]
        while folder:
            if folder not in self.names:
                return None
            folder = folder.rpartition("/")[0]
        inode = self.names.get(path)
        return None if inode is None else self.inodes.get(inode, JUNK)


@dataclass
class Moment:
    """One instant between two writes: what is in place and what may have reached its place."""

    label: str
    place: Place
    pending: tuple[Change, ...]
    variables: dict[str, str] = field(default_factory=dict)

    def states(self, sparse: bool = False, seed: int = 7) -> Iterator[tuple[str, Place]]:
        """Every disk a cut here may leave, named so that it can be made again; `sparse` takes only nothing,
        everything and each alone."""
        count = len(self.pending)
        if sparse:
            masks: Iterator[int] | list[int] = [0, (1 << count) - 1, *(1 << n for n in range(count))]
        elif count <= LIMIT:
            masks = iter(range(1 << count))
        else:
            pick = random.Random(f"{seed}{self.label}")
            ones = [1 << n for n in range(count)]
            masks = [0, (1 << count) - 1, *ones, *((1 << count) - 1 - one for one in ones)]
            masks += [(1 << n) - 1 for n in range(count)]
            masks += [pick.getrandbits(count) for _ in range(200)]
        for mask in masks:
            chosen = tuple(c for n, c in enumerate(self.pending) if mask >> n & 1)
            yield f"{self.label}#{mask:x}", self.place.after(chosen)


@dataclass
class ModelDisk:
    """A BootDisk over the model; also the RawBoot: what is in place, with nothing pending applied.

    `moments` has one Moment before the first write and one after each. `cut` stops after that many writes.
    """

    place: Place
    cut: int = -1
    frozen_does_nothing: bool = False
    links_copy_nothing: bool = False
    fat: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.live = self.place.after(())
        self.pending: list[Change] = []
        self.next = 1 + max(self.live.inodes, default=0)
        self.moments.append(Moment("start", self.place.after(()), (), dict(self.variables)))

    # -- what every write goes through

    def _wrote(self, label: str, *changes: Change) -> None:
        if self.cut == len(self.moments) - 1:
            raise PowerCut(label)
        self.live = self.live.after(changes)
        self.pending += changes
        self._moment(label)

    def _moment(self, label: str) -> None:
        number = len(self.moments)
        now = (self.place.after(()), tuple(self.pending), dict(self.variables))
        self.moments.append(Moment(f"{number}:{label}", *now))

    def _freed(self, path: str) -> tuple[Change, ...]:
        """The inode behind `path` dies with its last name."""
        inode = self.live.names.get(path)
        if inode is None or sum(i == inode for i in self.live.names.values()) > 1:
            return ()
        return (Change(inode=inode, dead=True),)

    # -- BootDisk

    def make_folder(self, path: str) -> None:
        if path not in self.live.names:
            self.folders.add(path)
            self.next += 1
            self._wrote(f"mkdir {path}", Change(path=path, inode=self.next))

    def create(self, path: str, data: bytes) -> None:
        if path in self.live.names:
            self.remove(path)
        self.next += 1
        torn = (Change(inode=self.next, data=data[: len(data) // 2]),) if self.fat else ()
        whole = Change(inode=self.next, data=data)
        self._wrote(f"create {path}", *torn, whole, Change(path=path, inode=self.next))

    def copy(self, source: Path, path: str) -> None:
        self.create(path, source.read_bytes())

    def link(self, path: str, new: str) -> None:
        if self.live.names.get(new) == self.live.names[path]:
            return
        if self.fat:
            self.create(new, self.live.read(path) or b"")
            return
        if new in self.live.names:
            self.remove(new)
        self._wrote(f"link {path} {new}", Change(path=new, inode=self.live.names[path]))

    def rename(self, path: str, new: str) -> None:
        inode, freed = self.live.names[path], self._freed(new)
        self._wrote(f"rename {path} {new}", Change(path=new, inode=inode), Change(path=path), *freed)

    def remove(self, path: str) -> None:
        if path in self.live.names:
            self._wrote(f"remove {path}", Change(path=path), *self._freed(path))

    def overwrite(self, path: str, data: bytes) -> None:
        """In place, as a shell's > does it: what was there is gone before the new is whole."""
        inode = self.live.names[path]
        for part in (b"", data[: len(data) // 2], data):
            self._wrote(f"overwrite {path}", Change(inode=inode, data=part))

    def remove_folder(self, path: str) -> None:
        if path in self.live.names:
            assert not self.names(path), f"{path} is not empty"
            self.folders.discard(path)
            self._wrote(f"rmdir {path}", Change(path=path))

    def settle(self) -> None:
        if self.cut == len(self.moments) - 1:
            raise PowerCut("settle")
        if not self.frozen_does_nothing:
            self.place, self.pending = self.live.after(()), []
        self._moment("settle")

    def write_sector(self, path: str, data: bytes) -> None:
        if self.cut == len(self.moments) - 1:
            raise PowerCut(f"sector {path}")
        inode = self.live.names[path]
        whole = data + self.live.inodes[inode][len(data) :]
        self.live.inodes[inode] = whole
        if inode in self.place.inodes:
            self.place.inodes[inode] = whole
        # Where the inode itself has not reached its place, its data follows it.
        self.pending = [
            Change(inode=c.inode, data=whole) if c.inode == inode and c.data is not None else c
            for c in self.pending
        ]
        self._moment(f"sector {path}")

    def read(self, path: str) -> bytes | None:
        return None if path in self.folders else self.live.read(path)

    def names(self, path: str) -> tuple[str, ...]:
        return children(self.live.names, path)

    def is_file(self, path: str) -> bool:
        return path in self.live.names and path not in self.folders

    def is_folder(self, path: str) -> bool:
        return path in self.folders

    def free(self) -> int:
        return 1 << 30


@dataclass
class ModelVariables:
    """Variables over the same time as the disk: what is written is one of its moments.

    `forgets` names variables that the firmware says it wrote, and did not.
    """

    disk: ModelDisk
    forgets: tuple[str, ...] = ()

    def why_not(self) -> tuple[str, ...]:
        return ()

    def read(self, name: str) -> str | None:
        return self.disk.variables.get(name)

    def write(self, name: str, value: str) -> None:
        self._put(name, value)

    def remove(self, name: str) -> None:
        if name in self.disk.variables:
            self._put(name, None)

    def _put(self, name: str, value: str | None) -> None:
        if self.disk.cut == len(self.disk.moments) - 1:
            raise PowerCut(f"variable {name}")
        if name not in self.forgets:
            kept = {n: v for n, v in self.disk.variables.items() if n != name}
            self.disk.variables = kept if value is None else {**kept, name: value}
        self.disk._moment(f"variable {name}={value}")


@dataclass
class ModelRaw:
    """RawBoot over what is in place."""

    disk: ModelDisk

    def _seen(self) -> Place:
        # A disk whose freeze does nothing still shows its pages to whoever reads through the cache.
        return self.disk.live if self.disk.frozen_does_nothing else self.disk.place

    def read(self, path: str) -> bytes | None:
        return None if path in self.disk.folders else self._seen().read(path)

    def names(self, path: str) -> tuple[str, ...]:
        return children(self._seen().names, path)

    def sha256(self, path: str) -> str | None:
        data = self.read(path)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def part(self, path: str, offset: int, length: int) -> bytes | None:
        data = self.read(path)
        return None if data is None else data[offset : offset + length]


def children(names: dict[str, int], path: str) -> tuple[str, ...]:
    start = f"{path}/" if path else ""
    inner = (name[len(start) :] for name in names if name.startswith(start))
    return tuple(sorted(name for name in inner if name and "/" not in name))


def pairs(moments: list[Moment]) -> Iterator[tuple[Moment, Moment]]:
    return itertools.pairwise(moments)
