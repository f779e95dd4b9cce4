"""A dead engine is a plain sentence and a retry; another terminal in control is a page, not a wall."""

from __future__ import annotations

import time

from msgspec.structs import replace

from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.plan import Request, Verb
from tests.tui import story
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tui.console import Console
from tui.terminal import Mode


async def test_the_engine_dies_and_comes_back_where_one_was(engine: FakeEngine) -> None:
    engine.push(e.Line(source="log", text="before", at=1.0))
    async with desk(engine) as here:
        await here.press("l")
        await here.sees("before")
        await engine.stop()
        await here.sees("[!] The engine")
        begun = time.monotonic()
        await engine.start()
        engine.push(e.Line(source="log", text="after", at=2.0))
        await here.sees("after")
        assert time.monotonic() - begun < 5
        assert here.text.count("before") == 1 and "[!] The engine" not in here.text
        assert "started again" not in here.text


async def test_an_engine_without_its_memory_is_noticed_and_its_new_events_are_read(
    engine: FakeEngine,
) -> None:
    engine.push(*(e.Line(source="log", text=f"old {n}", at=1.0) for n in range(3)))
    async with desk(engine) as here:
        await here.press("l")
        await here.sees("old 2")
        await engine.stop(forget=True)
        engine.push(*(e.Line(source="log", text=f"new {n}", at=2.0) for n in range(5)))
        await engine.start()
        await here.sees("The engine was started again.", "new 0", "new 4", "old 0")


async def test_no_engine_at_all_says_so_and_waits(tmp_path) -> None:
    app = Console("tty1", Mode.BASIC, tmp_path / "nobody.sock", tick=0.05)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
        text = "\n".join("".join(s.text for s in strip) for strip in app.screen._compositor.render_strips())
        assert "The engine does not answer" in text and "Trying again by itself" in text
        await Desk(app, pilot).press("n", "enter", "escape", "p", "v", "i")
        assert app.is_running


async def test_an_act_without_an_engine_is_an_error_panel_that_says_what_is_safe(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await engine.stop()
        await here.sees("[!] The engine")
        await here.press("i")
        await here.sees(
            "ENGINE-01", "Nothing on the installed system was changed.", "started again by itself"
        )
        await here.press("enter")
        await here.sees("What this machine can start")


async def test_an_engine_that_dies_while_asked_leaves_no_half_answer(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        engine.deaf = True
        await here.press("i")
        await here.sees("Reading the disks again ...")
        await here.press("i")
        await engine.stop()
        await here.sees("ENGINE-01")
        engine.deaf = False
        await engine.start()
        await here.press("enter")
        await here.sees("What this machine can start")
        await here.until(lambda: "[!] The engine" not in here.text, "the connection")


async def test_busy_shows_who_and_take_over_is_knowing(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: m.Planned(plan=story.plan(engine.machine, say.request))
    engine.script[m.Start] = lambda say: m.Accepted(run="tb1")
    engine.status = replace(engine.status, operator="ttyS0")
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        await here.press("y", "e", "s", "enter")
        await here.sees("ttyS0 is in control", "What you asked for was not done")
        await here.press("t")
        await here.sees("You are in control.", "type yes")
        assert len(engine.said(m.Start)) == 1, "taking over must not repeat the act by itself"
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: len(engine.said(m.Start)) == 2, "the second start")
    assert engine.status.operator == "tty1"


async def test_a_dead_console_never_cancels_a_run(engine: FakeEngine) -> None:
    plan = story.plan(engine.machine, Request(verb=Verb.REHEARSE))
    engine.push(*story.rehearsal_events(plan, until="patch"))
    for _ in range(3):
        async with desk(engine) as here:
            await here.press("r")
            await here.sees("--- Steps")
    assert engine.said(m.Cancel, m.Start, m.Approve, m.Power) == []
    assert engine.clients == ["tty1"] * 3


async def test_the_log_is_read_while_the_first_status_is_still_worked_out(engine: FakeEngine) -> None:
    """The engine reads all disks for its first status; what it does meanwhile is seen."""
    engine.slow.add(m.GetStatus)
    engine.push(e.Line(source="log", text="read lvs --reportformat json", at=1.0))
    app = Console("tty1", Mode.BASIC, engine.path, tick=0.05)
    async with app.run_test(size=(80, 24)) as pilot:
        here = Desk(app, pilot)
        await here.sees("Reading the machine")
        await here.press("l")
        await here.sees("read lvs --reportformat json")
        engine.answer_slow()
        await here.press("escape")
        await here.sees("serial LAB-0001")


async def test_a_status_older_than_the_events_is_no_restart(engine: FakeEngine) -> None:
    """The engine counts its events before it answers; more of them may overtake the answer."""
    engine.push(*(e.Line(source="log", text=f"line {n}", at=1.0) for n in range(5)))
    engine.status = replace(engine.status, last_seq=2)
    async with desk(engine) as here:
        here.app.link.refresh()
        await here.pilot.pause(0.7)
        await here.press("l")
        await here.sees("line 4")
        assert "started again" not in here.text
