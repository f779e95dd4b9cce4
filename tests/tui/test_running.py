"""A run while it goes on: what is seen, left, come back to, waited at, cancelled, failed."""

from __future__ import annotations

import time

from msgspec.structs import replace

from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from tests.tui import story
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tui.pace import Pace


def begin(engine: FakeEngine, kind: PatchKind = PatchKind.SECURITY, until: str = "") -> Plan:
    """Let a rehearsal be at the step `until`, with its events already told."""
    plan = story.plan(engine.machine, Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=kind)))
    view = m.RunView(run="tb1", verb="rehearse", title="Rehearsal tb1", plan=plan, started=time.time() - 60)
    engine.status = replace(engine.status, running=view)
    said = story.rehearsal_events(plan, until=until)
    engine.push(*(replace(event, at=view.started if n == 0 else time.time()) for n, event in enumerate(said)))
    return plan


async def watch(here: Desk) -> None:
    await here.press("r")
    await here.sees("--- Steps")


async def test_steps_progress_gauges_and_the_twins_lines_are_shown(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    engine.push(
        e.StepStarted(run="tb1", step="patched", title="Patched boot", number=7, total=12, at=time.time()),
        e.Progress(run="tb1", step="patched", done=87, total=189, unit="packages"),
    )
    async with desk(engine) as here:
        await watch(here)
        await here.sees(
            "Step 7 of 12  Patched boot", "[ok]  6 Install pending", "[>>]  7 Patched boot", "[  ]  8"
        )
        await here.sees("Packages        87 of 189", "Pool used       15 %", "update-initramfs: Generating")
        await here.sees("elapsed 1 min", "It is safe to leave this page")
        assert "\x1b" not in here.text and "[0;32m" not in here.text


async def test_a_copy_says_how_far_it_is_and_how_fast(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    engine.push(
        e.StepStarted(run="tb1", step="patched", title="Patched boot", number=7, total=12, at=time.time()),
        e.Progress(run="tb1", step="patched", done=512.25, total=900.5, unit="MiB", rate=12.34),
    )
    async with desk(engine) as here:
        await watch(here)
        await here.sees("MiB             512 of 900, 12.3/s")


async def test_the_bar_counts_weights_and_time_left_is_said_only_when_known(engine: FakeEngine) -> None:
    begin(engine, until="evidence")
    async with desk(engine) as here:
        await watch(here)
        await here.sees("  1%")
        assert " left" not in here.text
        engine.push(e.StepFinished(run="tb1", step="control", seconds=150))
        engine.push(
            e.StepStarted(run="tb1", step="patch", title="Install", number=6, total=12, at=time.time())
        )
        await here.sees("Step 6 of 12", " 27%", "left")


async def test_leaving_and_coming_back_loses_nothing(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await watch(here)
        await here.press("escape")
        await here.sees("Rehearsal tb1: security updates is going on: R shows it")
        engine.push(e.Line(run="tb1", source="vm", text="said while away"))
        await watch(here)
        await here.sees("said while away", "[ok]  6")
    assert engine.said(m.Cancel) == []


async def test_a_console_that_starts_during_a_run_shows_it(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await here.sees("--- Steps", "[ok]  6 Install")
        await here.press("escape")
        await here.sees("What this machine can start")


async def test_who_went_on_from_the_run_before_the_console_looked_stays_there(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        begin(engine, until="patched")
        here.app.open_running()
        here.app.open_log()
        here.app.link.refresh()
        await here.until(lambda: here.app.board.status.running is not None, "the status")
        await here.pilot.pause(0.3)
        await here.sees("Show [all]")
        await here.press("escape")
        await here.sees("--- Steps")


async def test_what_an_act_could_not_do_stands_beside_its_result(engine: FakeEngine) -> None:
    plan = story.plan(engine.machine, Request(verb=Verb.ROLLBACK, run="tb1", with_data=True))
    view = m.RunView(run="tb1", verb="rollback", title="Roll back tb1", plan=plan, started=time.time())
    engine.status = replace(engine.status, running=view)
    steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
    async with desk(engine) as here:
        await watch(here)
        engine.push(
            e.RunStarted(run="tb1", title="Roll back tb1", steps=steps, at=time.time()),
            e.Line(run="tb1", source="log", level="warn", text="a command was slow"),
            e.Line(run="tb1", source="run", level="warn", text="/srv was NOT put back, as data was written."),
            e.RunFinished(run="tb1", outcome="done", at=time.time()),
        )
        await here.sees("Rolled back: the old system boots", "[!] /srv was NOT put back")
        assert "[!] a command was slow" not in here.text


async def test_cancel_asks_and_a_bare_key_cancels_nothing(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await watch(here)
        await here.press("c")
        await here.sees("Cancel Rehearsal tb1", "type yes")
        await here.press("c", "enter")
        await here.sees("Nothing was done")
        assert engine.said(m.Cancel) == []
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Cancel)), "the cancel")
        engine.push(
            e.Failed(run="tb1", code="CANCEL-01", what="The run was cancelled.", safe="Removed."),
            e.RunFinished(run="tb1", outcome="failed", at=time.time()),
        )
        await here.sees("Cancelled")
        assert "[X] STOPPED" not in here.text
    assert engine.said(m.Cancel) == [m.Cancel(run="tb1")]


async def test_a_gate_says_what_it_waits_for_and_goes_on_when_yes_is_typed(engine: FakeEngine) -> None:
    plan = begin(engine, kind=PatchKind.BY_HAND)
    view = engine.status.running
    assert view is not None
    engine.status = replace(
        engine.status, running=replace(view, gate="by-hand", gate_sentence="Work in the twin.")
    )
    async with desk(engine) as here:
        await watch(here)
        await here.sees("WAITING FOR YOU", "Work in the twin", "[??]  6", "G go on")
        await here.press("g")
        await here.sees("type yes")
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Approve)), "the approval")
        engine.status = replace(engine.status, running=view)
        steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
        engine.push(e.RunStarted(run="tb1", title="Rehearsal tb1", steps=steps, at=time.time()))
        engine.push(e.StepStarted(run="tb1", step="patched", title="Patched boot", number=7, total=12))
        await here.sees("Step 7 of 12", "[ok]  6", "[ok]  5")
    assert engine.said(m.Approve) == [m.Approve(run="tb1", gate="by-hand", typed="yes")]


