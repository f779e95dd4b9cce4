"""One report of a volume group's volumes, as LVM prints it, read strictly."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from appliance.errors import DamagedData

COLUMNS = (
    "lv_name",
    "lv_uuid",
    "lv_size",
    "lv_tags",
    "lv_active",
    "lv_device_open",
    "lv_permissions",
    "lv_skip_activation",
    "segtype",
    "pool_lv",
    "origin",
    "thin_id",
    "data_percent",
    "metadata_percent",
    "lv_metadata_size",
    "chunk_size",
    "vg_free",
)


class _Row(msgspec.Struct, frozen=True):
    lv_name: str
    lv_uuid: str
    lv_size: str
    lv_tags: str
    lv_active: str
    lv_device_open: str
    lv_permissions: str
    lv_skip_activation: str
    segtype: str
    pool_lv: str
    origin: str
    thin_id: str
    data_percent: str
    metadata_percent: str
    lv_metadata_size: str
    chunk_size: str
    vg_free: str


class _Report(msgspec.Struct, frozen=True):
    lv: list[_Row]


class _Reports(msgspec.Struct, frozen=True):
    report: list[_Report]


@dataclass(frozen=True, slots=True)
class Row:
    """One volume. Sizes in bytes; percentages are negative where LVM says none (the pool is down).

    `in_use`: somebody has its device open, such as a mount.
    """

    name: str
    uuid: str
    size: int
    tags: frozenset[str]
    active: bool
    in_use: bool
    writable: bool
    skip_activation: bool
    segtype: str
    pool: str
    origin: str
    thin_id: int
    data_percent: float
    metadata_percent: float
    metadata_size: int
    chunk_size: int
    vg_free: int


def parse_rows(text: str) -> tuple[Row, ...]:
    """Rows of `lvs --reportformat json --units b --nosuffix -o COLUMNS`. Raises DamagedData."""
    try:
        reports = msgspec.json.decode(text, type=_Reports)
        return tuple(_row(raw) for report in reports.report for raw in report.lv)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise DamagedData(f"What lvs printed does not read as a report of volumes: {error}.") from None


def _row(raw: _Row) -> Row:
    return Row(
        name=raw.lv_name.strip("[]"),
        uuid=raw.lv_uuid,
        size=int(raw.lv_size or 0),
        tags=frozenset(tag for tag in raw.lv_tags.split(",") if tag),
        active=raw.lv_active == "active",
        in_use=raw.lv_device_open == "open",
        writable=raw.lv_permissions != "read-only",
        skip_activation=bool(raw.lv_skip_activation),
        segtype=raw.segtype,
        pool=raw.pool_lv.strip("[]"),
        origin=raw.origin.strip("[]"),
        thin_id=int(raw.thin_id or 0),
        data_percent=float(raw.data_percent or -1),
        metadata_percent=float(raw.metadata_percent or -1),
        metadata_size=int(raw.lv_metadata_size or 0),
        chunk_size=int(raw.chunk_size or 0),
        vg_free=int(raw.vg_free or 0),
    )
