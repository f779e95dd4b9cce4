"""Boot and roll back: entries, history and space are told; undo is planned, shown and typed."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.plan import Request, Verb
from appliance.model.standing import PoolRate, Standing
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_act import ready, type_last4

READS = (m.Hello, m.Inspect, m.GetStatus, m.Follow)


def standing(engine: FakeEngine, state: State | None = State.ARMED) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(state), standing=story.standing())


async def test_entries_history_and_space_have_their_views(engine: FakeEngine) -> None:
    standing(engine)
    async with desk(engine) as here:
        await here.press("b")
        await here.sees("[1 volumes 2]", "2 entries 3", "U undo everything")
        await here.press("tab")
        await here.sees("[2 entries 3]", "The loader finds: tb1 is armed: one try.")
        await here.sees("> * Trial of tb1", "6.1.0-51-amd64   TRIAL, one try", "= Previous system")
        await here.sees("/dev/mapper/vg0-tb1--trial, kernel 6.1.0-51-amd64, made by Twinboot")
        await here.sees("Debian GNU/Linux", "the loader's default", "as the boot loader reads it")
        await here.press("3")
        await here.sees("promote   failed: BOOT-01 no room", "tb1   rehearse  done")
        await here.press("4")
        await here.sees(
            "8.0 GiB of 20.0 GiB used (40%)", "Days left: 24, at 512.0 MiB a", "over the last 6 days"
        )
        await here.press("p", "r", "k", "d")
        assert "P promote" not in here.text
        await here.press("1", "down")
        await here.sees("Selected: tb1-trial", "R  boot the old system again")
    assert engine.said(*READS) == engine.calls, "nothing but reading was asked"


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (PoolRate(pool="vg0/pool", size=100, used=50), "Days left: unknown"),
        (PoolRate(pool="vg0/pool", size=100, used=50, per_day=-1, seconds=86400), "it did not grow"),
        (
            PoolRate(pool="vg0/pool", size=100, used=99, per_day=90, seconds=86400, days=0.5),
            "less than a day",
        ),
    ],
)
async def test_what_is_not_known_of_the_space_is_not_guessed(
    engine: FakeEngine, pool: PoolRate, said: str
) -> None:
    engine.status = replace(engine.status, standing=Standing(pools=(pool,)))
    async with desk(engine) as here:
        await here.press("b", "4")
        await here.sees(said)
        await here.press("3")
        await here.sees("Nothing was done to this machine yet.")
        await here.press("2")
        await here.sees("could not be read")


async def test_a_wide_screen_shows_it_all_side_by_side(engine: FakeEngine) -> None:
    standing(engine)
    async with desk(engine, size=(132, 43)) as here:
        await here.press("b")
        await here.sees("Entries as the loader reads them", "--- Space", "--- History", "BOOT-01 no room")
        await here.press("down")
        await here.sees("> ", "Selected: tb1-trial")


async def test_undo_everything_is_planned_shown_typed_and_said(engine: FakeEngine) -> None:
    ready(engine)
    standing(engine)
    async with desk(engine) as here:
        await here.press("b", "u")
        await here.sees("Undo everything: delete all that Twinboot made", "1 write, in this order")
        await here.sees("To UNDO, type the last 4 characters of LAB-0001", "boots what it booted before")
        await here.press("y", "e", "s", "enter")
        await here.sees("Nothing was done")
        assert engine.said(m.Start) == []
        await type_last4(here)
        await here.until(lambda: bool(engine.said(m.Start)), "the start")
        plan = engine.said(m.Start)[0].plan
        steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
        view = m.RunView(run="tb1", verb="undo", title="Undo everything", plan=plan, started=time.time())
        engine.status = replace(engine.status, running=replace(view, finished=True))
        engine.push(
            e.RunStarted(run="tb1", title="Undo everything", steps=steps, at=time.time()),
            e.RunFinished(run="tb1", outcome="done", at=time.time()),
        )
        await here.sees("Undone: nothing of Twinboot is left")
    assert engine.said(m.MakePlan) == [m.MakePlan(request=Request(verb=Verb.UNDO))]


async def test_undo_on_a_kept_machine_is_refused_with_the_way(engine: FakeEngine) -> None:
    ready(engine)
    standing(engine, State.KEPT)

    def refuse(say: m.MakePlan) -> m.AnyReply:
        raise Refused(
            ("tb1 is kept, so this machine boots from it: roll it back, or retire the old system.",)
        )

    engine.script[m.MakePlan] = refuse
    async with desk(engine) as here:
        await here.press("b", "u")
        await here.sees(
            "1 reason, code REFUSED-01", "tb1 is kept, so this machine boots from it: roll it back"
        )
    assert engine.said(m.Start) == []


async def test_an_untouched_machine_has_nothing_to_undo(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(None))
    async with desk(engine) as here:
        await here.press("b", "u")
        await here.sees("[1 volumes 1]")
        assert "undo everything" not in here.text
    assert engine.said(m.MakePlan) == []
