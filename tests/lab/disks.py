"""Disk images of lab machines: overlays, regions, and logs of every write."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab.native import LabError, run

SECTOR = 512
LOG_MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4


def overlay(backing: Path, target: Path, backing_format: str = "qcow2") -> Path:
    """Make `target`, a qcow2 whose unwritten parts are `backing`'s."""
    backing = backing.resolve()
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, target)
    return target


def read_region(image: Path, offset: int, size: int) -> bytes:
    """`size` bytes at `offset` of a qcow2 image nobody is writing to (both multiples of 512)."""
    options = f"driver=raw,offset={offset},size={size},file.driver=qcow2,file.file.driver=file"
    with tempfile.TemporaryDirectory(prefix="twinboot-region-", dir="/var/tmp") as folder:
        out = Path(folder) / "region"
        source = f"{options},file.file.filename={image}"
        run("qemu-img", "convert", "--image-opts", "-O", "raw", source, out, timeout=300)
        return out.read_bytes()


def region_hash(image: Path, offset: int, size: int) -> str:
    return hashlib.sha256(read_region(image, offset, size)).hexdigest()


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of a write log: where (bytes), how much, what, and its flags (FLUSH, FUA, DISCARD)."""

    offset: int
    size: int
    flags: int
    data: bytes


def write_log(path: Path) -> list[Write]:
    """Every request QEMU's blklogwrites recorded, flushes included, in order.

    The count in the log's head is only brought up to date at flushes, so entries are read as far as they go.
    """
    raw = path.read_bytes()
    if len(raw) < SECTOR:
        return []
    magic, _, _, sector = struct.unpack_from("<QQQI", raw)
    if magic != LOG_MAGIC:
        raise LabError(f"{path} is not a write log.")
    entries, position = [], sector
    while position + sector <= len(raw):
        where, count, flags, _ = struct.unpack_from("<QQQQ", raw, position)
        position += sector
        size = count * SECTOR
        stored = 0 if flags & DISCARD else size
        if position + stored > len(raw) or (size == 0 and not flags):
            break
        entries.append(Write(where * SECTOR, size, flags, raw[position : position + stored]))
        position += -(-stored // sector) * sector
    return entries


def survivors(log: list[Write], seed: int | None = None) -> list[Write]:
    """The writes a power cut leaves on a disk with a volatile cache.

    Everything up to the last flush, and of what came after it: nothing (`seed` None), or a subset chosen
    by `seed`.
    """
    last = max((i for i, entry in enumerate(log) if entry.flags & FLUSH), default=-1)
    kept = log[: last + 1]
    loose = log[last + 1 :]
    if seed is not None:
        chosen = random.Random(seed)
        return kept + [entry for entry in loose if chosen.random() < 0.5]
    return kept + [entry for entry in loose if entry.flags & FUA]


def replay(before: Path, log: list[Write], target: Path) -> Path:
    """Make `target` (qcow2, complete): the disk `before` with the entries of `log` written to it."""
    with tempfile.TemporaryDirectory(prefix="twinboot-replay-", dir="/var/tmp") as folder:
        raw = Path(folder) / "disk"
        run("qemu-img", "convert", "-O", "raw", before, raw, timeout=600)
        handle = os.open(raw, os.O_WRONLY)
        try:
            for entry in log:
                # A discard promises nothing about what is read afterwards; leaving the old bytes is the
                # harder case.
                if entry.data:
                    os.pwrite(handle, entry.data, entry.offset)
        finally:
            os.close(handle)
        run("qemu-img", "convert", "-O", "qcow2", raw, target, timeout=600)
    return target


def empty(target: Path, size: int) -> Path:
    """Make `target`, an empty qcow2 of `size` MiB."""
    run("qemu-img", "create", "-q", "-f", "qcow2", target, f"{size}M")
    return target
