"""Thick roots, the way home: promoted, kept, merged, rolled back, undone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState
from appliance.errors import TwinFailed
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import VolumeGroup
from appliance.model.plan import Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.probe.lvm_metadata import parse
from appliance.volumes.base import SnapshotRole
from appliance.workflow import promote, undoing
from appliance.workflow.descent import descend
from appliance.workflow.retirement import plan_retirement
from appliance.workflow.steps import retire
from appliance.workflow.steps.retire import DeleteDoomed, GiveNameBack, LetGo
from tests.contract.dark import PowerCut
from tests.unit.twin.machines import with_snapshot
from tests.unit.workflow.test_retirement import view
from tests.unit.workflow.thick import (
    STEP,
    Cut,
    context,
    ground_of,
    installed,
    machine,
    rehearsal,
    rehearsed,
)


def kept_group() -> VolumeGroup:
    found = machine()
    tags = ("twinboot", "twinboot.run=tb1")
    for name, store, role in (("root-tb1-base", 4, "base"), ("root-tb1", 43, "trial")):
        found = with_snapshot(found, name, store, *tags, f"twinboot.role={role}")
    (group,) = found.volume_groups
    parse(group.metadata)
    return group


def test_the_plan_of_a_retire_says_that_the_kept_volume_is_merged() -> None:
    plan, group = rehearsal(), kept_group()
    going = plan_retirement(group, plan.names, view(BootState.KEPT))
    assert (going.doomed, going.first_name, going.merges) == (("root", "root-tb1-base"), "root", True)
    steps = {s.id: s for s in promote.retire_steps(machine(), plan, group, going, Grub(lambda _: None))}
    assert [w.what for w in steps["delete"].writes] == [
        "empty vg0/root (160 MiB), for the kept system",
        "delete vg0/root-tb1-base (160 MiB)",
    ]
    assert steps["name-back"].title == "Merge root-tb1 into root"
    emptied = replace(
        group,
        lvs=tuple(
            replace(lv, tags=("twinboot", "twinboot.run=tb1", "twinboot.role=emptied"))
            if lv.name == "root"
            else lv
            for lv in group.lvs
        ),
    )
    assert plan_retirement(emptied, plan.names, view(BootState.ROLLED_BACK)).doomed == (
        "root-tb1",
        "root-tb1-base",
    )


def test_the_lineage_knows_the_run_by_the_snapshots_name() -> None:
    found = replace(machine(), volume_groups=(kept_group(),))

    def states(state: BootState | None) -> dict[str, State | None]:
        seen = descend(found, view(state) if state is not None else None, ())
        return {node.volume: node.state for node in seen.lineage.nodes}

    assert states(None) == {"root": None, "root-tb1": State.SEALED}
    assert states(BootState.KEPT) == {"root": State.FALLBACK, "root-tb1": State.KEPT}
    (node,) = [n for n in descend(found, None, ()).lineage.nodes if n.run]
    assert node.parent == "root"


def test_undo_takes_everything_of_ours_and_nothing_else(tmp_path: Path) -> None:
    lvm = installed()
    before = lvm.read("root")
    doomed = tuple(lv.name for lv in undoing.doomed(kept_group()))
    assert doomed == ("root-tb1-base", "root-tb1")
    ground = ground_of(replace(rehearsal(), doomed=doomed), tmp_path)
    rehearsed(lvm, ground)
    for _ in range(2):
        retire.delete_doomed(context(lvm), ground)
    assert ground.store(lvm).ours() == ()
    assert set(lvm.lvs) == {"root", "swap"} and lvm.read("root") == before


def test_what_a_thick_root_costs_is_read_before_it_is_promoted_or_kept() -> None:
    plan, found = rehearsal(), replace(machine(), volume_groups=(kept_group(),))

    def warned(verb: Verb, state: BootState) -> str:
        node = Node(volume="root-tb1", state=State.SEALED, run="tb1")
        good = Verdict(result=Result.PASS, checks=())
        request, seen = Request(verb=verb, run="tb1"), view(state)
        lineage, loader = Lineage(nodes=(node,)), Grub(lambda _: None)
        made = promote.build_plan(found, request, lineage, plan, good, seen, loader, ())
        return " ".join(made.warnings)

    assert "slower" in warned(Verb.PROMOTE, BootState.STAGED)
    assert "lies under the kept one" in warned(Verb.KEEP, BootState.TRIAL)


def test_retired_cut_at_every_write_and_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was cut, the kept system's content is under its own name or under the first one, whole."""
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    monkeypatch.setattr(
        retire, "mounted", lambda host, device, fstype, at, part: contextlib.nullcontext(tmp_path / "kept")
    )
    plan = replace(rehearsal(), doomed=("root", "root-tb1-base"))
    for cut in range(30):
        lvm, ground = Cut(3200), ground_of(plan, tmp_path)
        lvm.add("root", 160 << 20, 4)
        rehearsed(lvm, ground)
        content, lvm.left = lvm.read("root-tb1"), cut
        with contextlib.suppress(PowerCut):
            for step in (LetGo(STEP, ground), DeleteDoomed(STEP, ground), GiveNameBack(STEP, ground)):
                step.do(context(lvm))
        assert content in [lvm.read(name) for name in lvm.lvs if name in ("root", "root-tb1")]
        lvm.left = 10**6
        for step in (LetGo(STEP, ground), DeleteDoomed(STEP, ground)):
            if not step.done(context(lvm)):
                step.do(context(lvm))
            assert step.done(context(lvm)), f"cut at write {cut}"
        GiveNameBack(STEP, ground).do(context(lvm))
        store = ground.store(lvm)
        store.disown("root")
        assert set(lvm.lvs) == {"root"} and lvm.read("root") == content, f"cut at write {cut}"
        assert lvm.lvs["root"].tags == frozenset() and store.ours() == ()


def test_a_run_that_goes_itself_leaves_the_installed_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    lvm = installed()
    ground = ground_of(replace(rehearsal(), doomed=("root-tb1", "root-tb1-base")), tmp_path)
    before = lvm.read("root")
    rehearsed(lvm, ground)
    DeleteDoomed(STEP, ground).do(context(lvm))
    assert set(lvm.lvs) == {"root", "swap"} and lvm.read("root") == before


def test_the_old_system_having_run_is_seen_and_named(tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    rehearsed(lvm, ground)
    store, base = ground.store(lvm), ground.snapshot(SnapshotRole.BASE)
    assert not store.changed_since("root", base)
    lvm.write("root", 9)
    assert store.changed_since("root", base).bytes == 4096
    with pytest.raises(TwinFailed):
        store.changed_since("swap", base)
