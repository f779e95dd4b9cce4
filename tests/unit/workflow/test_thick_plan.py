"""Thick roots, before anything is done: what is refused, and what the plan says."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.machine import VolumeGroup
from appliance.volumes import choose
from appliance.workflow.steps.twins import PROOF, WORK, volumes_of
from tests.unit.twin.machines import with_snapshot
from tests.unit.workflow.thick import (
    ground_of,
    installed,
    machine,
    rehearsal,
    system,
)


def test_what_stands_against_a_thick_root_is_said() -> None:
    found = machine()
    assert choose.why_no_store(found, system()) == ()
    (other,) = choose.why_no_store(machine(srv=4), machine(srv=4).systems[0])
    assert other.startswith("/srv (/dev/mapper/vg0-srv) is a volume of its own")
    (gone,) = choose.why_no_store(found, system(lv="nothing"))
    assert "was not found" in gone
    snapped = with_snapshot(found, "root-tb1", 43, "twinboot")
    (itself,) = choose.why_no_store(snapped, system(lv="root-tb1"))
    assert "itself a snapshot of vg0/root" in itself and "retire the old system first" in itself
    striped = _with_root(found.volume_groups[0], segtype="striped")
    (kind,) = choose.why_no_store(replace(found, volume_groups=(striped,)), system())
    assert "kept as striped" in kind


def _with_root(group: VolumeGroup, **changed: object) -> VolumeGroup:
    lvs = tuple(replace(lv, **changed) if lv.name == "root" else lv for lv in group.lvs)
    return replace(group, lvs=lvs)


def test_too_little_room_is_refused_while_planning() -> None:
    found = machine()
    (group,) = found.volume_groups
    with pytest.raises(Refused, match="MiB free in the volume group"):
        rehearsal(replace(found, volume_groups=(replace(group, free_count=100),)))


def test_work_sealed_and_trial_are_one_name_and_the_plan_says_what_is_written() -> None:
    plan = rehearsal()
    names = plan.names
    assert names.work == names.sealed == names.trial == "root-tb1" and names.sealed_is_trial
    assert (names.base, names.proof, names.scratch) == ("root-tb1-base", "root-tb1-proof", "tb1-scratch")
    assert plan.pool == "vg0" and plan.free_bytes > 0
    told = [w.what for s in plan.steps for w in s.writes]
    assert "add snapshot volumes to the volume group (no copy)" in told
    assert "the sealed volume becomes the trial volume" in told
    assert not any("thin" in text for text in told)


def test_the_twins_stand_on_the_snapshot_and_on_overlays(tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    store = ground.store(lvm)
    assert [store.device(s) for s in volumes_of(ground, WORK)] == [
        "/dev/mapper/vg0-root--tb1",
        "/dev/mapper/vg0-tb1--scratch-over",
    ]
    assert [store.device(s) for s in volumes_of(ground, PROOF)] == [
        "/dev/mapper/vg0-root--tb1--proof-over",
        "/dev/mapper/vg0-tb1--proof--scratch-over",
    ]
