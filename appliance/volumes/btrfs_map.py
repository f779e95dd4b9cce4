"""Where the bytes of a file of a btrfs lie on its device. Pure: from what filefrag and btrfs say.

filefrag(8) tells places in the file system's own address space; the chunk tree says which part of the device
that is (btrfs-inspect-internal(8), dump-tree). Only data kept once on one device has one place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.errors import DamagedData, Refused
from appliance.volumes.cow import SECTOR

_EXTENT = re.compile(
    r"\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+):\s+(?:\d+:\s*)?([a-z_,]*)", re.ASCII
)
_CHUNK = re.compile(
    r"item \d+ key \(FIRST_CHUNK_TREE CHUNK_ITEM (\d+)\).*\n"
    r"\s+length (\d+) owner \d+ stripe_len \d+ type (\S+)\n"
    r".*\n"
    r"\s+num_stripes (\d+) .*\n"
    r"\s+stripe 0 devid \d+ offset (\d+)\n",
    re.ASCII,
)
PLAIN = frozenset({"last", "unwritten", "eof", "merged", "shared", ""})
"""What may be said of an extent whose bytes are those of the file: not inline, not packed, not encrypted."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes, from `start` in a file or address space, lie at `at`."""

    start: int
    length: int
    at: int

    @property
    def end(self) -> int:
        return self.start + self.length


def parse_extents(text: str) -> tuple[Piece, ...]:
    """`filefrag -e -v -b512`: a file's addresses. Raises DamagedData where its bytes have no place."""
    found = []
    for line in text.splitlines():
        match = _EXTENT.fullmatch(line)
        if match is None:
            continue
        start, at, length, flags = match.groups()
        if set(flags.split(",")) - PLAIN:
            raise DamagedData(f"filefrag says of an extent that it is {flags}: its bytes have no place.")
        found.append(Piece(int(start) * SECTOR, int(length) * SECTOR, int(at) * SECTOR))
    return tuple(found)


def parse_chunks(text: str) -> tuple[Piece, ...]:
    """`btrfs inspect-internal dump-tree -t chunk`: where on the device data lies that is kept once.

    Raises Refused where data is kept more than once, or spread.
    """
    found = []
    for start, length, kind, stripes, at in _CHUNK.findall(text):
        if "DATA" not in kind.split("|"):
            continue
        if stripes != "1":
            raise Refused(
                (f"The btrfs keeps data as {kind}: only one that keeps it once can be taken round (yet).",)
            )
        found.append(Piece(int(start), int(length), int(at)))
    return tuple(sorted(found, key=lambda piece: piece.start))


def places(extents: tuple[Piece, ...], chunks: tuple[Piece, ...], size: int) -> tuple[Piece, ...]:
    """The pieces of the device that hold the first `size` bytes of a file. Raises DamagedData for a hole."""
    found: list[Piece] = []
    at = 0
    for extent in extents:
        if extent.start != at:
            raise DamagedData(f"A file of ours has a hole at {at}.")
        while at < min(extent.end, size):
            address = extent.at + at - extent.start
            chunk = next((c for c in chunks if c.start <= address < c.end), None)
            if chunk is None:
                raise DamagedData(f"No chunk of the btrfs holds the address {address}.")
            length = min(extent.end, size, at + chunk.end - address) - at
            found.append(Piece(at, length, chunk.at + address - chunk.start))
            at += length
    if at != size:
        raise DamagedData(f"A file of ours has {at} bytes, {size} were taken.")
    return tuple(found)
