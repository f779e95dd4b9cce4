"""The text of a volume group's metadata (what vgcfgbackup writes, lvm.conf(5) syntax), read strictly.

This text is the one source for where every extent of every volume lies. Units inside are LVM's own:
extents for positions and lengths, 512-byte sectors for `extent_size`, `pe_start`, `dev_size`, `chunk_size`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from appliance.errors import DamagedData
from appliance.probe.lvm_text import Section, parse_sections


class Stripe(msgspec.Struct, frozen=True):
    """Where one stripe of a segment lies: `start` in extents of the PV called `pv` ("pv0"), or on an LV."""

    pv: str
    start: int


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """`start` and `extents` count extents of the LV. A linear segment is "striped" with one stripe.

    Thin volumes have `thin_pool`, `device_id` and, as snapshots, `origin`. Pools have `metadata_lv` and
    `data_lv` (names of hidden LVs), `chunk_size` in sectors, `transaction_id`. `stripe_size` is in sectors.
    Thick snapshots stand as LVs of their own ("snapshot0", kind "snapshot"): `cow_store` names the hidden LV
    that carries name, id and tags of the snapshot, `origin` and `chunk_size` as above; `merging` says that it
    is being written back into its origin.
    """

    start: int
    extents: int
    kind: str
    stripes: tuple[Stripe, ...] = ()
    stripe_size: int = 0
    thin_pool: str = ""
    device_id: int = 0
    transaction_id: int = 0
    origin: str = ""
    external_origin: str = ""
    metadata_lv: str = ""
    data_lv: str = ""
    cow_store: str = ""
    merging: bool = False
    chunk_size: int = 0
    zero_new_blocks: bool = False
    discards: str = ""


class MetaLv(msgspec.Struct, frozen=True, kw_only=True):
    """A logical volume, hidden ones included (their `status` lacks VISIBLE)."""

    name: str
    id: str
    status: tuple[str, ...]
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()

    @property
    def extents(self) -> int:
        return sum(segment.extents for segment in self.segments)

    @property
    def visible(self) -> bool:
        return "VISIBLE" in self.status

    @property
    def thick_snapshot(self) -> Segment | None:
        """What makes this the LV behind a thick snapshot; None for every other."""
        found = self.segments[0] if self.segments else None
        return found if found is not None and found.kind == "snapshot" else None


class MetaPv(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the one used by stripes; `device` is only a hint of where it was last seen."""

    name: str
    id: str
    device: str
    dev_size: int
    pe_start: int
    pe_count: int
    status: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class VgMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """`extent_size` in 512-byte sectors."""

    name: str
    id: str
    seqno: int
    extent_size: int
    status: tuple[str, ...]
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    max_lv: int = 0
    max_pv: int = 0
    metadata_copies: int = 0
    pvs: tuple[MetaPv, ...] = ()
    lvs: tuple[MetaLv, ...] = ()

    def lv(self, name: str) -> MetaLv | None:
        return next((lv for lv in self.lvs if lv.name == name), None)

    def pv(self, name: str) -> MetaPv | None:
        return next((pv for pv in self.pvs if pv.name == name), None)

    def snapshot_by(self, store: str) -> Segment | None:
        """The thick snapshot whose exceptions the LV `store` holds; None where it holds none."""
        found = (lv.thick_snapshot for lv in self.lvs)
        return next((s for s in found if s is not None and s.cow_store == store), None)

    def merging_into(self, origin: str) -> Segment | None:
        """The thick snapshot that is being written back into the LV `origin`; None where none is."""
        found = (lv.thick_snapshot for lv in self.lvs)
        return next((s for s in found if s is not None and s.merging and s.origin == origin), None)


def parse(text: str, source: str = "the volume group's metadata") -> VgMetadata:
    """The one volume group `text` describes. Raises DamagedData naming `source` and what is wrong."""
    tree = parse_sections(text, source)
    groups = [(name, value) for name, value in tree.items() if isinstance(value, dict)]
    if len(groups) != 1:
        raise DamagedData(f"{source} describes {len(groups)} volume groups, not one.")
    name, body = groups[0]
    fields = _Fields(body, f"{source}, {name}")
    return VgMetadata(
        name=name,
        id=fields.text("id"),
        seqno=fields.count("seqno"),
        extent_size=fields.count("extent_size", least=1),
        status=fields.words("status"),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
        max_lv=fields.count("max_lv", 0),
        max_pv=fields.count("max_pv", 0),
        metadata_copies=fields.count("metadata_copies", 0),
        pvs=tuple(_pv(pv, f) for pv, f in fields.sections("physical_volumes")),
        lvs=tuple(_lv(lv, f) for lv, f in fields.sections("logical_volumes")),
    )


