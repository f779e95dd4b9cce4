"""Stores of thick snapshots: how large one must be to cover its origin, and how full one is. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.errors import DamagedData

SECTOR = 512
CHUNK = 4096
"""Bytes per exception, LVM's own default: the size of a file system's block, so that no more is copied."""

_EXCEPTIONS = CHUNK // 16
"""Exceptions described by one chunk of the store (dm-snap-persistent.c: 16 bytes each)."""

_LINE = re.compile(r"(?P<name>\S+): \d+ (?P<size>\d+) snapshot (?P<rest>.+)")
_USED = re.compile(r"(?P<used>\d+)/(?P<total>\d+) (?P<metadata>\d+)")


def cover_bytes(origin: int, extent: int) -> int:
    """Size of a store that can not fill, whatever is written to the `origin` bytes, in whole extents.

    lvm2, lib/metadata/snapshot_manip.c, cow_max_extents: LVM never makes one larger than that.
    """
    chunks = -(-origin // CHUNK)
    described = (chunks + _EXCEPTIONS) // _EXCEPTIONS
    return -(-(1 + chunks + described) * CHUNK // extent) * extent


@dataclass(frozen=True, slots=True)
class CowUse:
    """What a store holds, in bytes; `size` is what the snapshot shows. `lost`: it overflowed."""

    size: int
    used: int
    total: int
    metadata: int
    lost: bool = False

    @property
    def written(self) -> int:
        """Bytes of origin and snapshot that were written since it was taken; all where it is lost."""
        return self.size if self.lost else self.used - self.metadata

    @property
    def covers(self) -> bool:
        """Whether the store has room for every block: then it can not fill."""
        return not self.lost and self.total >= self.size

    @property
    def percent(self) -> float:
        return 100.0 if self.lost or not self.total else 100.0 * self.used / self.total


def parse_uses(text: str) -> dict[str, CowUse]:
    """`dmsetup status --target snapshot` by device name (the kernel's device-mapper/snapshot.rst).

    Raises DamagedData for a line that is none of a snapshot.
    """
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.strip() == "No devices found":
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DamagedData(f"What dmsetup printed is no status of a snapshot: {line[:80]!r}.")
        found[match["name"]] = _use(int(match["size"]) * SECTOR, match["rest"])
    return found


def _use(size: int, rest: str) -> CowUse:
    numbers = _USED.fullmatch(rest)
    if numbers is None:
        # "Invalid", "Overflow", "Merge failed", "Unknown": nothing there is to be relied on.
        return CowUse(size, 0, 0, 0, lost=True)
    used, total, metadata = (int(numbers[key]) * SECTOR for key in ("used", "total", "metadata"))
    return CowUse(size, used, total, metadata)
