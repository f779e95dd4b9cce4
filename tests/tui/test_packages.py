"""Chosen packages are picked from what is installed: found by letters, marked by Space, or typed."""

from __future__ import annotations

import asyncio

import pytest

from appliance.errors import Busy
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.plan import PatchKind, PatchRequest
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tests.tui.test_rehearse import planning
from tui.screens import packages

ROOT = "/dev/mapper/vg0-root"


async def opened(here: Desk) -> None:
    await here.press("n", *["down"] * 3, "enter")
    await here.sees(
        "Which packages", "304 installed; 2 newer, 1 of them security (apt's lists of 2026-11-18)"
    )


def asked(engine: FakeEngine) -> list[PatchRequest]:
    return [call.request.patch for call in engine.said(m.MakePlan)]


def chosen(*names: str) -> PatchRequest:
    return PatchRequest(kind=PatchKind.PACKAGES, packages=names)


async def test_the_most_urgent_stands_first_and_enter_alone_takes_it(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await opened(here)
        await here.sees("> [ ] openssl", "3.0.15-1~deb12u1", "SECURITY", "HELD", "200 of 304")
        first, second = here.text.index("] openssl"), here.text.index("] ledger")
        assert first < second < here.text.index("] adduser")
        await here.press("end", "up")
        await here.sees("104 more: type more of the name")
        await here.press("home", "enter")
        await here.sees("nothing stands in the way")
    assert asked(engine) == [chosen("openssl")]
    assert engine.said(s.GetPackages) == [s.GetPackages(system=ROOT)]


async def test_letters_filter_space_marks_and_marks_stay_whatever_is_shown(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await opened(here)
        await here.press("down", "space")
        await here.sees("> [x] ledger", "Marked: ledger")
        await here.press(*"e-007")
        await here.sees("> [ ] libmodule-007-perl", "1 of 1")
        await here.press("space")
        await here.sees("Marked: ledger libmodule-007-perl")
        await here.press("space", "space", *["backspace"] * 5)
        await here.sees("200 of 304", "[x] ledger")
        await here.press("enter")
        await here.sees("nothing stands in the way")
        await here.press("escape")
        await here.sees("Chosen packages: ledger libmodule-007-perl")
        await here.press("enter")
        await here.sees("Marked: ledger libmodule-007-perl")
        await here.press("escape")
        await here.sees("Chosen packages: ledger libmodule-007-perl")
    assert asked(engine) == [chosen("ledger", "libmodule-007-perl")]


async def test_other_names_are_typed_beside_those_marked_and_must_be_names(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await opened(here)
        await here.press("space", "end", "enter")
        await here.sees("Package names, with spaces between:")
        await here.press("space", *"-htop", "enter")
        await here.sees("'-htop' is not a package name.")
        assert asked(engine) == []
        await here.press(*["backspace"] * 5, *"htop", "enter")
        await here.sees("nothing stands in the way")
    assert asked(engine) == [chosen("openssl", "htop")]


async def test_where_they_can_not_be_read_names_are_typed(engine: FakeEngine) -> None:
    def busy(say: s.GetPackages) -> m.AnyReply:
        raise Busy("A run is at work on the disks.")

    planning(engine)
    engine.script[s.GetPackages] = busy
    async with desk(engine) as here:
        await here.press("n", *["down"] * 3, "enter")
        await here.sees("A run is at work on the disks. Names can be typed.", "> other names ...")
        await here.press("enter", *"ledger", "enter")
        await here.sees("nothing stands in the way")
    assert asked(engine) == [chosen("ledger")]


async def test_lists_that_are_not_there_or_do_not_read_are_said(engine: FakeEngine) -> None:
    engine.script[s.GetPackages] = lambda say: s.PackageList(installed=2, unread=3)
    async with desk(engine) as here:
        await here.press("n", *["down"] * 3, "enter")
        await here.sees("2 installed; no apt lists here say what is newer; 3 lists not readable.", "0 of 0")


async def test_who_leaves_before_the_answer_gets_on_as_ever(engine: FakeEngine) -> None:
    planning(engine)
    engine.slow.add(s.GetPackages)
    async with desk(engine) as here:
        await here.press("n", *["down"] * 3, "enter")
        await here.sees("The engine reads what is installed")
        await here.press("escape")
        await here.sees("What shall the twin get?")
        engine.answer_slow()
        await asyncio.sleep(0.1)
        await here.press("home", "enter")
        await here.sees("nothing stands in the way")
    assert len(engine.clients) == 1, "the connection is the same"


async def test_enter_and_space_wait_for_the_list_that_was_typed_for(engine: FakeEngine) -> None:
    planning(engine)
    async with desk(engine) as here:
        await opened(here)
        engine.slow.add(s.GetPackages)
        await here.press(*"ledger", "space", "enter")
        await here.sees("One moment: the list does not show yet what you typed.", "Nothing is marked.")
        engine.answer_slow()
        await here.until(lambda: "One moment" not in here.text, "the list")
        await here.press("space", "enter")
        await here.sees("nothing stands in the way")
    assert asked(engine) == [chosen("ledger")]


async def test_the_list_is_asked_for_once_the_letters_stop(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PAUSE", 3.0)
    async with desk(engine) as here:
        await opened(here)
        await here.press(*"libmo")
        await here.sees("200 of 300")
    finds = [call.find for call in engine.said(s.GetPackages)]
    assert finds[0] == "" and finds[-1] == "libmo" and len(finds) <= 3, "not one for each letter"
