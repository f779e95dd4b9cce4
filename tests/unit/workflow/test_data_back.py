"""Going back with the data: what is planned, what is refused, and what is said of it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Names, Plan, Request, Verb
from appliance.model.verdict import DataWrite, Result, Verdict
from appliance.workflow import catalogue, data_back
from appliance.workflow.descent import Descent, descend
from appliance.workflow.naming import with_every_name
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_promote_plan import GOOD, REHEARSED, plan, refused
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view

BACK = ("data-ready", "confirm", "undone", "rollback", "data-back")


def with_data(seen: LoaderView, **words: object) -> Plan:
    return plan(Verb.ROLLBACK, seen, with_data=True, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [BootState.ARMED, BootState.TRIAL, BootState.KEPT])
def test_the_loader_is_flipped_first_and_the_data_follows(state: BootState) -> None:
    made = with_data(view(state))
    hidden = () if state is BootState.KEPT else ("hide",)
    assert tuple(s.id for s in made.steps) == BACK + hidden
    assert [s.id for s in made.steps if s.commit] == ["rollback"]
    assert [s.id for s in made.steps if s.gate] == ["confirm"]
    assert [w.what for s in made.steps for w in s.writes] == [
        "add vg0/srv-tb1-undone: vg0/srv as it is now, read-only",
        "one sector of /boot/twinboot/env: the previous system",
        "vg0/srv becomes vg0/srv-tb1-safety: one commit of LVM's metadata",
        *(["one flag of vg0/root-tb1: the machine's own start leaves it down"] if hidden else []),
    ]
    assert all(not s.writes for s in made.steps[:2]), "nothing is written before a person has confirmed"


def test_without_data_nothing_changes_for_the_plan() -> None:
    made = plan(Verb.ROLLBACK, view(BootState.KEPT))
    assert [s.id for s in made.steps] == ["confirm", "rollback"]


@pytest.mark.parametrize("state", [BootState.ARMED, BootState.TRIAL])
def test_a_trial_volume_that_was_never_kept_is_hidden_from_the_old_system_again(state: BootState) -> None:
    made = plan(Verb.ROLLBACK, view(state))
    assert [s.id for s in made.steps] == ["confirm", "rollback", "hide"]
    assert [s.id for s in made.steps if s.commit] == ["rollback"]
    assert "the old system boots" in made.steps[2].writes[0].if_cut


def test_one_that_the_loaders_own_default_starts_stays_up_whatever_the_sector_says() -> None:
    begun = replace(view(BootState.TRIAL), own=view(BootState.KEPT).own)  # cut while it was kept
    assert [s.id for s in plan(Verb.ROLLBACK, begun).steps] == ["confirm", "rollback"]
    unread = replace(view(BootState.TRIAL), own=None)
    assert [s.id for s in plan(Verb.ROLLBACK, unread).steps] == ["confirm", "rollback"]


def test_what_was_rolled_back_can_still_give_its_data_back() -> None:
    seen = view(BootState.ROLLED_BACK)
    assert "rolled back already; where its data shall go back as well: --with-data" in refused(
        Verb.ROLLBACK, seen
    )
    made = with_data(seen)
    assert tuple(s.id for s in made.steps) == (*BACK, "hide")
    assert [len(s.writes) for s in made.steps] == [0, 0, 1, 0, 1, 1]
    assert made.steps[3].title == "The old system boots already"


def test_a_run_this_machine_does_not_boot_and_its_data_are_refused_at_once() -> None:
    said = refused(Verb.ROLLBACK, view(BootState.STAGED), with_data=True, drifted=("The pool is too full.",))
    assert said == (
        "tb1 is not what this machine boots, so there is nothing to roll back. The pool is too full."
    )


def test_a_migration_is_said_to_go_back_only_where_it_does() -> None:
    wrote = Verdict(
        result=Result.PASS, checks=(), data_writes=(DataWrite(target="/srv", bytes=1, paths=("x",)),)
    )
    (said,) = with_data(view(BootState.KEPT), verdict=wrote).warnings
    assert "takes that back" in said and "is kept in a snapshot" in said
    (said,) = plan(Verb.ROLLBACK, view(BootState.KEPT), verdict=wrote).warnings
    assert "takes that back only with the data" in said


def test_names_of_a_run_planned_before_are_made_whole() -> None:
    old = replace(REHEARSED.names, data_undone=())
    assert with_every_name(old) == REHEARSED.names
    assert with_every_name(REHEARSED.names) is REHEARSED.names
    assert REHEARSED.names.data_undone == (("srv", "srv-tb1-undone"),)
    assert Names(run="r", vg="v", base="b", work="w", sealed="s", trial="t", proof="p", scratch="c",
                 proof_scratch="x").data_undone == ()  # fmt: skip


def test_retire_names_the_data_that_was_put_away_and_takes_it() -> None:
    away = ("srv-tb1-undone", "tb1", "undone")
    found = replace(FOUND, kvm=True, volume_groups=(group(*run_volumes("tb1"), away),))
    made = plan(Verb.RETIRE, view(BootState.ROLLED_BACK), machine=found)
    assert "srv-tb1-undone" in made.doomed
    assert "Data that a roll back put away goes as well: srv-tb1-undone." in made.warnings
    other = plan(Verb.RETIRE, view(BootState.ROLLED_BACK))
    assert other.warnings == ("There is no way back from this: what is deleted is gone.",)


def test_a_system_without_data_of_its_own_has_no_safety_snapshot(tmp_path: Path) -> None:
    bare = replace(REHEARSED, names=replace(REHEARSED.names, data_safety=(), data_undone=()))
    ground = Ground(bare, Workplace(FOUND, "tb1", tmp_path, tmp_path, tmp_path))
    lvm = FakeLvm()
    assert data_back.why_not(lvm, ground) == (
        "There is no safety snapshot of data for tb1: its system has no data volume of its own.",
    )
    assert lvm.commands == []


class Recorded:
    """A history that holds the run's plan as an earlier version wrote it."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.runtime, self.data = folder, folder / "run", folder / "data"

    def folder(self, run: str) -> Path:
        return self.runs / run

    def plan(self, run: str) -> Plan:
        return replace(REHEARSED, names=replace(REHEARSED.names, data_undone=()))

    def verdict(self, run: str) -> Verdict:
        return GOOD


