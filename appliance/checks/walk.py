"""What differs between two mounted states of one file system.

Both are snapshots of the same volume, so a file that nobody wrote has the same inode number and the same
change time (ctime, which no program can set) in both: one lstat each and no read. Content is only read where
those differ and size and times do not already say it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import DamagedData

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """`path` begins with "/"; `act` is added, changed or removed; `bytes` are those allocated for it."""

    path: str
    act: str
    bytes: int
    folder: bool = False


def differences(before: Path, after: Path) -> Iterator[Difference]:
    """Every differing path, parents before their content. Names that are not UTF-8 are shown with "?"."""
    queue = [b""]
    roots = os.fsencode(before), os.fsencode(after)
    while queue:
        at = queue.pop()
        old, new = _entries(roots[0] + at), _entries(roots[1] + at)
        for name in sorted(old.keys() | new.keys()):
            path = at + b"/" + name
            was, now = old.get(name), new.get(name)
            if now is None:
                assert was is not None
                yield from _whole(roots[0], path, was, "removed")
            elif was is None:
                yield from _whole(roots[1], path, now, "added")
            elif stat.S_IFMT(was.st_mode) != stat.S_IFMT(now.st_mode):
                yield from _whole(roots[0], path, was, "removed")
                yield from _whole(roots[1], path, now, "added")
            else:
                if stat.S_ISDIR(now.st_mode):
                    queue.append(path)
                if not _untouched(was, now) and _differs(roots, path, was, now):
                    yield Difference(_text(path), "changed", now.st_blocks * 512, stat.S_ISDIR(now.st_mode))


def _entries(folder: bytes) -> dict[bytes, os.stat_result]:
    found: dict[bytes, os.stat_result] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name != b"lost+found":
                    found[entry.name] = entry.stat(follow_symlinks=False)
    except OSError as error:
        raise DamagedData(f"{_text(folder[-200:])} cannot be read: {error.strerror}.") from error
    return found


def _whole(root: bytes, path: bytes, status: os.stat_result, act: str) -> Iterator[Difference]:
    """`path` and everything below it."""
    queue = [(path, status)]
    while queue:
        at, found = queue.pop()
        folder = stat.S_ISDIR(found.st_mode)
        yield Difference(_text(at), act, found.st_blocks * 512, folder)
        if folder:
            queue += [(at + b"/" + name, below) for name, below in _entries(root + at).items()]


def _untouched(was: os.stat_result, now: os.stat_result) -> bool:
    return was.st_ino == now.st_ino and was.st_ctime_ns == now.st_ctime_ns and was.st_size == now.st_size


def _differs(roots: tuple[bytes, bytes], path: bytes, was: os.stat_result, now: os.stat_result) -> bool:
    """Whether content, owner or rights differ; a new time or a rewritten equal content is no difference."""
    if (was.st_mode, was.st_uid, was.st_gid) != (now.st_mode, now.st_uid, now.st_gid):
        return True
    if stat.S_ISREG(now.st_mode):
        return was.st_size != now.st_size or not _equal(roots[0] + path, roots[1] + path)
    if stat.S_ISLNK(now.st_mode):
        return os.readlink(roots[0] + path) != os.readlink(roots[1] + path)
    return was.st_rdev != now.st_rdev


def _equal(one: bytes, other: bytes) -> bool:
    with open(one, "rb") as a, open(other, "rb") as b:
        while True:
            block = a.read(_BLOCK)
            if block != b.read(_BLOCK):
                return False
            if not block:
                return True


def _text(path: bytes) -> str:
    return path.decode(errors="replace").replace("\ufffd", "?")
