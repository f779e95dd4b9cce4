"""What stands against giving data volumes back what their safety snapshots hold. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from appliance.volumes.base import PutBack, Snapshot
from appliance.volumes.lvm_report import Row
from appliance.volumes.tags import OURS, read_tags


class There(enum.Enum):
    """What lies under a name of ours: nothing, what the plan says, another of ours, or somebody else's."""

    NOTHING = enum.auto()
    THAT = enum.auto()
    ANOTHER = enum.auto()
    FOREIGN = enum.auto()


def against_names(
    vg: str, data: PutBack, *, origin: bool, safety: There, undone: There, more: str = ""
) -> Iterator[str]:
    """The sentences on what there is: `origin` says whether the data volume is. `more` is one of the
    storage's own on a safety snapshot that is there."""
    if not origin:
        yield f"The data volume {vg}/{data.origin} is not there."
    if safety is There.NOTHING:
        yield f"There is no safety snapshot {vg}/{data.safety.lv} of {vg}/{data.origin}."
    elif safety is not There.THAT:
        yield f"{vg}/{data.safety.lv} is not the safety snapshot of {data.safety.run}."
    elif more:
        yield more
    if undone is There.FOREIGN:
        yield f"A volume {vg}/{data.undone.lv} exists and is not ours."
    elif undone is not There.NOTHING:
        yield (
            f"{vg}/{data.undone.lv} keeps what an earlier roll back of {data.undone.run} took away: "
            f"retire {data.undone.run} before its data goes back once more."
        )


def reasons_against(vg: str, rows: tuple[Row, ...], data: tuple[PutBack, ...]) -> tuple[str, ...]:
    """Full sentences, all of them at once; empty where nothing is in the way."""
    by_name = {row.name: row for row in rows}
    return tuple(sentence for each in data for sentence in _against(vg, by_name, each))


def _against(vg: str, rows: dict[str, Row], data: PutBack) -> Iterator[str]:
    origin, safety = (rows.get(lv) for lv in (data.origin, data.safety.lv))
    more = ""
    if safety is not None and safety.origin != data.origin:
        # LVM drops the link of every other snapshot when one is merged (detach_pool_lv).
        more = (
            f"LVM no longer knows {vg}/{data.safety.lv} as a snapshot of {vg}/{data.origin}, as another one "
            "was put back since: it can not be put back in one write."
        )
    yield from against_names(
        vg,
        data,
        origin=origin is not None,
        safety=_there(vg, safety, data.safety),
        undone=_there(vg, rows.get(data.undone.lv), data.undone),
        more=more,
    )
    for row in (origin, safety):
        if row is not None and row.in_use:
            yield f"{vg}/{row.name} is in use on this appliance: unmount it first."


def _there(vg: str, row: Row | None, snapshot: Snapshot) -> There:
    if row is None:
        return There.NOTHING
    found = read_tags(vg, row.name, row.tags)
    if found is not None and (found.run, found.role) == (snapshot.run, snapshot.role):
        return There.THAT
    return There.ANOTHER if OURS in row.tags else There.FOREIGN
