"""Acts on an earlier run: what is refused, what is written, what must be read before."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Machine, Trouble
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import CheckResult, DataWrite, Outcome, Result, Verdict
from appliance.probe import trouble
from appliance.workflow import rehearse
from appliance.workflow.promote import build_plan
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view

MACHINE = replace(FOUND, kvm=True, volume_groups=(group(*run_volumes("tb1")),))
REHEARSED = rehearse.build_plan(FOUND, Request(verb=Verb.REHEARSE, emulate=True), Lineage())
GOOD = Verdict(result=Result.PASS, checks=())


def plan(
    verb: Verb,
    seen: LoaderView | None = None,
    *,
    state: State = State.SEALED,
    verdict: Verdict | None = GOOD,
    drifted: tuple[str, ...] = (),
    machine: Machine = MACHINE,
    **words: object,
) -> Plan:
    node = Node(volume="root-tb1", state=state, run="tb1")
    request = Request(verb=verb, run="tb1", **words)  # type: ignore[arg-type]
    return build_plan(
        machine, request, Lineage(nodes=(node,)), REHEARSED, verdict, seen, Grub(lambda _: None), drifted
    )


def refused(*args: object, **words: object) -> str:
    with pytest.raises(Refused) as said:
        plan(*args, **words)  # type: ignore[arg-type]
    return " ".join(said.value.reasons)


def test_promotion_checks_waits_stages_and_arms_last() -> None:
    made = plan(Verb.PROMOTE)
    assert [s.id for s in made.steps] == ["still", "metal", "confirm", "safety", "show", "stage", "arm"]
    assert [s.id for s in made.steps if s.gate] == ["confirm"]
    assert [s.id for s in made.steps if s.commit] == ["arm"]
    assert all(not s.writes for s in made.steps[:3]), "nothing is written before a person has confirmed"


def test_every_reason_against_a_promotion_is_said_at_once() -> None:
    worse = CheckResult(
        name="service ledger", outcome=Outcome.WORSE, before="runs", after="-", why="it does not run"
    )
    said = refused(
        Verb.PROMOTE,
        view(BootState.ARMED, "tb7"),
        state=State.FAILED,
        verdict=Verdict(result=Result.FAIL, checks=(worse,)),
        drifted=("The old system has run since the snapshot.",),
    )
    for part in ("only a SEALED run", "service ledger: it does not run", "--force-bad", "Another trial is"):
        assert part in said
    assert "has run since" in said


def test_a_bad_verdict_is_promoted_only_when_it_is_said_aloud() -> None:
    bad = Verdict(result=Result.FAIL, checks=())
    assert "--force-bad" in refused(Verb.PROMOTE, verdict=bad)
    assert plan(Verb.PROMOTE, verdict=bad, force_bad=True).steps[-1].id == "arm"


def test_a_data_migration_is_named_again_before_promotion() -> None:
    wrote = DataWrite(target="/srv", bytes=4096, paths=("ledger/data",))
    made = plan(Verb.PROMOTE, verdict=Verdict(result=Result.PASS, checks=(), data_writes=(wrote,)))
    assert any("/srv" in text and "ledger/data" in text for text in made.warnings)


def test_what_was_not_applied_is_said_once_where_each_source_says_it() -> None:
    silent = tuple(f"Package source not read: {n} did not answer" for n in range(3))
    held = ("boot loader: shim is held", "boot loader: grub is held")
    made = plan(Verb.PROMOTE, verdict=Verdict(result=Result.PASS, checks=(), not_applied=(*silent, *held)))
    assert made.warnings == (
        "Not applied: Package source not read: 0 did not answer (the verdict has 2 more)",
        "Not applied: boot loader: shim is held",
        "Not applied: boot loader: grub is held",
    )


def test_keep_says_what_the_old_system_costs_and_notes_a_date() -> None:
    made = plan(Verb.KEEP, view(BootState.TRIAL), retire_on="2027-01-31")
    assert [s.id for s in made.steps] == ["confirm", "remind", "keep"]
    assert "MiB of the pool until it is retired" in made.warnings[0]
    assert [s.id for s in plan(Verb.KEEP, view(BootState.TRIAL)).steps] == ["confirm", "keep"]


@pytest.mark.parametrize("date", ["31.1.2027", "2027-02-30", "20270131", "soon"])
def test_keep_refuses_what_is_no_date(date: str) -> None:
    assert "is no date like 2026-12-31" in refused(Verb.KEEP, view(BootState.TRIAL), retire_on=date)


def test_retire_of_a_kept_run_names_each_volume_and_each_flip() -> None:
    made = plan(Verb.RETIRE, view(BootState.KEPT), state=State.KEPT)
    assert [s.id for s in made.steps] == [*("confirm", "let-go", "delete", "by-uuid", "name-back", "by-name")]
    assert [s.id for s in made.steps if s.commit] == ["let-go", "delete"], "once begun it is gone on with"
    assert made.doomed == ("root", "root-tb1-base", "root-tb1-sealed", "srv-tb1-safety")
    told = [w.what for s in made.steps for w in s.writes]
    assert all(any(f"delete vg0/{name} (" in line for line in told) for name in made.doomed)
    assert not any("delete vg0/root-tb1 " in line for line in told)


def test_retire_of_any_other_run_takes_its_boot_files_first() -> None:
    made = plan(Verb.RETIRE, view(BootState.ROLLED_BACK))
    assert [s.id for s in made.steps] == ["confirm", "unstage", "delete"]
    assert [s.id for s in made.steps if s.commit] == ["unstage", "delete"], "once begun it is gone on with"
    assert "root" not in made.doomed


@pytest.mark.parametrize("verb", [Verb.ROLLBACK, Verb.KEEP, Verb.RETIRE])
def test_what_is_not_so_cannot_be_acted_on(verb: Verb) -> None:
    seen = {
        Verb.ROLLBACK: view(BootState.STAGED),
        Verb.KEEP: view(BootState.KEPT),
        Verb.RETIRE: view(BootState.ARMED),
    }[verb]
    assert refused(verb, seen)


def test_a_run_that_was_made_for_another_machine_is_refused() -> None:
    node = Node(volume="root-tb1", state=State.SEALED, run="tb1")
    other = replace(MACHINE, identity="LAB-0002")
    with pytest.raises(Refused, match="was made for LAB-0001, not for LAB-0002"):
        build_plan(
            other,
            Request(verb=Verb.PROMOTE, run="tb1"),
            Lineage(nodes=(node,)),
            REHEARSED,
            GOOD,
            None,
            Grub(lambda _: None),
            (),
        )


MISSING = trouble.device_missing("/dev/disk/by-id/virtio-TWIN-part1", "/backup")
WAITS = trouble.resume_missing("UUID=0-1")


def with_trial(*of_trial: Trouble, of_old: tuple[Trouble, ...] = ()) -> Machine:
    (system,) = MACHINE.systems
    root = replace(system.root, device="/dev/mapper/vg0-root--tb1", lv="root-tb1")
    trial = replace(system, id=root.device, root=root, trouble=of_trial)
    return replace(MACHINE, systems=(replace(system, trouble=(*system.trouble, *of_old)), trial))


def test_what_the_patched_system_alone_names_and_is_not_here_refuses_its_promotion() -> None:
    said = refused(Verb.PROMOTE, machine=with_trial(MISSING, WAITS, of_old=(WAITS,)))
    assert said == (
        "New in the patched system: /etc/fstab mounts /dev/disk/by-id/virtio-TWIN-part1 at /backup, "
        "which this machine does not have."
    )


def test_what_both_systems_name_or_what_is_no_name_refuses_no_promotion() -> None:
    another = trouble.boots_another("/dev/mapper/vg0-root--tb1", "/dev/mapper/vg0-root")
    assert plan(Verb.PROMOTE, machine=with_trial(MISSING, another, of_old=(MISSING,))).steps
    assert plan(Verb.ROLLBACK, view(BootState.TRIAL), machine=with_trial(MISSING)).steps
