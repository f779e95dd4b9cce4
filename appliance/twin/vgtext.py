"""The volume group's metadata as the twin sees it: same ids and names, plain linear volumes. Pure text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appliance.probe.lvm_metadata import VgMetadata
from appliance.twin.extents import Extent

CREATED = 1
"""Times of creation are the same in every text, so that equal layouts have equal bytes."""


@dataclass(frozen=True, slots=True)
class TwinPv:
    """`sectors` is the PV's whole size, `pe_start` where its first extent begins (512-byte sectors)."""

    name: str
    uuid: str
    device: str
    sectors: int
    pe_start: int
    extents: int


@dataclass(frozen=True, slots=True)
class TwinLv:
    name: str
    uuid: str
    extents: tuple[Extent, ...]


def vg_text(metadata: VgMetadata, pvs: Sequence[TwinPv], lvs: Sequence[TwinLv]) -> str:
    """Text for vgcfgrestore(8), format of lvm2's format_text: the VG `metadata` with these PVs and LVs."""
    lines = [
        'contents = "Text Format Volume Group"',
        "version = 1",
        'description = "twinboot"',
        'creation_host = "twinboot"',
        f"creation_time = {CREATED}",
        "",
        f"{metadata.name} {{",
        f'id = "{metadata.id}"',
        f"seqno = {metadata.seqno}",
        'format = "lvm2"',
        'status = ["RESIZEABLE", "READ", "WRITE"]',
        "flags = []",
        f"extent_size = {metadata.extent_size}",
        f"max_lv = {metadata.max_lv}",
        f"max_pv = {metadata.max_pv}",
        "metadata_copies = 0",
        "",
        "physical_volumes {",
    ]
    for pv in pvs:
        lines += _pv_lines(pv)
    lines += ["}", "", "logical_volumes {"]
    for lv in lvs:
        lines += _lv_lines(lv)
    lines += ["}", "}", ""]
    return "\n".join(lines)


def _pv_lines(pv: TwinPv) -> Iterator[str]:
    yield f"{pv.name} {{"
    yield f'id = "{pv.uuid}"'
    yield f'device = "{pv.device}"'
    yield 'status = ["ALLOCATABLE"]'
    yield "flags = []"
    yield f"dev_size = {pv.sectors}"
    yield f"pe_start = {pv.pe_start}"
    yield f"pe_count = {pv.extents}"
    yield "}"


def _lv_lines(lv: TwinLv) -> Iterator[str]:
    yield f"{lv.name} {{"
    yield f'id = "{lv.uuid}"'
    yield 'status = ["READ", "WRITE", "VISIBLE"]'
    yield "flags = []"
    yield f"creation_time = {CREATED}"
    yield 'creation_host = "twinboot"'
    yield f"segment_count = {len(lv.extents)}"
    for number, extent in enumerate(lv.extents, 1):
        yield f"segment{number} {{"
        yield f"start_extent = {extent.lv_start}"
        yield f"extent_count = {extent.count}"
        yield 'type = "striped"'
        yield "stripe_count = 1"
        yield f'stripes = ["{extent.pv}", {extent.pv_start}]'
        yield "}"
    yield "}"
