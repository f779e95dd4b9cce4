"""Thick snapshots as LVM writes them down, and how they are shown without being able to be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.host.run import Command, Output
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup
from appliance.probe.ground import _fill, _plan
from appliance.probe.lvm import _shown_volume
from appliance.probe.lvm_metadata import VgMetadata, parse
from appliance.probe.mappings import Readable, Sources, readable, stores_of
from appliance.probe.shown import Shown
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


def test_only_the_volume_a_machine_boots_from_is_shown_of_a_run(tmp_path: Path) -> None:
    """The base snapshot is left alone; memory is set aside for the trial volume's store and no other."""
    pv = PhysicalVolume(path="/dev/sda4", uuid=SNAPSHOTS.pvs[0].id, size=196 << 20)
    group = VolumeGroup(
        name="vg0", uuid=SNAPSHOTS.id, extent_size=EXTENT, extent_count=49, free_count=26, seqno=5, pvs=(pv,),
        lvs=tuple(seen(SNAPSHOTS).values()),
    )  # fmt: skip
    asked = list[str]()

    class Memory(Shown):
        def cow(self, name: str) -> str:
            asked.append(name)
            return "/dev/loop7"

    plan = _plan(Memory(Dark(), tmp_path), group, SNAPSHOTS, 3)
    assert asked == ["vg0-root-tb1"]
    assert sorted(dict(plan.volumes)) == ["root", "root-tb1"] and plan.unreadable == ()
    assert plan.mappings[0].name == "twinboot-probe-3"
    filled, why = _fill(
        group, SNAPSHOTS, plan, {dict(plan.volumes)["root-tb1"]: "0 81920 snapshot 8208/90112 16"}
    )
    trial = filled.lv("root-tb1")
    assert trial is not None and trial.data_percent == pytest.approx(10, abs=0.1) and why == ()


class Dark:
    """No command may run."""

    def run(self, command: Command) -> Output:
        raise AssertionError(str(command))
