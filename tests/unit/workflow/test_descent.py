"""The lineage from tags, the loader's view and records; the verdict of a run that never came to its seal."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import ApplianceError, BootConfigFailed, Busy, CommandFailed, HistoryUnread
from appliance.host.run import RealHost
from appliance.model.codec import from_json
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import LogicalVolume, Machine, Trouble
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.model.verdict import Facts, Outcome, Result
from appliance.workflow import catalogue
from appliance.workflow.descent import RunRecord, descend, next_step
from appliance.workflow.places import Places
from appliance.workflow.rehearse import build_plan
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.verdict import provisional
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.test_promote_plan import GOOD
from tests.unit.workflow.test_retirement import group, run_volumes

MACHINE = Path(__file__).parents[2] / "fixtures/machines/thin-uefi.json"


def machine() -> Machine:
    found: Machine = from_json(MACHINE.read_bytes(), Machine, str(MACHINE))
    return found


def with_run(found: Machine, *roles: str) -> Machine:
    group = found.volume_groups[0]
    root = group.lv("root")
    assert root is not None
    names = {"base": "root-tb1-base", "sealed": "root-tb1-sealed", "trial": "root-tb1"}
    made: tuple[LogicalVolume, ...] = tuple(
        replace(
            root, name=names[r], tags=("twinboot", "twinboot.run=tb1", f"twinboot.role={r}"), origin="root"
        )
        for r in roles
    )
    return replace(found, volume_groups=(replace(group, lvs=(*group.lvs, *made)),))


def view(state: BootState) -> LoaderView:
    old = Entry(id="previous", title="Previous system", kernel="/k", root="/dev/mapper/vg0-root")
    new = Entry(id="trial", title="Debian, patched", kernel="/k", root="/dev/mapper/vg0-root--tb1")
    following = new if state in (BootState.ARMED, BootState.KEPT) else old
    return LoaderView(state=state, run="tb1", own=old, next_boot=following, fallback=old, runs=("tb1",))


def test_an_untouched_machine_boots_what_was_installed() -> None:
    told = descend(machine(), None, ())
    assert [(n.volume, n.state, n.boots_next) for n in told.lineage.nodes] == [("root", None, True)]
    assert "Rehearse" in told.next_step


def test_a_sealed_run_offers_promotion_only_when_its_verdict_is_good() -> None:
    good = RunRecord(run="tb1")
    told = descend(with_run(machine(), "base", "sealed", "trial"), None, (good,))
    node = told.lineage.node("tb1")
    assert node is not None and node.state is State.SEALED
    assert told.next_step == "Look at the verdict (V)."


def test_armed_says_what_boots_once_and_what_is_the_fallback() -> None:
    told = descend(with_run(machine(), "base", "sealed", "trial"), view(BootState.ARMED), ())
    node = told.lineage.node("tb1")
    assert node is not None and node.state is State.ARMED and node.boots_next
    assert told.next_boot == "Debian, patched, once, on trial"
    assert told.fallback == "Previous system (/dev/mapper/vg0-root)"


def test_after_keep_the_installed_system_is_the_fallback() -> None:
    told = descend(with_run(machine(), "base", "sealed", "trial"), view(BootState.KEPT), ())
    states = {n.volume: n.state for n in told.lineage.nodes}
    assert states == {"root": State.FALLBACK, "root-tb1": State.KEPT}


def test_a_kept_system_stays_kept_while_the_next_one_is_on_trial() -> None:
    found = with_run(machine(), "base", "sealed", "trial")
    kept = Entry(id="own", title="Debian", kernel="/k", root="/dev/mapper/vg0-root--tb1")
    other = Entry(id="trial", title="Debian, again", kernel="/k", root="/dev/mapper/vg0-root--tb2")
    seen = LoaderView(
        state=BootState.ARMED, run="tb2", own=kept, next_boot=other, fallback=kept, runs=("tb1", "tb2")
    )
    told = descend(found, seen, ())
    states = {n.volume: (n.state, n.fallback) for n in told.lineage.nodes}
    assert states == {"root": (State.FALLBACK, False), "root-tb1": (State.KEPT, True)}


def test_a_kept_system_that_was_rolled_back_is_kept_no_more() -> None:
    """keep had made grub.cfg name it, and the sector pins the previous system."""
    new = Entry(id="own", title="Debian", kernel="/k", root="/dev/mapper/vg0-root--tb1")
    seen = replace(view(BootState.ROLLED_BACK), own=new)
    told = descend(with_run(machine(), "base", "sealed", "trial"), seen, ())
    node = told.lineage.node("tb1")
    assert node is not None and node.state is State.SEALED
    assert [n.volume for n in told.lineage.nodes if n.boots_next] == ["root"]


def test_rolled_back_to_a_kept_system_that_one_is_what_is_rehearsed_next() -> None:
    kept = Entry(id="previous", title="Previous", kernel="/k", root="/dev/mapper/vg0-root--tb1")
    spent = Entry(id="own", title="Debian", kernel="/k", root="/dev/mapper/vg0-root--tb2")
    seen = LoaderView(
        state=BootState.ROLLED_BACK, run="tb2", own=spent, next_boot=kept, fallback=kept, runs=("tb1", "tb2")
    )
    told = descend(with_run(machine(), "base", "sealed", "trial"), seen, ())
    states = {n.volume: (n.state, n.boots_next) for n in told.lineage.nodes}
    assert states == {"root": (State.FALLBACK, False), "root-tb1": (State.KEPT, True)}


def test_a_trial_that_was_not_kept_is_said_at_the_next_start() -> None:
    spent = replace(view(BootState.TRIAL), result="verdict bad\nwhy ledger.service does not run\n")
    told = descend(with_run(machine(), "base", "sealed", "trial"), spent, ())
    assert any("ledger.service does not run" in n for n in told.notices)
    assert any("not kept" in n for n in told.notices)


def test_a_damaged_sector_is_told_with_the_way_on() -> None:
    found = with_run(machine(), "base", "sealed", "trial")
    (said,) = descend(found, replace(view(BootState.KEPT), sector_lost=True), ()).notices
    assert "boots tb1 all the same" in said and "Roll back, or retire the old system (B)" in said
    assert descend(found, view(BootState.KEPT), ()).notices == ()


def test_a_failed_run_stays_in_the_lineage_without_volumes() -> None:
    told = descend(machine(), None, (RunRecord(run="tb1", failed=True),))
    node = told.lineage.node("tb1")
    assert node is not None and node.state is State.FAILED


def facts(**words: object) -> Facts:
    kept = {
        "target": "multi-user.target",
        "target_reached": True,
        "kernel": "6.1.0-50-amd64",
        "root": "/dev/mapper/vg0-root",
        "command_line": "root=/dev/mapper/vg0-root ro",
        "boot_seconds": 30.0,
        "active_services": ("ledger.service",),
    }
    return Facts(**{**kept, **words})  # type: ignore[arg-type]


def ground(tmp_path: Path) -> Ground:
    found = machine()
    request = Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.ALL))
    plan = build_plan(found, request, descend(found, None, ()).lineage)
    return Ground(plan, Workplace(found, "tb1", tmp_path / "runs/tb1", tmp_path / "run"))


def test_a_service_that_is_gone_after_the_patch_is_a_fail_with_its_reason(tmp_path: Path) -> None:
    stage = ground(tmp_path)
    stage.work.save("control", facts())
    stage.work.save("patched", facts(active_services=(), failed_units=("ledger.service",)))
    verdict = provisional(stage)
    assert verdict.result is Result.FAIL
    assert any("ledger" in c.name and c.outcome is Outcome.WORSE for c in verdict.checks)
    assert stage.work.saved("verdict")


def test_a_twin_that_never_came_up_after_the_patch_is_a_fail(tmp_path: Path) -> None:
    stage = ground(tmp_path)
    stage.work.save("control", facts())
    verdict = provisional(stage, "The twin's agent did not answer within 900 s.")
    assert verdict.result is Result.FAIL
    assert any("did not answer" in c.why for c in verdict.checks)


def test_a_run_that_found_the_system_broken_leads_to_the_repairs() -> None:
    found = RunRecord(run="tb1", failed=True, finding="The twin does not boot: its kernel panics.")
    told = descend(machine(), None, (found,))
    node = told.lineage.node("tb1")
    assert node is not None and node.finding == found.finding
    assert told.next_step == "tb1 found that this system does not boot well: repair a copy of it (X)."
    other = descend(machine(), None, (RunRecord(run="tb1", failed=True),))
    assert "(X)" not in other.next_step


def step(found: Machine, node: Node | None = None, seen: LoaderView | None = None) -> str:
    lineage = Lineage(nodes=(node,) if node else ())
    return next_step(found, lineage, seen, today="2026-12-01")


def test_nobody_is_sent_into_a_refusal() -> None:
    found = machine()
    trouble = Trouble(code="hibernated", sentence="The system is hibernated.", refuses=True)
    asleep = replace(found.systems[0], trouble=(trouble,))
    assert step(found) == "Rehearse a patch on a twin of this machine (N)."
    assert step(replace(found, systems=(asleep,))) == "Before a rehearsal: The system is hibernated."
    assert "Rehearse" in step(replace(found, systems=(asleep, found.systems[0]))), "the other one can be"
    assert "Before a rehearsal" in step(replace(found, trouble=(trouble,)))


def test_nor_into_one_of_what_the_patched_system_names_and_is_not_here() -> None:
    why = "New in the patched system: The system would wake from UUID=0-1, which this machine does not have."
    node = Node(volume="root-tb1", state=State.SEALED, run="tb1", verdict="PASS, all good", unfound=(why,))
    assert step(machine(), node) == f"tb1 can not be promoted; rehearse again (N). {why}"
    assert "can be promoted" in step(machine(), replace(node, unfound=()))


def test_after_a_roll_back_the_run_is_not_offered_again() -> None:
    node = Node(volume="root-tb1", state=State.SEALED, run="tb1", verdict="PASS, all good")
    assert "can be promoted (P)" in step(machine(), node)
    assert "tb1 was rolled back: rehearse again (N)" in step(machine(), node, view(BootState.ROLLED_BACK))


def test_the_day_on_which_the_old_system_may_go_is_remembered() -> None:
    kept = Node(volume="root-tb1", state=State.KEPT, run="tb1", retire_on="2026-12-24")
    assert "from 2026-12-24 on" in step(machine(), kept)
    assert "may go since 2026-11-30" in step(machine(), replace(kept, retire_on="2026-11-30"))
    assert "no longer wanted" in step(machine(), replace(kept, retire_on=""))


def test_nobody_is_told_to_begin_a_retire_that_goes_on_by_itself() -> None:
    kept, goes_on = Node(volume="root-tb1", state=State.KEPT, run="tb1"), "The old system is being retired"
    assert step(machine(), kept, view(BootState.KEPT)).startswith("Everything is kept.")
    assert step(machine(), kept, view(BootState.SETTLING)).startswith(goes_on)
    for role in ("previous", "emptied"):
        old = f"twinboot.role={role}"
        (group,) = machine().volume_groups
        lvs = tuple(
            replace(lv, tags=("twinboot", "twinboot.run=tb1", old)) if lv.name == "root" else lv
            for lv in group.lvs
        )
        let_go = replace(machine(), volume_groups=(replace(group, lvs=lvs),))
        assert step(let_go, kept, view(BootState.KEPT)).startswith(goes_on)


def test_a_run_that_failed_before_does_not_hide_what_a_later_one_offers() -> None:
    made = replace(machine(), volume_groups=(group(*run_volumes("tb2"), *run_volumes("tb10")),))
    records = (
        RunRecord(run="tb1", failed=True),
        RunRecord(run="tb10", verdict=GOOD),
        RunRecord(run="tb2", verdict=GOOD),
        RunRecord(run="tb9", failed=True),
    )
    found = descend(made, None, records)
    assert [n.run for n in found.lineage.nodes if n.run] == ["tb1", "tb2", "tb9", "tb10"]
    assert "tb10 was tested and can be promoted" in found.next_step


@pytest.mark.parametrize("error", [BootConfigFailed, CommandFailed, Busy])
def test_a_boot_that_cannot_be_read_hides_nothing_else(
    error: type[ApplianceError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console of a machine with a damaged /boot still shows what there is, and says so."""

    class Unreadable:
        def view(self, boot: object) -> LoaderView:
            raise error("The loader could not read /boot/grub/grub.cfg on /dev/vda3: bad inode.")

    monkeypatch.setattr(catalogue, "choose_loader", lambda machine, system, host: Unreadable())
    monkeypatch.setattr(Places, "mount", lambda self, host, machine: False)
    found = catalogue.descent(RealHost(), with_run(machine(), "base", "sealed", "trial"), Places(tmp_path))
    assert found.lineage.node("tb1") is not None
    assert any("/boot/grub/grub.cfg" in text for text in found.notices)
    assert found.next_boot == "not known: /boot cannot be read"


def test_a_history_that_cannot_be_read_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which root boots next is asked of the loader: a damaged state volume must not hide it."""

    class Readable:
        def view(self, boot: object) -> LoaderView:
            return view(BootState.KEPT)

    def damaged(self: Places, host: object, machine: object) -> bool:
        raise HistoryUnread(
            "The machine's history, /dev/mapper/vg0-twinboot--state, cannot be read: status 4."
        )

    monkeypatch.setattr(catalogue, "choose_loader", lambda machine, system, host: Readable())
    monkeypatch.setattr(Places, "mount", damaged)
    found = catalogue.descent(RealHost(), with_run(machine(), "base", "sealed", "trial"), Places(tmp_path))
    assert found.lineage.node("tb1") is not None
    assert found.notices[0].endswith("cannot be read: status 4.")
    assert found.standing.history == ()
    assert found.next_boot == "Debian, patched (/dev/mapper/vg0-root--tb1)"
