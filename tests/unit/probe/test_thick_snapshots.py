"""Thick snapshots as LVM writes them down, and how they are shown without being able to be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.model.machine import LogicalVolume
from appliance.probe.lvm import _shown_volume
from appliance.probe.lvm_metadata import VgMetadata, parse
from appliance.probe.mappings import Readable, Sources, readable, stores_of
from appliance.probe.thin_status import snapshot_percent

RECORDED = Path(__file__).parents[2] / "fixtures/recorded/lvm-thick"
SNAPSHOTS = parse((RECORDED / "snapshots.vg").read_text())
MERGING = parse((RECORDED / "merging.vg").read_text())
EXTENT = 4 << 20


def seen(meta: VgMetadata) -> dict[str, LogicalVolume]:
    found = (_shown_volume(lv, meta, EXTENT) for lv in meta.lvs)
    return {lv.name: lv for lv in found if lv is not None}


def shown(meta: VgMetadata, cows: dict[str, str], skip: frozenset[str] = frozenset()) -> Readable:
    return readable(meta, Sources(pvs={meta.pvs[0].id: "/dev/sda4"}, cows=cows), skip=skip)


def test_a_snapshot_is_seen_under_its_own_name_and_as_large_as_its_origin() -> None:
    found = seen(SNAPSHOTS)
    assert sorted(found) == ["root", "root-tb1", "root-tb1-base"]
    trial, base = found["root-tb1"], found["root-tb1-base"]
    assert (trial.segtype, trial.origin, trial.size) == ("snapshot", "root", 40 << 20)
    assert "twinboot.role=trial" in trial.tags
    assert (base.size, base.writable, trial.writable) == (40 << 20, False, True)
    assert (found["root"].segtype, found["root"].origin) == ("linear", "")


def test_a_snapshot_that_is_written_back_is_seen_no_more() -> None:
    assert sorted(seen(MERGING)) == ["root", "root-tb1-base"]


def test_only_stores_of_ours_or_those_being_written_back_get_memory() -> None:
    assert set(stores_of(SNAPSHOTS, "twinboot")) == {"root-tb1-base", "root-tb1"}
    assert stores_of(SNAPSHOTS, "theirs") == ()
    assert stores_of(MERGING, "theirs") == ("root-tb1",)


def test_a_snapshot_is_shown_over_a_copy_on_write_of_its_store() -> None:
    found = shown(SNAPSHOTS, {"root-tb1": "/dev/loop7"}, skip=frozenset({"root-tb1-base"}))
    by_path = {m.path: m for m in found.mappings}
    volumes = dict(found.volumes)
    assert sorted(volumes) == ["root", "root-tb1"]
    assert by_path[volumes["root"]].table == ("0 81920 linear /dev/sda4 2048",)
    (table,) = by_path[volumes["root-tb1"]].table
    start, length, kind, origin, store, persistent, chunk = table.split()
    assert (start, length, kind, persistent, chunk) == ("0", "81920", "snapshot", "P", "8")
    assert by_path[origin].table == ("0 81920 linear /dev/sda4 2048",)
    (shield,) = by_path[store].table
    held = shield.split()[3]
    assert shield == f"0 90112 snapshot {held} /dev/loop7 N 8"
    assert by_path[held].table == (f"0 90112 linear /dev/sda4 {2048 + 10 * 8192}",)
    assert [m.path for m in found.mappings if m.writable] == [store]
    assert found.unreadable == ()


def test_a_root_that_takes_its_snapshot_back_is_read_as_the_snapshot() -> None:
    found = shown(MERGING, {"root-tb1": "/dev/loop7"}, skip=frozenset({"root-tb1-base"}))
    last = found.mappings[-1]
    assert dict(found.volumes) == {"root": last.path}
    assert last.table[0].split()[2] == "snapshot" and not last.writable


def test_snapshots_of_others_are_named_and_left_alone() -> None:
    found = shown(SNAPSHOTS, {})
    assert dict(found.unreadable) == {"root-tb1": "it is a snapshot", "root-tb1-base": "it is a snapshot"}
    assert list(dict(found.volumes)) == ["root"]


@pytest.mark.parametrize(
    ("status", "percent"),
    [
        ("0 81920 snapshot 8208/90112 16", 10.0),
        ("0 81920 snapshot 16/90112 16", 0.0),
        ("0 81920 snapshot Invalid", 100.0),
        ("0 81920 snapshot Overflow", 100.0),
        ("0 81920 linear", 0.0),
        ("", 0.0),
    ],
)
def test_what_a_snapshot_holds_of_its_origins_size(status: str, percent: float) -> None:
    assert snapshot_percent(status) == pytest.approx(percent, abs=0.01)