class _Fields:
    """Typed access to a section; every error names the section and the key."""

    def __init__(self, section: Section, where: str) -> None:
        self.section = section
        self.where = where

    def text(self, key: str, default: str | None = None) -> str:
        value = self.section.get(key, default)
        if not isinstance(value, str):
            raise DamagedData(f"{self.where}: {key} is missing or not a string.")
        return value

    def count(self, key: str, default: int | None = None, least: int = 0) -> int:
        value = self.section.get(key, default)
        if not isinstance(value, int) or value < least:
            raise DamagedData(f"{self.where}: {key} is missing or not a number of at least {least}.")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        value = self.section.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise DamagedData(f"{self.where}: {key} is not a list of strings.")
        return tuple(str(item) for item in value)

    def sections(self, key: str) -> Iterator[tuple[str, _Fields]]:
        value = self.section.get(key, {})
        if not isinstance(value, dict):
            raise DamagedData(f"{self.where}: {key} is not a section.")
        for name, inner in value.items():
            if not isinstance(inner, dict):
                raise DamagedData(f"{self.where}: {key}/{name} is not a section.")
            yield name, _Fields(inner, f"{self.where}/{name}")

    def stripes(self) -> tuple[Stripe, ...]:
        value = self.section.get("stripes", [])
        if not isinstance(value, list) or len(value) % 2:
            raise DamagedData(f"{self.where}: stripes is not a list of pairs.")
        pairs = []
        for name, start in zip(value[::2], value[1::2], strict=True):
            if not isinstance(name, str) or not isinstance(start, int) or start < 0:
                raise DamagedData(f"{self.where}: stripes does not hold pairs of volume and extent.")
            pairs.append(Stripe(name, start))
        return tuple(pairs)


def _pv(name: str, fields: _Fields) -> MetaPv:
    return MetaPv(
        name=name,
        id=fields.text("id"),
        device=fields.text("device", ""),
        dev_size=fields.count("dev_size", 0),
        pe_start=fields.count("pe_start"),
        pe_count=fields.count("pe_count"),
        status=fields.words("status"),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
    )


def _lv(name: str, fields: _Fields) -> MetaLv:
    wanted = fields.count("segment_count")
    inner = [(key, value) for key, value in fields.section.items() if isinstance(value, dict)]
    segments = [_segment(_Fields(value, f"{fields.where}/{key}")) for key, value in inner]
    segments.sort(key=lambda segment: segment.start)
    if len(segments) != wanted:
        raise DamagedData(f"{fields.where}: {len(segments)} segments stand where {wanted} are announced.")
    at = 0
    for segment in segments:
        if segment.start != at:
            raise DamagedData(f"{fields.where}: no segment covers extent {at}, or two do.")
        at += segment.extents
    return MetaLv(
        name=name,
        id=fields.text("id"),
        status=fields.words("status"),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
        segments=tuple(segments),
    )


def _segment(fields: _Fields) -> Segment:
    kind = fields.text("type")
    stripes = fields.stripes()
    if kind == "striped" and len(stripes) != fields.count("stripe_count", least=1):
        raise DamagedData(f"{fields.where}: stripe_count and stripes do not agree.")
    return Segment(
        start=fields.count("start_extent"),
        extents=fields.count("extent_count", least=1),
        kind=kind,
        stripes=stripes,
        stripe_size=fields.count("stripe_size", 0),
        thin_pool=fields.text("thin_pool", ""),
        device_id=fields.count("device_id", 0),
        transaction_id=fields.count("transaction_id", 0),
        origin=fields.text("origin", ""),
        external_origin=fields.text("external_origin", ""),
        metadata_lv=fields.text("metadata", ""),
        data_lv=fields.text("pool", ""),
        cow_store=fields.text("cow_store", fields.text("merging_store", "")),
        merging="merging_store" in fields.section,
        chunk_size=fields.count("chunk_size", 0),
        zero_new_blocks=bool(fields.count("zero_new_blocks", 0)),
        discards=fields.text("discards", ""),
    )
