"""Every act by its name, from any page; nothing is changed by choosing one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.model import messages as m
from appliance.model import service_messages as sm
from appliance.model.lineage import State
from appliance.model.plan import Request, Verb
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_act import ready
from tui.commands import commands
from tui.screens.home import Home
from tui.screens.services import OFFERS

CHANGING = (m.Start, m.Approve, m.Cancel, m.Power)


async def test_a_few_letters_and_enter_open_what_was_meant(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here:
        await here.press("l", "colon")
        await here.sees("Acts by name", "> source", "on this page, log", "patch a twin of this machine")
        await here.press(*"prom", "space", *"tb")
        await here.sees("> promote tb1", "let the next boot try it, once", "1 act")
        await here.press("enter")
        await here.sees("Promote tb1", "last 4 characters")
        assert engine.said(m.MakePlan) == [m.MakePlan(request=Request(verb=Verb.PROMOTE, run="tb1"))]
    assert engine.said(*CHANGING) == []


async def test_arrows_select_and_escape_changes_nothing(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("ctrl+p")
        await here.sees("> new rehearsal")
        await here.press("down", "down", "up", *"zzz")
        await here.sees("0 acts")
        await here.press("enter")
        await here.sees("Nothing has that name.")
        await here.press("escape")
        await here.sees("What this machine can start")
        await here.press(
            "b", "colon", *"history", "escape", "escape", "colon", *"new", "space", *"reh", "enter"
        )
        await here.sees("What shall the twin get?")


@pytest.mark.parametrize("state", [State.SEALED, State.ARMED, State.TRIAL, State.KEPT])
async def test_every_act_of_home_of_the_appliance_and_on_each_run_has_its_name(
    engine: FakeEngine, state: State
) -> None:
    engine.status = replace(engine.status, lineage=story.lineage(state))
    async with desk(engine) as here:
        home = here.app.screen
        assert isinstance(home, Home)
        names = {command.name for command in commands(here.app, home)}
        shown = {
            b.description
            for b in Home.BINDINGS
            if home.check_action(b.action, ()) and b.action not in ("back", "choose")
        }
        assert shown <= names
        assert {title.casefold() for _, _, title, _ in OFFERS} <= names
        wanted = {
            State.SEALED: {"promote tb1", "retire tb1"},
            State.ARMED: {"roll back tb1"},
            State.TRIAL: {"roll back tb1", "keep tb1", "retire tb1"},
            State.KEPT: {"roll back tb1", "retire tb1"},
        }[state]
        assert {n for n in names if n.endswith("tb1") and not n.startswith("verdict")} == wanted
        assert "undo everything" in names and "verdict tb1" in names


async def test_a_page_of_the_appliance_opens_by_name(engine: FakeEngine) -> None:
    engine.script[sm.GetPlanFiles] = lambda say: sm.PlanFiles(folder="/plans", stick=True)
    async with desk(engine) as here:
        await here.press("v", "colon", *"plan", "space", *"fi", "enter")
        await here.sees("Plan files on the stick", "no plan files")


async def test_in_a_field_the_colon_is_a_character(engine: FakeEngine) -> None:
    ready(engine)
    async with desk(engine) as here:
        await here.press("p")
        await here.sees("last 4 characters")
        await here.press("colon")
        await here.pilot.pause(0.1)
        assert "Acts by name" not in here.text
        await here.press("ctrl+p")
        await here.pilot.pause(0.1)
        assert "Acts by name" not in here.text, "half-typed confirmation is not left"
