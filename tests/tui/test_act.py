"""Promote, keep, roll back, retire: nothing is sent before the machine's own characters are typed."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.plan import Loss, Request, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine

DRIFT = "The old system has run since the snapshot: rehearse again."


def ready(engine: FakeEngine, result: Result = Result.PASS, migrated: bool = False) -> None:
    engine.script[m.GetRecord] = lambda say: m.RecordOf(
        run="tb1", verdict=story.verdict(result, migrated), text=""
    )
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=story.plan(engine.machine, say.request), command_line=f"twinboot {say.request.verb.value} tb1"
    )
    engine.script[m.Start] = lambda say: m.Accepted(run="tb1")
    engine.status = replace(
        engine.status,
        fallback="Previous system boots by itself; a hang needs one reset.",
        standing=story.standing(),
    )


async def type_last4(here: Desk) -> None:
    await here.press("0", "0", "0", "1", "enter")


async def test_promotion_shows_every_write_and_what_a_power_cut_leaves(engine: FakeEngine) -> None:
    ready(engine, migrated=True)
    async with desk(engine, size=(80, 50)) as here:
        await here.press("p")
        await here.sees("Promote tb1", "6 writes", "1  add srv-tb1-safety", "<- the switch")
        await here.sees(
            "power cut up to here: the machine boots as it did before",
            "power cut up to here: The old system boots",
            "power cut up to here: The old or the new system boots",
        )
        await here.sees(
            f"It starts well when it reaches {engine.machine.systems[0].default_target}",
            "Fallback: Previous system boots by itself",
        )
        await here.sees(
            "2 NOT TESTED", "wrote 3.2 MiB to /srv", "last 4 characters of LAB-0001", "twinboot promote tb1"
        )
        await here.sees("If it does not start well", "- With one reset: a hang before any program")
        assert here.text.count("power cut up to here") == 3
    assert engine.said(m.Start, m.Approve) == []


async def test_promotion_starts_and_passes_its_own_gate_once(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await here.press("9", "9", "9", "9", "enter")
        await here.sees('"9999" is not what was asked for')
        assert engine.said(m.Start) == []
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
        plan = engine.said(m.Start)[0].plan
        view = m.RunView(run="tb1", verb="promote", title="Promotion tb1", plan=plan, started=time.time())
        engine.status = replace(engine.status, running=view)
        steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
        engine.push(e.RunStarted(run="tb1", title="Promotion tb1", steps=steps, at=time.time()))
        waiting = replace(view, gate="confirm", gate_sentence="Boot this machine from tb1?")
        engine.status = replace(engine.status, running=waiting)
        engine.push(e.Waiting(run="tb1", gate="confirm", sentence="Boot this machine from tb1?"))
        await here.until(lambda: bool(engine.said(m.Approve)), "the approval")
        engine.push(e.RunFinished(run="tb1", outcome="done", at=time.time()))
        engine.status = replace(
            engine.status, running=replace(view, finished=True), next_boot="tb1, once, on trial"
        )
        await here.sees("Armed: this machine restarts", "any key stops this")
        await here.press("x")
        await here.sees("Armed: the next boot tries it once", "tb1, once, on trial", "restart was stopped")
        await here.press("q")
        await here.sees("Armed: restart now")
        await here.press("r", "y", "e", "s", "enter")
        await here.sees("The machine is going down.")
    want = Request(verb=Verb.PROMOTE, run="tb1")
    assert engine.said(m.MakePlan) == [m.MakePlan(request=want)]
    assert engine.said(m.Approve) == [m.Approve(run="tb1", gate="confirm", typed="0001")]
    assert engine.said(m.Power) == [m.Power(act="reboot")]


async def test_a_gate_nobody_confirmed_here_asks_for_the_machines_characters(engine: FakeEngine) -> None:
    ready(engine)
    plan = story.plan(engine.machine, Request(verb=Verb.PROMOTE, run="tb1"))
    view = m.RunView(run="tb1", verb="promote", title="Promotion tb1", plan=plan, started=time.time())
    engine.status = replace(
        engine.status, running=replace(view, gate="confirm", gate_sentence="Boot from tb1?")
    )
    async with desk(engine) as here:
        await here.press("r")
        await here.sees("WAITING FOR YOU")
        await here.press("g")
        await here.sees("type the last 4 characters of LAB-0001")
        await here.press("y", "e", "s", "enter")
        await here.sees("Nothing was done")
        assert engine.said(m.Approve) == []
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Approve)), "the approval")
    assert engine.said(m.Approve) == [m.Approve(run="tb1", gate="confirm", typed="0001")]


async def test_a_bad_verdict_is_refused_and_forced_only_knowingly(engine: FakeEngine) -> None:
    ready(engine, Result.FAIL)
    plan = engine.script[m.MakePlan]

    def refuse(say: m.MakePlan) -> m.AnyReply:
        if not say.request.force_bad:
            raise Refused(("The verdict of tb1 is FAIL (service ledger).",))
        return plan(say)

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("The verdict of tb1 is FAIL", "F7 or Ctrl+F plans the promotion all the same")
        await here.press("f7")
        await here.sees("last 4 characters", "[!] WORSE: service ledger")
    assert [c.request.force_bad for c in engine.said(m.MakePlan)] == [False, True]
    assert engine.said(m.Start) == []


async def test_drift_of_the_old_system_refuses_and_offers_no_force(engine: FakeEngine) -> None:
    ready(engine)

    def refuse(say: m.MakePlan) -> m.AnyReply:
        raise Refused((DRIFT,))

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("p")
        await here.sees(DRIFT)
        assert "F7" not in here.text
        await here.press("f7")
    assert len(engine.said(m.MakePlan)) == 1


@pytest.mark.parametrize(
    ("state", "key", "verb", "writes"),
    [
        (State.ARMED, "r", Verb.ROLLBACK, "1 write, in this order"),
        (State.TRIAL, "k", Verb.KEEP, "1 write, in this order"),
        (State.SEALED, "d", Verb.RETIRE, "4 writes, in this order"),
    ],
)
async def test_each_act_on_the_boot_page_is_planned_shown_and_typed(
    engine: FakeEngine, state: State, key: str, verb: Verb, writes: str
) -> None:
    ready(engine)
    engine.status = replace(engine.status, lineage=story.lineage(state))
    async with desk(engine) as here:
        await here.press("b", "down")
        await here.sees("Selected: tb1-trial")
        await here.press(key)
        if verb is Verb.KEEP:
            await here.sees("Offer the old system for deletion on")
            await here.press("x", "enter")
            await here.sees('"x" is no date')
            await here.press("backspace", *"2027", "minus", *"01", "minus", *"31", "enter")
        await here.sees(writes, "last 4 characters of LAB-0001")
        assert engine.said(m.Start) == []
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
    request = engine.said(m.MakePlan)[0].request
    assert request == Request(verb=verb, run="tb1", retire_on="2027-01-31" if verb is Verb.KEEP else "")


async def test_rolling_back_names_what_is_left_behind(engine: FakeEngine) -> None:
    ready(engine)
    losses = (
        Loss(
            where="the system (vg0/root-tb1)", bytes=5 << 20, paths=tuple(f"/home/ann/{n}" for n in range(11))
        ),
        Loss(
            where="/srv",
            bytes=70 << 20,
            paths=("+/srv/pg/PG_VERSION",),
            databases=("/srv/pg",),
            safety="vg0/srv-tb1-safety",
        ),
        Loss(where="/data", note="could not be read: no such device"),
    )
    engine.status = replace(engine.status, lineage=story.lineage(State.KEPT))
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=replace(story.plan(engine.machine, say.request), losses=losses)
    )
    async with desk(engine, size=(80, 50)) as here:
        await here.press("b", "down", "r")
        await here.sees("Written since the trial began", "the system (vg0/root-tb1): about 5.0 MiB")
        await here.sees("/home/ann/7", "and 3 more", "/srv: about 70.0 MiB", "A data base lies in /srv/pg")
        await here.sees("As it was before the trial: vg0/srv-tb1-safety", "/data: could not be read")
        losses = ()
        await here.press("escape", "r")
        await here.sees("Nothing: the trial has not run")
    assert engine.said(m.Start) == []


async def test_data_goes_back_as_well_when_it_is_chosen_and_typed(engine: FakeEngine) -> None:
    ready(engine)
    engine.status = replace(engine.status, lineage=story.lineage(State.KEPT))
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=replace(
            story.plan(engine.machine, say.request), losses=story.losses("tb1", say.request.with_data)
        )
    )
    async with desk(engine, size=(80, 50)) as here:
        await here.press("b", "down", "r")
        await here.sees("(*) the system only", "( ) the system and its data", "1 write, in this order")
        await here.sees("the old program may not read what the new", "F9 or Ctrl+G")
        await here.press("0", "0", "0", "f9")
        await here.sees("(*) the system and its data", "3 writes, in this order", "it goes back as well")
        await here.sees("Taken away from /srv, and kept in vg0/srv-tb1-undone")
        await here.press("1", "enter")
        await here.sees('"1" is not what was asked for')
        assert engine.said(m.Start) == []
        await here.press("ctrl+g")
        await here.sees("(*) the system only")
        await here.press("f9")
        await here.sees("(*) the system and its data")
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
    want = Request(verb=Verb.ROLLBACK, run="tb1")
    with_data = replace(want, with_data=True)
    assert [c.request for c in engine.said(m.MakePlan)] == [want, with_data, want, with_data]
    assert engine.said(m.Start)[0].plan.request == with_data


async def test_data_that_cannot_go_back_is_refused_and_the_system_still_can(engine: FakeEngine) -> None:
    ready(engine)
    engine.status = replace(engine.status, lineage=story.lineage(State.KEPT))
    plan = engine.script[m.MakePlan]

    def refuse(say: m.MakePlan) -> m.AnyReply:
        if say.request.with_data:
            raise Refused(
                ("There is no safety snapshot vg0/srv-tb1-safety of vg0/srv.", "vg0/srv is in use.")
            )
        return plan(say)

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("b", "down", "r")
        await here.sees("(*) the system only")
        await here.press("f9")
        await here.sees("There is no safety snapshot", "vg0/srv is in use.", "(*) the system and its data")
        await here.press("f9")
        await here.sees("(*) the system only", "last 4 characters")
    assert engine.said(m.Start) == []


async def test_where_there_is_no_data_nothing_is_to_be_chosen(engine: FakeEngine) -> None:
    ready(engine)
    engine.status = replace(engine.status, lineage=story.lineage(State.KEPT))
    bare = replace(story.names("tb1"), data_safety=())
    engine.script[m.MakePlan] = lambda say: m.Planned(
        plan=replace(story.plan(engine.machine, say.request), names=bare)
    )
    async with desk(engine) as here:
        await here.press("b", "down", "r")
        await here.sees("last 4 characters")
        assert "What goes back" not in here.text and "F9" not in here.text
        await here.press("f9")
        await here.press("escape", "d")
        await here.sees("Retire tb1")
        await here.press("f9")
    assert not any(c.request.with_data for c in engine.said(m.MakePlan))


async def test_the_boot_page_offers_only_what_fits_the_state(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("b")
        await here.sees("Selected: tb1-trial", "P promote", "D retire (delete)")
        assert "K keep" not in here.text
        await here.press("up")
        await here.sees("Selected: root")
        assert "roll back" not in here.text.splitlines()[-3] + here.text.splitlines()[-2]
        await here.press("p", "d", "down")
        await here.sees("P promote")
        await here.press("k", "r")
    assert engine.said(m.MakePlan) == []


async def test_keys_and_escape_on_the_promotion_page_change_nothing(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await here.press("down", "pagedown", "pageup", "question_mark")
        await here.sees("Help: promote")
        await here.press("escape", "escape")
        await here.sees("What this machine can start")
    assert engine.said(m.Start, m.Approve, m.Power) == []


async def test_what_was_typed_opens_the_gate_of_that_plan_only(engine: FakeEngine) -> None:
    """The promotion fails before its gate; another act on the same run asks its own question."""
    ready(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
        other = story.plan(engine.machine, Request(verb=Verb.RETIRE, run="tb1"))
        view = m.RunView(run="tb1", verb="retire", title="Retire tb1", plan=other, started=time.time())
        engine.status = replace(
            engine.status, running=replace(view, gate="confirm", gate_sentence="Delete its volumes?")
        )
        here.app.link.refresh()
        await here.sees("WAITING FOR YOU", "Delete its volumes?")
        await here.pilot.pause(0.3)
        assert engine.said(m.Approve) == []


async def test_a_run_that_failed_while_nobody_watched_is_said_at_home(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        engine.push(*(replace(event, at=time.time()) for event in story.failure("tb1")))
        await here.sees("stopped (SPACE-01): R shows why", "[!2]")
        await here.press("r")
        await here.sees("[X] STOPPED", "SPACE-01")
