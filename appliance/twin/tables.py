"""Partition tables of a lengthened disk: the last partition's end moves, every id stays. Pure bytes.

GPT as in the UEFI specification 2.10, chapter 5; the protective and the plain MBR as its chapter 5.2.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from appliance.errors import DamagedData

_ENTRY_LAST = struct.Struct("<QQ")
_MAX_ENTRIES = 1024


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes to write at `offset` (bytes from the beginning of the disk)."""

    offset: int
    data: bytes


def lengthen_gpt(head: bytes, block: int, blocks: int, number: int, last: int) -> tuple[Patch, ...]:
    """Both GPT copies for a disk of `blocks` blocks of `block` bytes, partition `number` ending at `last`.

    `head` is the beginning of the disk up to the end of the primary entries. GUIDs, names and attributes
    are kept, checksums computed anew. Raises DamagedData where the primary table does not hold.
    """
    table = _read_gpt(head, block)
    array_blocks = -(-table.count * table.entry_size // block)
    last_usable = blocks - array_blocks - 2
    at = (number - 1) * table.entry_size + 32
    start = _ENTRY_LAST.unpack_from(table.entries, at)[0] if 1 <= number <= table.count else 0
    if not start or not start <= last <= last_usable:
        raise DamagedData(f"Partition {number} can not end at block {last} of {blocks}.")
    changed = bytearray(table.entries)
    _ENTRY_LAST.pack_into(changed, at, start, last)
    array = bytes(changed)
    backup = blocks - 1 - array_blocks

    def header(my: int, other: int, entries: int) -> bytes:
        raw = bytearray(table.header)
        struct.pack_into("<QQ", raw, 24, my, other)
        struct.pack_into("<Q", raw, 48, last_usable)
        struct.pack_into("<Q", raw, 72, entries)
        struct.pack_into("<I", raw, 88, zlib.crc32(array))
        struct.pack_into("<I", raw, 16, 0)
        struct.pack_into("<I", raw, 16, zlib.crc32(bytes(raw)))
        return bytes(raw)

    return (
        Patch(0, _protective_mbr(head[:512], blocks)),
        Patch(block, header(1, blocks - 1, table.where)),
        Patch(table.where * block, array),
        Patch(backup * block, array),
        Patch((blocks - 1) * block, header(blocks - 1, 1, backup)),
    )


@dataclass(frozen=True, slots=True)
class _Gpt:
    """A checked primary table: its header's bytes, `count` entries of `entry_size` bytes at block `where`."""

    header: bytes
    where: int
    count: int
    entry_size: int
    entries: bytes


def _read_gpt(head: bytes, block: int) -> _Gpt:
    if len(head) < block + 92 or head[block : block + 8] != b"EFI PART":
        raise DamagedData("The disk does not begin with a GPT.")
    size, crc = struct.unpack_from("<II", head, block + 12)
    where, count, entry_size, entries_crc = struct.unpack_from("<QIII", head, block + 72)
    if not 92 <= size <= block or not 0 < count <= _MAX_ENTRIES or not 128 <= entry_size <= 4096:
        raise DamagedData("The disk's GPT header has fields out of range.")
    raw = head[block : block + size]
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:]) != crc:
        raise DamagedData("The checksum of the disk's GPT header is wrong.")
    entries = head[where * block : where * block + count * entry_size]
    if len(entries) != count * entry_size or zlib.crc32(entries) != entries_crc:
        raise DamagedData("The checksum of the disk's GPT entries is wrong.")
    return _Gpt(raw, where, count, entry_size, entries)


def _protective_mbr(mbr: bytes, blocks: int) -> bytes:
    """The MBR with its 0xEE entry covering the lengthened disk, all else as it is."""
    changed = bytearray(mbr)
    for at in range(446, 510, 16):
        if changed[at + 4] == 0xEE:
            first = struct.unpack_from("<I", changed, at + 8)[0]
            struct.pack_into("<I", changed, at + 12, min(blocks - first, 0xFFFFFFFF))
    return bytes(changed)


def lengthen_mbr(head: bytes, number: int, end: int) -> tuple[Patch, ...]:
    """The MBR with primary partition `number` ending before block `end`. Raises DamagedData."""
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or not 1 <= number <= 4:
        raise DamagedData(f"The disk does not begin with an MBR that has a primary partition {number}.")
    at = 446 + 16 * (number - 1)
    start = struct.unpack_from("<I", head, at + 8)[0]
    if not start or not start < end <= start + 0xFFFFFFFF:
        raise DamagedData(f"Partition {number} can not end before block {end}.")
    changed = bytearray(head[:512])
    struct.pack_into("<I", changed, at + 12, end - start)
    return (Patch(0, bytes(changed)),)
