"""Rehearse only, step by step: the copy elsewhere, the proof that nothing was written, the record kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import ApplianceError, Cancelled, OutOfSpace, Refused, TwinFailed
from appliance.model.codec import to_json
from appliance.model.events import Event, Gauge, Line, Progress
from appliance.model.lineage import State
from appliance.model.plan import FULL, Plan, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.volumes.base import Snapshot, SnapshotRole, Use
from appliance.volumes.file_room import FOLDER
from appliance.workflow import catalogue, rehearse
from appliance.workflow.descent import descend
from appliance.workflow.journal import Journal
from appliance.workflow.places import Places
from appliance.workflow.runner import Context, Stop
from appliance.workflow.steps import snapshot as snapshots
from appliance.workflow.steps.elsewhere import MakeRoom
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.room import Room
from appliance.workflow.steps.snapshot import ProveUnchanged, TakeEvidence, TakeSnapshots
from appliance.workflow.steps.twins import LARGER, WORK, volumes_of
from appliance.workflow.workplace import Workplace
from tests.contract.fake_elsewhere import FakeElsewhere
from tests.unit.workflow import thick
from tests.unit.workflow.test_rehearse_only import STICK, USB, full, planned


def ground_of(folder: Path, plan: Plan | None = None) -> Ground:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return Ground(plan or planned(), Workplace(full(), "tb1", folder, folder / "run", data))


def context(
    host: FakeElsewhere, told: list[Event] | None = None, cancel: threading.Event | None = None
) -> Context:
    return Context(host, (told if told is not None else []).append, cancel or threading.Event())


def test_room_copy_and_undo_leave_nothing_twice(tmp_path: Path) -> None:
    host, ground, told = FakeElsewhere(), ground_of(tmp_path), list[Event]()
    ctx = context(host, told)
    room, copies = MakeRoom(thick.STEP, ground), TakeSnapshots(thick.STEP, ground)
    room.do(ctx)
    assert any(isinstance(e, Progress) and e.done == e.total > 0 for e in told)
    copies.do(ctx)
    assert copies.done(ctx)
    ground.copies(host).activate(ground.snapshot(SnapshotRole.WORK))
    for _ in range(2):
        copies.undo(ctx)
        room.undo(ctx)
    assert not host.devices and not host.loops
    assert list((tmp_path / "data").iterdir()) == []
    assert not any(c.argv[0].startswith(("lv", "vg", "pv")) for c in host.commands), (
        "LVM is asked for nothing"
    )


def test_a_cancelled_run_stops_making_room_and_gives_back_what_it_took(tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    host, ground = FakeElsewhere(), ground_of(tmp_path)
    room = MakeRoom(thick.STEP, ground)
    with pytest.raises(Cancelled):
        room.do(context(host, cancel=stop))
    room.undo(context(host))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_stick_that_filled_since_the_plan_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    host, ground = FakeElsewhere(full=True), ground_of(tmp_path)
    with pytest.raises(OutOfSpace, match="has no room for the copies"):
        MakeRoom(thick.STEP, ground).do(context(host))


def test_the_twin_stands_on_the_copy_and_its_scratch(tmp_path: Path) -> None:
    host, ground = FakeElsewhere(), ground_of(tmp_path)
    store = ground.copies(host)
    assert [store.device(s) for s in volumes_of(ground, WORK)] == [
        "/dev/mapper/twinboot-tb1-copy-root-tb1-work-over",
        "/dev/mapper/twinboot-tb1-copy-tb1-scratch-over",
    ]
    assert store.device(ground.snapshot(SnapshotRole.BASE)) == "/dev/mapper/twinboot-tb1-copy-view0"


# The proof that nothing was written.


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """/sys/block as the kernel shows it, and evidence of that alone."""
    sys = tmp_path / "sys"
    for disk in ("vda", "sdz"):
        (sys / disk).mkdir(parents=True)
        (sys / disk / "stat").write_text("1 0 8 0 7 0 56 0 0 0 0 0 0 0 0 0 0\n")
    real = snapshots.sectors_written
    monkeypatch.setattr(snapshots, "sectors_written", lambda ground: real(ground, sys))
    monkeypatch.setattr(snapshots, "sha256_of", lambda device, size: "the same")
    return sys


def test_one_sector_written_to_the_machine_is_a_fault_of_ours(tmp_path: Path, counted: Path) -> None:
    host, ground, told = FakeElsewhere(), ground_of(tmp_path), list[Event]()
    ctx = context(host, told)
    TakeEvidence(thick.STEP, ground).do(ctx)
    ProveUnchanged(thick.STEP, ground).do(ctx)
    assert any(isinstance(e, Line) and e.text.startswith("unchanged:") for e in told)
    (counted / "vda/stat").write_text("1 0 8 0 7 0 57 0 0 0 0 0 0 0 0 0 0\n")
    with pytest.raises(ApplianceError, match="/dev/vda, sectors written"):
        ProveUnchanged(thick.STEP, ground).do(ctx)


def test_a_discard_counts_and_the_disk_of_the_copy_does_not(tmp_path: Path, counted: Path) -> None:
    found = replace(full(), disks=(*full().disks, USB))
    plan = planned()
    plan = replace(plan, request=replace(plan.request, store="/dev/sdz1"))
    ground = Ground(plan, Workplace(found, "tb1", tmp_path, tmp_path / "run", tmp_path / "data"))
    before = snapshots.sectors_written(ground)
    assert before == {"/dev/vda, sectors written": "56 0"}
    (counted / "vda/stat").write_text("1 0 8 0 7 0 56 0 0 0 0 1 0 8 0 0 0\n")
    assert snapshots.sectors_written(ground) == {"/dev/vda, sectors written": "56 8"}


# The record lives in memory.


class Nobody(FakeElsewhere):
    """A machine without a state volume: nothing is to be asked of its disks."""


def test_the_run_is_kept_in_memory_and_known_from_there(tmp_path: Path) -> None:
    places, host = Places(tmp_path, tmp_path / "data"), Nobody()
    act = places.open_run(host, full(), planned())
    assert act == tmp_path / "memory/runs/tb1/rehearse-1"
    assert host.commands == [], "no volume is made or mounted for it"
    (act / "plan.json").write_bytes(b"{}")
    (act / "journal.jsonl").write_text("")
    assert places.unfinished(host, full()) == (act,)
    (record,) = places.records(host, full())
    assert record.run == "tb1" and record.rehearsed_only
    assert places.folder("tb1") == act.parent and places.folder("tb2") == places.runs / "tb2"


def test_a_run_that_was_rehearsed_only_stands_in_the_tree_and_can_not_be_promoted(tmp_path: Path) -> None:
    places, host, plan = Places(tmp_path, tmp_path / "data"), Nobody(), planned()
    act = places.open_run(host, full(), plan)
    (act / "plan.json").write_bytes(to_json(plan))
    Journal.open(act / "journal.jsonl").add("done")
    verdict = Verdict(result=Result.PASS, checks=(), rehearsed_only=plan.pool, ways=plan.ways)
    (act.parent / "verdict.json").write_bytes(to_json(verdict))
    found = descend(full(), None, places.records(host, full()))
    node = found.lineage.node("tb1")
    assert node is not None and node.state is State.TESTED and node.rehearsed_only
    assert node.verdict.startswith("PASS, REHEARSED ONLY")
    assert "tb1 was rehearsed only" in found.next_step
    for verb in (Verb.PROMOTE, Verb.KEEP, Verb.ROLLBACK, Verb.RETIRE):
        with pytest.raises(Refused, match=r"tb1 was rehearsed only.*nothing to promote"):
            catalogue.build_plan(full(), Request(verb=verb, run="tb1"), found, host, places)
    assert host.commands == [], "and the disks are not asked"
    again = rehearse.build_plan(full(), plan.request, found.lineage, offers=(STICK,))
    assert again.names.run == "tb2"


def test_what_a_power_cut_left_on_the_stick_goes_at_the_next_start(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "data")
    assert not places.remove_copies()
    (places.data / FOLDER).mkdir(parents=True)
    (places.data / FOLDER / "room.000").write_bytes(b"x")
    (places.data / "reports").mkdir()
    assert places.remove_copies()
    assert [p.name for p in places.data.iterdir()] == ["reports"]


def test_an_unattended_plan_of_that_kind_is_remembered_in_memory_alone(tmp_path: Path) -> None:
    places, host = Places(tmp_path, tmp_path / "data"), Nobody()
    assert not places.unattended_begun(host, full(), "d1")
    places.begin_unattended(host, full(), planned(), "d1")
    assert places.unattended_begun(host, full(), "d1")
    assert host.commands == []


def test_the_brake_is_at_the_same_mark_and_says_how_to_get_more() -> None:
    class Filling:
        def uses(self, root: Snapshot) -> tuple[Use, ...]:
            return (Use("copy", FULL + 1),)

    class Standing:
        paused = 0

        def pause(self, name: str) -> None:
            self.paused += 1

        def load(self, name: str) -> object:
            raise TwinFailed("it stands still")

    stop, told, machine = Stop(), list[Event](), Standing()
    ctx = Context(FakeElsewhere(), told.append, stop)
    copy = Snapshot("", "sda2-tb1-work", "sda2-tb1-base", "tb1", SnapshotRole.WORK)
    room = Room(Filling(), copy, machine, "twin", ctx, LARGER)  # type: ignore[arg-type]
    room.look()
    assert machine.paused == 1 and isinstance(stop.why, OutOfSpace)
    assert stop.why.next_actions[0] == LARGER
    assert any(isinstance(e, Gauge) for e in told)
