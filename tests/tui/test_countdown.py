"""After arming: the restart counts down on the terminal that confirmed it, and any key stops it."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.plan import Request, Verb
from tests.tui import story
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tests.tui.test_act import ready, type_last4
from tui.screens.countdown import Countdown


async def promote(here: Desk, engine: FakeEngine, outcome: str = "done") -> None:
    """Confirm a promotion by typing; the engine carries it out."""
    await here.press("p")
    await here.sees("last 4 characters")
    await type_last4(here)
    await here.until(lambda: bool(engine.said(m.Start)), "the start")
    plan = engine.said(m.Start)[0].plan
    view = m.RunView(run="tb1", verb="promote", title="Promotion tb1", plan=plan, started=time.time())
    engine.status = replace(engine.status, running=view)
    steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
    engine.push(e.RunStarted(run="tb1", title="Promotion tb1", steps=steps, at=time.time()))
    await here.sees("--- Steps")
    if outcome == "failed":
        engine.push(e.Failed(run="tb1", code="BOOT-01", what="It does not read back.", safe="Old boots."))
    engine.push(e.RunFinished(run="tb1", outcome=outcome, at=time.time()))
    engine.status = replace(
        engine.status, running=replace(view, finished=True), next_boot="tb1, once, on trial"
    )
    here.app.link.refresh()


async def test_nobody_presses_a_key_and_the_machine_restarts(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.console.Countdown", lambda: Countdown(1))
    ready(engine)
    async with desk(engine) as here:
        await promote(here, engine)
        await here.sees("Restart in 1 second", "tb1, once, on trial")
        await here.sees("The machine is going down.")
    assert engine.said(m.Power) == [m.Power(act="reboot")]


@pytest.mark.parametrize("key", ["r", "enter", "escape", "f10", "question_mark", "ctrl+c"])
async def test_any_key_stops_it_and_does_nothing_else(engine: FakeEngine, key: str) -> None:
    ready(engine)
    async with desk(engine) as here:
        await promote(here, engine)
        await here.sees("any key stops this")
        await here.press(key)
        await here.sees("The restart was stopped.", "Armed: the next boot tries it once")
    assert engine.said(m.Power) == []


async def test_a_promotion_that_failed_or_that_another_confirmed_counts_nothing(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here, desk(engine, client="ttyS0") as other:
        await promote(here, engine, "failed")
        await here.sees("[X] STOPPED", "BOOT-01")
        await other.sees("BOOT-01")
        engine.push(e.RunFinished(run="tb1", outcome="done", at=time.time()))
        other.app.link.refresh()
        await other.pilot.pause(0.3)
        assert "any key stops" not in here.text + other.text
    assert engine.said(m.Power) == []


async def test_a_refused_restart_is_said_and_not_tried_again(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(say: m.Power) -> m.AnyReply:
        raise Refused(("A run is going on: cancel it first.",))

    monkeypatch.setattr("tui.console.Countdown", lambda: Countdown(1))
    ready(engine)
    engine.script[m.Power] = refuse
    async with desk(engine) as here:
        await promote(here, engine)
        await here.sees("[X] NOT DONE", "A run is going on")
        await here.press("enter")
        await here.sees("Armed: the next boot tries it once")
    assert len(engine.said(m.Power)) == 1


def begun(engine: FakeEngine) -> None:
    """A plan file starts a run on the engine; no terminal asked for it."""
    plan = story.plan(engine.machine, Request(verb=Verb.REHEARSE))
    view = m.RunView(run="tb1", verb="rehearse", title="Rehearsal tb1", plan=plan, started=time.time())
    engine.status = replace(engine.status, running=view)
    engine.push(*(replace(x, at=time.time()) for x in story.rehearsal_events(plan, until="patch")))


async def test_a_run_started_elsewhere_comes_to_every_console_once(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("l")
        begun(engine)
        await here.sees("--- Steps", "Step 5 of 12")
        await here.press("escape")
        await here.sees("What this machine can start", "is going on: R shows it")
        here.app.link.refresh()
        await here.pilot.pause(0.3)
        assert "What this machine can start" in here.text


async def test_nobody_is_torn_away_while_typing(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await here.press("0", "0")
        begun(engine)
        await here.until(lambda: here.app.board.run is not None, "the run")
        await here.pilot.pause(0.3)
        assert "last 4 characters" in here.text
        await here.press("backspace", "backspace")
        await here.sees("--- Steps")
    assert engine.said(m.Start, m.Approve) == []


async def test_what_boots_next_is_not_told_from_before_the_promotion(engine: FakeEngine) -> None:
    ready(engine)
    engine.status = replace(engine.status, next_boot="Debian, as installed", fallback="")
    async with desk(engine) as here:
        await promote(here, engine)
        engine.status = replace(engine.status, next_boot="Debian, as installed", outdated=True)
        here.app.link.refresh()
        await here.sees(
            "any key stops this", "Next boot being read again ...", "Fallback  being read again ..."
        )
        engine.status = replace(engine.status, next_boot="tb1, once, on trial", outdated=False)
        here.app.link.refresh()
        await here.sees("tb1, once, on trial")