def test_a_run_of_an_earlier_version_can_go_back_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lvm, lost = FakeLvm(), list[Ground]()
    for name in ("root", "srv"):
        lvm.add(name, 1 << 30, 4)
    found = replace(FOUND, volume_groups=(group(*run_volumes("tb1")),))
    kept = Descent(Lineage(nodes=(Node(volume="root-tb1", state=State.KEPT, run="tb1"),)), "", "", "")
    asked = Request(verb=Verb.ROLLBACK, run="tb1", with_data=True)
    monkeypatch.setattr(catalogue, "view", lambda host, ground: view(BootState.KEPT))
    monkeypatch.setattr(catalogue, "choose_loader", lambda *_: Grub(lambda _: None))
    monkeypatch.setattr(catalogue, "losses", lambda host, ground: lost.append(ground) or ())

    def made() -> Plan:
        return catalogue.build_plan(found, asked, kept, lvm, Recorded(tmp_path))  # type: ignore[arg-type]

    with pytest.raises(Refused) as said:
        made()
    assert said.value.reasons == ("There is no safety snapshot vg0/srv-tb1-safety of vg0/srv.",)
    ground = Ground(REHEARSED, Workplace(found, "tb1", tmp_path, tmp_path, tmp_path))
    (data,) = ground.data_to_put_back()
    ground.store(lvm).create(data.safety)
    plan_made = made()
    assert plan_made.names.data_undone == (("srv", "srv-tb1-undone"),)
    assert tuple(s.id for s in plan_made.steps) == BACK
    assert [g.whole.request for g in lost] == [asked], "what is lost is told as it will be"
    assert set(lvm.lvs) == {"root", "srv", "srv-tb1-safety"}, "planning makes nothing"


@pytest.mark.parametrize(
    ("state", "asked", "run"),
    [
        (BootState.ARMED, False, False),
        (BootState.ARMED, True, True),
        (BootState.TRIAL, False, True),
        (BootState.KEPT, False, True),
    ],
)
def test_a_trial_that_was_asked_to_stay_has_run_although_it_is_armed(
    state: BootState, asked: bool, run: bool
) -> None:
    assert catalogue.has_run(replace(view(state), keep_asked=asked)) is run


def test_the_machine_says_where_its_data_of_until_then_is() -> None:
    away = ("srv-tb1-undone", "tb1", "undone")
    origin = "twinboot.origin=srv"
    volumes = [v for v in run_volumes("tb1") if not v[0].endswith("-safety")]

    def notices(*made: tuple[str, str, str]) -> str:
        found = group(*made)
        lvs = tuple(replace(lv, tags=(*lv.tags, origin)) if "srv-" in lv.name else lv for lv in found.lvs)
        machine = replace(FOUND, volume_groups=(replace(found, lvs=lvs),))
        return " ".join(descend(machine, None, ()).notices)

    assert notices(*run_volumes("tb1")) == ""
    went = notices(*volumes, away)
    assert "vg0/srv went back to what it was before tb1; vg0/srv-tb1-undone keeps" in went
    stayed = notices(*run_volumes("tb1"), away)
    assert "vg0/srv was NOT put back" in stayed and "As before tb1: vg0/srv-tb1-safety." in stayed
