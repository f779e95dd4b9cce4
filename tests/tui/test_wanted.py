"""The list for an office, by keys: offered where there is no network, written once asked for, its errors."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import ExportFailed
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.plan import PatchKind
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.offers import WANTED

ROOT = story.machine().systems[0].id
UNPLUGGED = s.Network(links=(s.Port(name="eno1", mac="52:54:00:00:00:01", cable=False),))


async def test_without_network_the_patches_page_leads_to_it_with_what_was_chosen(engine: FakeEngine) -> None:
    engine.network = UNPLUGGED
    engine.script[s.WriteWanted] = lambda say: WANTED
    async with desk(engine) as here:
        await here.press("n")
        await here.sees("Change nothing")
        assert "no network here" not in here.text
        await here.press("down", "down")
        await here.sees("W   no network here", "W list for an office")
        await here.press("w")
        await here.sees("WANTED LIST", "> 2  Security updates only", "bundle make LIST --stick")
        assert engine.said(s.WriteWanted) == []
        await here.press("enter")
        await here.sees(
            "Written", WANTED.path, "412 packages, 3 sources, 5 keys; no password", "[!] The pins"
        )
        await here.press("escape")
        await here.sees("NEW REHEARSAL")
    assert engine.said(s.WriteWanted) == [s.WriteWanted(system=ROOT, kind=PatchKind.SECURITY)]
    assert engine.said(m.Start) == []


async def test_with_a_network_it_is_not_in_the_way_and_still_reached_from_more(engine: FakeEngine) -> None:
    engine.script[s.WriteWanted] = lambda say: WANTED
    async with desk(engine) as here:
        await here.press("n", "down")
        await here.sees("> 2  All pending updates")
        assert "no network here" not in here.text and "list for an office" not in here.text
        await here.press("w", "escape", "a", "w")
        await here.sees("WANTED LIST", "> 1  All pending updates")
        await here.press("enter")
        await here.sees("Written")
    assert engine.said(s.WriteWanted) == [s.WriteWanted(system=ROOT)]


async def test_chosen_packages_are_picked_first(engine: FakeEngine) -> None:
    engine.script[s.WriteWanted] = lambda say: WANTED
    async with desk(engine) as here:
        await here.press("a", "w", "down", "down", "enter")
        await here.sees("Which packages", "openssl")
        await here.press("space", "enter")
        await here.sees("Written", "3  Chosen packages: openssl")
    assert engine.said(s.WriteWanted) == [
        s.WriteWanted(system=ROOT, kind=PatchKind.PACKAGES, packages=("openssl",))
    ]


async def test_a_stick_that_takes_nothing_is_an_error_and_says_nothing_was_written(
    engine: FakeEngine,
) -> None:
    def fails(say: s.WriteWanted) -> m.AnyReply:
        raise ExportFailed("The stick does not take the list of wanted packages: Input/output error.")

    engine.script[s.WriteWanted] = fails
    async with desk(engine) as here:
        await here.press("a", "w", "enter")
        await here.sees("EXPORT-01", "Input/output error")
        await here.press("escape")
        await here.sees("WANTED LIST")
        assert "Written" not in here.text


async def test_a_machine_without_a_system_has_no_list(engine: FakeEngine) -> None:
    engine.machine = story.machine("no-system")
    engine.status = replace(engine.status, machine=engine.machine)
    async with desk(engine) as here:
        await here.press("a", "w", "enter")
        await here.sees("There is no system to make a list for.")
    assert engine.said(s.WriteWanted) == []
