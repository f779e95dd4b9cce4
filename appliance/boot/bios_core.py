"""Which /boot GRUB reads on a BIOS machine: its core image, as grub-install put it on the disk.

Nothing else on the disk says so. boot.img in the first sector leads to diskboot.img, whose list of blocks is
the rest of the image: a small program that unpacks what follows by LZMA, and in that the prefix with a
partition's number, or a line of configuration with a file system's UUID (GRUB 2.06, util/mkimage.c,
util/grub-install.c, grub-core/boot/i386/pc/startup_raw.S). A copy of the image in a file proves nothing.
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
KERNEL_SECTOR = 0x5C
"""In boot.img: where the image begins, as a number of 512-byte sectors."""
LIST = 0x1F4
"""In diskboot.img: the first block list; the next ones are below it, up to one without a length."""
ENTRY = struct.Struct("<QHH")
SIZES = struct.Struct("<II")
SIZES_AT = 8
"""In the program: how long what follows is, packed and unpacked."""
PROGRAM = range(1024, 8192, 4)
"""Where the packed part may begin. Its first byte is 0, as that of every LZMA stream."""
LARGEST = 4 << 20
"""Bytes. An image is 30 to 500 KiB."""
LZMA = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]


@dataclass(frozen=True, slots=True)
class Core:
    """A core image, unpacked."""

    data: bytes

    def reads(self, number: int, fsuuid: str) -> bool:
        """Whether it looks for its files on the partition of that number, or in that file system."""
        numbered = rb"\((?:hd[0-9]+)?,(?:gpt|msdos)%d\)" % number
        return bool(re.search(numbered, self.data)) or (bool(fsuuid) and fsuuid.encode() in self.data)


def read_core(disk: Path) -> Core | None:
    """That of the whole disk; None where none that is known here begins in its first sector."""
    with disk.open("rb", buffering=0) as source:

        def at(sector: int, count: int) -> bytes:
            source.seek(sector * SECTOR)
            return source.read(count * SECTOR)

        head = at(0, 1)
        if len(head) < SECTOR or b"GRUB" not in head:
            return None
        (first,) = struct.unpack_from("<Q", head, KERNEL_SECTOR)
        lists = tuple(_blocks(at(first, 1))) if first else ()
        if not lists or sum(count for _, count in lists) * SECTOR > LARGEST:
            return None
        return unpacked(b"".join(at(*block) for block in lists))


def _blocks(diskboot: bytes) -> Iterator[tuple[int, int]]:
    """(first sector, how many) of each list."""
    for place in range(LIST, 0, -ENTRY.size):
        if len(diskboot) < place + ENTRY.size:
            return
        start, count, _ = ENTRY.unpack_from(diskboot, place)
        if not count:
            return
        yield start, count


def unpacked(image: bytes) -> Core | None:
    """Of the image behind diskboot.img; None where it is packed in another way."""
    if len(image) < PROGRAM.stop:
        return None
    packed, size = SIZES.unpack_from(image, SIZES_AT)
    if not 0 < packed <= len(image) or not 0 < size <= LARGEST:
        return None
    for begin in PROGRAM:
        if image[begin] == 0 and (data := _unpack(image[begin : begin + packed], size)):
            return Core(data)
    return None


def _unpack(packed: bytes, size: int) -> bytes:
    """Empty where it is no stream of that length."""
    try:
        reader = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=LZMA)
        found = reader.decompress(packed, max_length=size)
    except lzma.LZMAError:
        return b""
    return found if len(found) == size else b""
