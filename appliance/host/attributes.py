"""What keeps even root from changing a file: it is immutable or append-only (chattr(1), ioctl_iflags(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_GET, _SET = 0x80086601, 0x40086602
IMMUTABLE, APPEND_ONLY = 0x10, 0x20
KEEPING = IMMUTABLE | APPEND_ONLY


def take(path: Path) -> int:
    """Take both attributes from `path`, and say which it had: 0 for none, or where there is no such file.

    A symbolic link is not followed. Raises OSError where they can not be taken.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        found = _attributes(fd)
        if found & KEEPING:
            fcntl.ioctl(fd, _SET, struct.pack("<l", found & ~KEEPING))
        return found & KEEPING
    finally:
        os.close(fd)


def give(path: Path, attributes: int) -> None:
    """Add `attributes` to those that `path` has. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _SET, struct.pack("<l", _attributes(fd) | attributes))
    finally:
        os.close(fd)


@contextlib.contextmanager
def changeable(path: Path) -> Iterator[None]:
    """`path` can be changed and replaced meanwhile; whatever has that name then has its attributes again."""
    taken = take(path)
    try:
        yield
    finally:
        if taken:
            give(path, taken)


def _attributes(fd: int) -> int:
    """0 on a file system that has none."""
    found = bytearray(8)
    try:
        fcntl.ioctl(fd, _GET, found)
    except OSError:
        return 0
    (attributes,) = struct.unpack_from("<l", found)
    return int(attributes)
