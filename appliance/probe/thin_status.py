"""How full thin pools and thin volumes are, from `dmsetup status` (the kernel's thin-provisioning.txt)."""

from __future__ import annotations

import re

import msgspec

_POOL = re.compile(
    r"0 \d+ thin-pool (?P<transaction>\d{1,18}) (?P<meta>\d{1,18})/(?P<metas>\d{1,18}) "
    r"(?P<data>\d{1,18})/(?P<datas>\d{1,18}) (?P<rest>.*)"
)
_SNAPSHOT = re.compile(r"0 (?P<size>\d{1,18}) snapshot (?P<used>\d{1,18})/\d{1,18} (?P<meta>\d{1,18})")
_THIN = re.compile(r"0 (?P<size>\d{1,18}) thin (?P<mapped>\d{1,18}) \S+")


class PoolUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Percentages of 100. `needs_check` is the kernel's own request for a repair."""

    transaction: int
    data_percent: float
    metadata_percent: float
    needs_check: bool


def pool_usage(status: str) -> PoolUsage | None:
    """What one pool's status line says, None where the pool has failed or the line is none of a pool."""
    found = _POOL.fullmatch(status.strip())
    if found is None or not int(found["metas"]) or not int(found["datas"]):
        return None
    return PoolUsage(
        transaction=int(found["transaction"]),
        data_percent=round(100 * int(found["data"]) / int(found["datas"]), 2),
        metadata_percent=round(100 * int(found["meta"]) / int(found["metas"]), 2),
        needs_check="needs_check" in found["rest"].split(),
    )


def thin_percent(status: str) -> float:
    """How much of a thin volume is mapped, in percent; 0 where the line does not say."""
    found = _THIN.fullmatch(status.strip())
    if found is None or not int(found["size"]):
        return 0.0
    return round(100 * int(found["mapped"]) / int(found["size"]), 2)


def snapshot_percent(status: str) -> float:
    """What a thick snapshot holds by itself, in percent of its size; 100 where it is lost, 0 where unknown.

    The form of the line: the kernel's Documentation/admin-guide/device-mapper/snapshot.rst.
    """
    lost = re.fullmatch(r"0 \d{1,18} snapshot (Invalid|Overflow)", status)
    found = _SNAPSHOT.fullmatch(status)
    if found is None or not int(found["size"]):
        return 100.0 if lost else 0.0
    return min(100.0, 100.0 * (int(found["used"]) - int(found["meta"])) / int(found["size"]))
