"""The shapes of the twin's disks: segments and where they come from. Sectors are 512 bytes throughout."""

from __future__ import annotations

from dataclasses import dataclass

SECTOR = 512
ALIGN = 2048
"""Slices of the scratch volume and a lengthened disk begin and end on whole MiB."""

CHUNK = 8
"""Copy-on-write granularity in sectors (4 KiB: one page, one file-system block)."""


@dataclass(frozen=True, slots=True)
class CowRun:
    """Copy-on-write over the real disk `device`, read from its sector `offset` on.

    What is written goes to the scratch volume: `store_length` sectors from `store` on, enough for every
    chunk of the run to be written, so that it never overflows.
    """

    device: str
    offset: int
    store: int
    store_length: int


@dataclass(frozen=True, slots=True)
class Blank:
    """Empty room in the scratch volume, from its sector `offset` on."""

    offset: int


@dataclass(frozen=True, slots=True)
class FromVolume:
    """The snapshot that stands for the volume `lv`, from its sector `offset` on."""

    lv: str
    offset: int


Source = CowRun | Blank | FromVolume


@dataclass(frozen=True, slots=True)
class Segment:
    """`length` sectors of a twin's disk from `start` on."""

    start: int
    length: int
    source: Source

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class TwinPartition:
    """A partition of the twin's disk `disk` (an index), from sector `start` on; or a linear volume there,
    whose `number` is 0."""

    disk: int
    number: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class PvPlace:
    """Where a PV of the twin lies: on disk `disk` from sector `start` on, `length` sectors long."""

    name: str
    uuid: str
    disk: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class LuksPlace:
    """A LUKS device of the twin, on disk `disk` from sector `start` on: its header takes `length` sectors.

    `uuid` is the metal's, `device` what it lies on there.
    """

    uuid: str
    device: str
    disk: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class LegPlace:
    """A leg of a mirror of the twin, on disk `disk` from sector `start` on; `device` is the metal's."""

    device: str
    disk: int
    start: int


@dataclass(frozen=True, slots=True)
class MirrorPlace:
    """A mirror of the twin: what it holds begins `header` sectors into each leg and is `length` long."""

    name: str
    legs: tuple[LegPlace, ...]
    header: int
    length: int


@dataclass(frozen=True, slots=True)
class SwapArea:
    """A blank swap volume with the recorded UUID: `length` sectors of scratch from `offset` on."""

    lv: str
    uuid: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class TwinDisk:
    """The twin of the disk at `path`; `sector_size` in bytes, `table` is gpt, dos or empty.

    `lengthened` is the number of the partition whose end moves to the sector before `lengthened_end`; 0 where
    none does.
    """

    path: str
    sectors: int
    real_sectors: int
    sector_size: int
    table: str
    segments: tuple[Segment, ...]
    lengthened: int = 0
    lengthened_end: int = 0


@dataclass(frozen=True, slots=True)
class TwinLayout:
    """The whole: disks in the machine's order, where the PVs lie, the VG's text, what needs scratch room.

    `volumes` are the LVs for which a snapshot must be given, `sizes` their lengths in sectors, `linear` those
    that are copy-on-write over the metal's own disks, `left_out` those of no use to this system, which the
    twin does not have.
    """

    disks: tuple[TwinDisk, ...]
    pvs: tuple[PvPlace, ...]
    vg: str
    vg_text: str
    swaps: tuple[SwapArea, ...]
    volumes: tuple[str, ...]
    sizes: tuple[int, ...]
    linear: tuple[str, ...]
    scratch_sectors: int
    boot: TwinPartition | None
    esp: TwinPartition | None
    left_out: tuple[str, ...] = ()
    encrypted: tuple[LuksPlace, ...] = ()
    mirrors: tuple[MirrorPlace, ...] = ()

    @property
    def scratch_bytes(self) -> int:
        return self.scratch_sectors * SECTOR


class Scratch:
    """Hands out slices of the scratch volume, each on a whole MiB."""

    def __init__(self) -> None:
        self.sectors = 0

    def take(self, length: int) -> int:
        at = self.sectors
        self.sectors += -(-length // ALIGN) * ALIGN
        return at


def cow_store_length(length: int) -> int:
    """Sectors a persistent dm-snapshot store needs so that `length` sectors may all be written.

    One header chunk, every data chunk, and one metadata chunk (16 bytes per exception) per 256 chunks of
    4 KiB, with one more metadata chunk that is always kept ready (dm-snap-persistent.c).
    """
    chunks = -(-length // CHUNK)
    per_area = CHUNK * SECTOR // 16
    areas = -(-chunks // per_area) + 1
    return (1 + chunks + areas) * CHUNK
