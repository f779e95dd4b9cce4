"""Undo everything: what is refused, what is named, and that only what is ours is deleted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Refused, TwinFailed
from appliance.host.run import Command, Output
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.workflow.journal import Journal
from appliance.workflow.steps import undo
from appliance.workflow.steps.ground import Ground
from appliance.workflow.undoing import build_plan
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.test_retire_steps import Cut, PowerCut, context, machine_with
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view

STEP = PlannedStep(id="delete-ours", title="Delete")
TWO = Lineage(nodes=tuple(Node(volume=f"root-{run}", state=State.SEALED, run=run) for run in ("tb2", "tb10")))


@pytest.fixture(autouse=True)
def nothing_boots_from_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loader says against a deletion is held in tests/crash/test_undo_run."""
    monkeypatch.setattr(undo, "refuse_what_is_needed", lambda ctx, ground: None)


def plan(seen: LoaderView | None, *runs: str, lineage: Lineage = TWO) -> Plan:
    made = [volume for run in runs for volume in run_volumes(run)]
    return build_plan(replace(FOUND, volume_groups=(group(*made),)), Request(verb=Verb.UNDO), lineage, seen)


def refused(seen: LoaderView | None, *runs: str) -> str:
    with pytest.raises(Refused) as said:
        plan(seen, *runs)
    return " ".join(said.value.reasons)


def test_out_of_boot_first_then_the_volumes_and_the_history_last() -> None:
    made = plan(view(BootState.ROLLED_BACK), "tb1", "tb2")
    assert [s.id for s in made.steps] == ["confirm", "leave-boot", "delete-ours", "history"]
    assert [s.id for s in made.steps if s.gate] == ["confirm"] and made.steps[1].commit
    assert made.doomed == (
        *("root-tb1-base", "root-tb1-sealed", "root-tb1", "srv-tb1-safety"),
        *("root-tb2-base", "root-tb2-sealed", "root-tb2", "srv-tb2-safety"),
    )
    assert {"root", "srv", "twinboot-state"} & set(made.doomed) == set()
    assert "vg0/twinboot-state" in made.steps[3].writes[0].what
    assert made.names.run == "tb10", "its record is filed with the newest run"


def test_what_goes_for_good_is_said_before() -> None:
    said = " ".join(plan(view(BootState.ARMED), "tb1").warnings)
    for part in ("no way back", "tb1 is armed: it is disarmed first", "srv-tb1-safety", "stays as it is now"):
        assert part in said


def test_only_a_history_is_left_and_goes() -> None:
    made = plan(None, lineage=Lineage())
    assert (made.doomed, made.steps[1].writes, len(made.steps[3].writes)) == ((), (), 1)


def test_nothing_of_ours_is_nothing_to_undo() -> None:
    with pytest.raises(Refused, match="nothing of Twinboot"):
        build_plan(FOUND, Request(verb=Verb.UNDO), Lineage(), None)


@pytest.mark.parametrize("state", [BootState.KEPT, BootState.SETTLING])
def test_a_machine_that_boots_from_ours_is_refused(state: BootState) -> None:
    assert "tb1 is kept, so this machine boots from it" in refused(view(state), "tb1")


def test_going_back_to_an_earlier_kept_run_is_refused() -> None:
    seen = view(BootState.ROLLED_BACK, "tb2", old="root--tb1", new="root--tb2")
    assert "vg0/root-tb1 is the system this machine goes back to" in refused(seen, "tb1", "tb2")


def test_a_kept_volume_that_is_the_only_system_left_is_refused() -> None:
    found = replace(FOUND, volume_groups=(group(*run_volumes("tb1"), without="root"),))
    with pytest.raises(Refused, match="is one that Twinboot made"):
        build_plan(found, Request(verb=Verb.UNDO), Lineage(), view(BootState.ROLLED_BACK))


def test_deleting_cut_at_every_write_and_begun_again(tmp_path: Path) -> None:
    doomed = ("root-tb1", "root-tb1-base", "root-tb1-sealed", "root-tb1-work", "srv", "root")
    for cut in range(10):
        lvm, ground = machine_with(tmp_path, doomed)
        step = undo.DeleteOurs(STEP, ground)
        lvm.left = cut
        try:
            step.do(context(lvm))
        except PowerCut:
            assert not step.done(context(lvm)) or set(lvm.lvs) == {"root", "srv"}
        lvm.left = 10**6
        step.do(context(lvm))
        assert step.done(context(lvm))
        assert set(lvm.lvs) == {"root", "srv"}, "named or not: what carries no tag of ours stays"


class WithMount(Cut):
    """A group whose state volume is mounted at `at`, its files kept aside while it is not."""

    at = Path()

    def run(self, command: Command) -> Output:
        match command.argv[0]:
            case "findmnt":
                mounted = (self.at / "runs").exists()
                return Output(0 if mounted else 1, "/dev/mapper/vg0-twinboot--state\n" if mounted else "")
            case "umount":
                if self.left == 0:
                    raise PowerCut
                self.left -= 1
                (self.at / "runs").rename(self.at.parent / "unmounted")
                return Output(0, "")
        return super().run(command)


def test_the_history_goes_and_the_record_of_it_goes_on_in_memory(tmp_path: Path) -> None:
    lvm = WithMount()
    lvm.at = tmp_path / "run/state"
    for name in ("root", "srv"):
        lvm.add(name, 1 << 30, 4)
    lvm.add("twinboot-state", 64 << 20, 1)
    tags = frozenset({"twinboot", "twinboot.role=state"})
    lvm.lvs["twinboot-state"] = dataclasses.replace(lvm.lvs["twinboot-state"], tags=tags)
    made = plan(None, lineage=Lineage())
    folder = tmp_path / "run/state/runs/tb1"
    journal = Journal.open(folder / "undo-1/journal.jsonl")
    journal.add("begin", "history")
    (folder / "rehearse-1").mkdir()
    ground = Ground(made, Workplace(FOUND, "tb1", folder, tmp_path / "run", tmp_path / "data"))
    step = undo.DeleteHistory(STEP, ground)
    assert not step.done(context(lvm))
    step.do(context(lvm))
    assert step.done(context(lvm))
    assert set(lvm.lvs) == {"root", "srv"}
    journal.add("end", "history")
    again = Journal.open(folder / "undo-1/journal.jsonl")
    assert [(r.what, r.step) for r in again.records] == [("begin", "history"), ("end", "history")]
    assert not (folder / "rehearse-1").exists(), "only this act's own record is kept"


def test_a_state_volume_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    _, ground = machine_with(tmp_path, ())
    lvm = WithMount()
    lvm.at = tmp_path / "not mounted"
    lvm.add("twinboot-state", 64 << 20, 1)
    with pytest.raises(TwinFailed, match="is not ours"):
        undo.DeleteHistory(STEP, ground).do(context(lvm))
    assert "twinboot-state" in lvm.lvs
