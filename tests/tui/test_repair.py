"""A system that does not boot: from the error, or from Home, to a repair of a copy, by keys alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.errors import Refused, TwinFailed
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import RepairKind, Request, Verb
from appliance.workflow.steps.boots import REPAIR
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_plain import script
from tests.tui.test_rehearse import planning
from tui.repairs import ATTEMPTS, broken, known

SYSTEM = "/dev/mapper/vg0-root"
DEAD = "The twin does not boot: its kernel panics (VFS: Unable to mount root fs)."
FAILED = Node(
    volume="(tb1: removed)", state=State.FAILED, run="tb1", made=2.0, finding=f"{DEAD} It last said: panic"
)


def failed_control(engine: FakeEngine) -> None:
    """A rehearsal whose control boot failed, while somebody watched."""
    plan = story.plan(engine.machine, Request(verb=Verb.REHEARSE))
    view = m.RunView(run="tb1", verb="rehearse", title="Rehearsal tb1", plan=plan, started=1.0)
    engine.status = replace(engine.status, running=view)
    error = TwinFailed(DEAD, next_actions=REPAIR)
    engine.push(
        e.RunStarted(
            run="tb1", title="Rehearsal tb1", steps=tuple((s.id, s.title, s.weight) for s in plan.steps)
        ),
        e.StepStarted(run="tb1", step="control", title="Control boot", number=5, total=12),
        e.Failed(
            run="tb1", code=error.code, what=error.what, safe=error.safe, next_actions=error.next_actions
        ),
        e.RunFinished(run="tb1", outcome="failed"),
    )


async def test_the_error_of_a_failed_control_boot_leads_to_the_repairs(engine: FakeEngine) -> None:
    planning(engine)
    failed_control(engine)
    engine.status = replace(engine.status, lineage=Lineage(nodes=(*story.lineage(None).nodes, FAILED)))
    async with desk(engine) as here:
        await here.press("r")
        await here.sees("[X] STOPPED at step 5 of 12, Control boot", "its kernel panics", "<- suggested")
        assert "1  Repair a copy of it (X on the console" in here.text
        assert "X repair a copy" in here.text
        await here.press("x")
        await here.sees(
            "What is known of the failure", "tb1: The twin does not boot", "> 1  Build the initrd"
        )
        await here.press("enter")
        await here.sees("nothing stands in the way", "Boot the copy as it is, to see how it fails")
        assert engine.said(m.Start) == []
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
    want = Request(verb=Verb.REPAIR, system=SYSTEM, repair=RepairKind.INITRD)
    assert engine.said(m.MakePlan) == [m.MakePlan(request=want)]
    assert engine.said(m.Start) == [m.Start(plan=story.plan(engine.machine, want))]


@pytest.mark.parametrize(("downs", "attempt"), list(enumerate(ATTEMPTS)))
async def test_each_attempt_is_asked_for_as_chosen(engine: FakeEngine, downs: int, attempt: object) -> None:
    planning(engine)
    kind = ATTEMPTS[downs].kind
    async with desk(engine) as here:
        await here.press("x")
        await here.sees("No boot in the twin has failed here yet.", "the original stays as it is")
        await here.press(*["down"] * downs)
        await here.sees(f"> {downs + 1}  {ATTEMPTS[downs].title}")
        if ATTEMPTS[downs].watchable:
            await here.press("w")
            await here.sees("[ ] boot the copy as it is first")
        else:
            assert "boot the copy as it is first" not in here.text
        await here.press("enter")
        await here.sees("nothing stands in the way")
    request = engine.said(m.MakePlan)[0].request
    assert (request.verb, request.repair, request.system) == (Verb.REPAIR, kind, SYSTEM)
    assert request.watch is not ATTEMPTS[downs].watchable


async def test_every_refusal_is_shown_and_nothing_is_started(engine: FakeEngine) -> None:
    def refuse(say: m.MakePlan) -> m.Planned:
        raise Refused(("There is only one kernel in /boot: no older one to boot.", "The pool is 96% full."))

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("x", "down", "enter")
        await here.sees("2 reasons, code REFUSED-01", "only one kernel", "96% full")
        await here.press("y", "e", "s", "enter", "escape")
        await here.sees("What shall be tried on a copy?")
    assert engine.said(m.Start) == []


async def test_a_machine_without_system_or_kvm_says_so(engine: FakeEngine) -> None:
    planning(engine)
    slow = replace(engine.machine, kvm=False)
    engine.status = replace(engine.status, machine=slow)
    async with desk(engine) as here:
        await here.press("x")
        await here.sees("[ ] emulate the twin")
        await here.press("e", "enter")
        await here.sees("nothing stands in the way")
        engine.status = replace(engine.status, machine=replace(slow, systems=()))
        await here.press("escape", "escape", "i")
        await here.sees("The machine was read again.")
    assert engine.said(m.MakePlan)[0].request.emulate


async def test_an_error_that_names_no_repair_offers_none(engine: FakeEngine) -> None:
    engine.push(*story.failure("tb1"))
    async with desk(engine) as here:
        await here.press("r")
        await here.sees("[X] STOPPED")
        assert "repair" not in here.text
        await here.press("x")
        await here.sees("[X] STOPPED")


def test_the_newest_finding_is_what_is_known() -> None:
    older = replace(FAILED, run="tb0", made=1.0, finding="It was slow.")
    found = Lineage(nodes=(FAILED, older, Node(volume="root", state=None)))
    assert broken(found) == FAILED and known(found).startswith("tb1: The twin does not boot")
    assert broken(None) is None and "has failed here yet" in known(Lineage())


async def test_the_line_mode_repairs_too(engine: FakeEngine) -> None:
    planning(engine)
    engine.status = replace(engine.status, lineage=Lineage(nodes=(FAILED,)))
    status, said = await script(engine, "repair", "fsck", "", "quit")
    assert status == 0
    assert "tb1: The twin does not boot" in said and "e2fsck -f -y" in said and "Nothing was done." in said
    request = engine.said(m.MakePlan)[0].request
    assert (request.verb, request.repair, request.watch) == (Verb.REPAIR, RepairKind.FSCK, True)
    assert engine.said(m.Start) == []
