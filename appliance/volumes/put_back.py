"""What LVM's report says against giving data volumes back what their safety snapshots hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.volumes.base import PutBack, Snapshot
from appliance.volumes.lvm_report import Row
from appliance.volumes.tags import OURS, read_tags


def reasons_against(vg: str, rows: tuple[Row, ...], data: tuple[PutBack, ...]) -> tuple[str, ...]:
    """Full sentences, all of them at once; empty where nothing is in the way."""
    by_name = {row.name: row for row in rows}
    return tuple(sentence for each in data for sentence in _against(vg, by_name, each))


def _against(vg: str, rows: dict[str, Row], data: PutBack) -> Iterator[str]:
    origin, safety, undone = (rows.get(lv) for lv in (data.origin, data.safety.lv, data.undone.lv))
    if origin is None:
        yield f"The data volume {vg}/{data.origin} is not there."
    if safety is None:
        yield f"There is no safety snapshot {vg}/{data.safety.lv} of {vg}/{data.origin}."
    elif not _is(vg, safety, data.safety):
        yield f"{vg}/{data.safety.lv} is not the safety snapshot of {data.safety.run}."
    elif safety.origin != data.origin:
        # LVM drops the link of every other snapshot when one is merged (detach_pool_lv).
        yield (
            f"LVM no longer knows {vg}/{data.safety.lv} as a snapshot of {vg}/{data.origin}, as another one "
            "was put back since: it can not be put back in one write."
        )
    if undone is not None and OURS in undone.tags:
        yield (
            f"{vg}/{data.undone.lv} keeps what an earlier roll back of {data.undone.run} took away: "
            f"retire {data.undone.run} before its data goes back once more."
        )
    elif undone is not None:
        yield f"A volume {vg}/{data.undone.lv} exists and is not ours."
    for row in (origin, safety):
        if row is not None and row.in_use:
            yield f"{vg}/{row.name} is in use on this appliance: unmount it first."


def _is(vg: str, row: Row, snapshot: Snapshot) -> bool:
    found = read_tags(vg, row.name, row.tags)
    return found is not None and (found.run, found.role) == (snapshot.run, snapshot.role)
