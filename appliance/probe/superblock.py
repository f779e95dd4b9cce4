"""The few bytes of a file system or swap area that say in what state it was left."""

from __future__ import annotations

import enum
import os
import struct
from pathlib import Path

from appliance.errors import ProbeFailed

HEAD = 128 * 1024
"""Bytes from the start of a volume that hold everything looked at here."""

EXT_OFFSET = 1024
EXT_MAGIC = 0xEF53
EXT_ERRORS = 0x0002
EXT_CLEAN = 0x0001
EXT_RECOVER = 0x0004
BTRFS_OFFSET = 64 * 1024
BTRFS_MAGIC = b"_BHRfS_M"
BTRFS_LOG_ROOT = 0x60
PAGE_SIZES = (4096, 8192, 16384, 65536)
HIBERNATED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001", b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c")


class Left(enum.Enum):
    """How a file system was left. DIRTY is cured by replaying its journal, ERRORS only by a repair."""

    CLEAN = "clean"
    DIRTY = "dirty"
    ERRORS = "errors"
    UNKNOWN = "unknown"


def read_head(device: Path) -> bytes:
    """The first HEAD bytes of a volume. Raises ProbeFailed where it can not be read."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, HEAD, 0)
        finally:
            os.close(handle)
    except OSError as error:
        raise ProbeFailed(f"{device} can not be read: {error.strerror}.") from None


def file_system_left(head: bytes) -> Left:
    """State of an ext2/3/4 or btrfs file system by its super block; UNKNOWN for everything else.

    ext: s_state at 0x3A (0x2 errors seen), s_feature_incompat at 0x60 (0x4 needs recovery), with s_magic at
    0x38; btrfs: a log tree to replay at 0x60 of its super block (both from the kernel's own headers).
    """
    ext = head[EXT_OFFSET : EXT_OFFSET + 1024]
    if len(ext) == 1024 and struct.unpack_from("<H", ext, 0x38)[0] == EXT_MAGIC:
        state = struct.unpack_from("<H", ext, 0x3A)[0]
        incompatible = struct.unpack_from("<I", ext, 0x60)[0]
        if state & EXT_ERRORS:
            return Left.ERRORS
        return Left.DIRTY if incompatible & EXT_RECOVER or not state & EXT_CLEAN else Left.CLEAN
    btrfs = head[BTRFS_OFFSET : BTRFS_OFFSET + 4096]
    if btrfs[0x40:0x48] == BTRFS_MAGIC and len(btrfs) == 4096:
        return Left.DIRTY if struct.unpack_from("<Q", btrfs, BTRFS_LOG_ROOT)[0] else Left.CLEAN
    return Left.UNKNOWN


def holds_hibernation(head: bytes) -> bool:
    """Whether a swap area holds a sleeping system: its first page ends with another signature."""
    ends = (head[size - 10 : size] for size in PAGE_SIZES if len(head) >= size)
    return any(end.startswith(mark) for end in ends for mark in HIBERNATED)
