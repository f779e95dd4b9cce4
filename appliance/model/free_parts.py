"""The parts of a disk that no partition takes. Pure arithmetic, in bytes from the beginning of the disk."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

MIB = 1 << 20


class Extent(msgspec.Struct, frozen=True):
    """A part of a disk that no partition takes, in bytes, whole MiB."""

    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


def whole(at: int) -> int:
    """The next whole MiB, or `at` where it is one."""
    return -(-at // MIB) * MIB


def inside(start: int, size: int) -> Extent:
    """What is whole MiB of a part of a disk; of no size where nothing is."""
    begins = whole(start)
    return Extent(begins, max(0, (start + size) // MIB * MIB - begins))


def free_extents(first: int, end: int, taken: Iterable[tuple[int, int]]) -> tuple[Extent, ...]:
    """What is free between `first` and `end`, given (start, size) of all that is `taken`."""
    found, at = [], first
    for start, size in sorted((*taken, (end, 0))):
        begins, ends = whole(at), start // MIB * MIB
        if ends > begins:
            found.append(Extent(begins, ends - begins))
        at = max(at, start + size)
    return tuple(found)


def without(found: Iterable[Extent], taken: Iterable[tuple[int, int]]) -> tuple[Extent, ...]:
    """What is left of each of `found`, given (start, size) of all that is `taken`."""
    there = tuple(taken)
    left: list[Extent] = []
    for extent in found:
        cut = ((start, size) for start, size in there if start < extent.end and start + size > extent.start)
        left += free_extents(extent.start, extent.end, cut)
    return tuple(left)


def largest(found: Iterable[Extent]) -> Extent:
    """The first of the largest; one of no size where nothing is free."""
    return max(found, key=lambda extent: extent.size, default=Extent(0, 0))