async def test_a_failed_run_says_why_and_stays_until_read(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await watch(here)
        engine.push(e.StepStarted(run="tb1", step="patched", title="Patched boot", number=7, total=12))
        engine.push(*story.failure("tb1"))
        await here.sees("[X] STOPPED at step 7 of 12", "SPACE-01", "full to 81%", "was not changed")
        await here.sees("1  Give the pool 2 GiB more, then rehearse again.   <- suggested", "2  Retire")
        await here.press("enter")
        await here.sees("STOPPED  Rehearsal tb1", "E shows what is safe")
        assert "read the verdict" not in here.text
        await here.press("e")
        await here.sees("[X] STOPPED at step 7")


async def test_a_finished_rehearsal_leads_to_its_verdict(engine: FakeEngine) -> None:
    begin(engine)
    engine.push(*(replace(event, at=time.time()) for event in story.ending("tb1")))
    engine.script[m.GetRecord] = lambda say: m.RecordOf(run="tb1", verdict=story.verdict(), text="")
    async with desk(engine) as here:
        await watch(here)
        await here.sees("Finished", "PASS, 7 of 9 services could be tested", "100%")
        await here.press("v")
        await here.sees("service smartd", "NOT TESTED")


async def test_a_client_that_comes_later_sees_the_same_run(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine, client="tty1") as first, desk(engine, client="ttyS0") as second:
        for here in (first, second):
            await watch(here)
            await here.sees("[ok]  6 Install", "Pool used       15 %")


async def test_a_run_known_only_from_status_shows_its_plan_and_gate(engine: FakeEngine) -> None:
    """After a restart of the appliance the events are gone; the waiting run is not."""
    begin(engine, kind=PatchKind.BY_HAND)
    engine.events.clear()
    view = engine.status.running
    assert view is not None
    waiting = replace(view, gate="by-hand", gate_sentence="Work in the twin, then approve.")
    engine.status = replace(engine.status, running=waiting, last_seq=0)
    async with desk(engine) as here:
        await watch(here)
        await here.sees(
            "WAITING FOR YOU", "[ok]  5 Control boot", "[??]  6 Work in the twin", "then approve."
        )


async def test_on_a_slow_machine_lines_wait_and_the_next_step_does_not(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await watch(here)
        here.app.pace = Pace(share=1e-9)
        await here.until(lambda: not here.app.pace.due(), "the first page at that pace")
        engine.push(e.Line(run="tb1", source="vm", at=time.time(), text="a line that can wait"))
        await here.pilot.pause(0.5)
        assert "a line that can wait" not in here.text
        engine.push(
            e.StepStarted(run="tb1", step="patched", title="Patched", number=7, total=12, at=time.time())
        )
        await here.sees("Step 7 of 12", "a line that can wait")


async def test_home_offers_to_watch_a_run_and_to_look_at_one_that_is_over(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    async with desk(engine) as here:
        await watch(here)
        await here.press("escape")
        await here.sees("R watch the run")
        engine.status = replace(engine.status, running=None)
        engine.push(*story.ending("tb1"))
        await here.sees("R last run")
        assert "watch the run" not in here.text
        await watch(here)


async def test_before_the_first_step_has_begun_the_list_begins_with_it(engine: FakeEngine) -> None:
    plan = begin(engine, until="evidence")
    steps = tuple((step.id, step.title, step.weight) for step in plan.steps)
    engine.push(e.RunStarted(run="tb2", at=time.time(), title="Rehearsal tb2", steps=steps))
    async with desk(engine) as here:
        await watch(here)
        await here.sees("Step 1 of 12", "[  ]  1 Check space")
        assert "12 " not in here.text.partition("--- Steps")[2].partition("--- Log")[0]
