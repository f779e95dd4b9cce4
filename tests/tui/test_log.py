"""The log: followed, filtered by source, searched."""

from __future__ import annotations

from appliance.model import events as e
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tui.words import moment


def fill(engine: FakeEngine) -> None:
    for number in range(60):
        engine.push(e.Line(source="vm" if number % 2 else "disk", text=f"line {number}", at=1000.0 + number))
    engine.push(e.Line(source="net", text="denied example", level="warn", at=2000.0))


async def test_the_newest_line_is_followed_until_one_scrolls_up(engine: FakeEngine) -> None:
    fill(engine)
    async with desk(engine) as here:
        await here.sees("[!1]")
        await here.press("l")
        await here.sees("denied example", "following", "[  ]")
        await here.press("pageup")
        engine.push(e.Line(source="disk", text="newest", at=3000.0))
        await here.until(lambda: here.app.board.log[-1].text == "newest", "the line")
        assert "newest" not in here.text
        await here.press("end")
        await here.sees("newest", "following")


async def test_one_source_or_only_warnings(engine: FakeEngine) -> None:
    fill(engine)
    async with desk(engine) as here:
        await here.press("l", "s", "s", "s")
        await here.sees("[vm]", "line 59")
        assert "line 58" not in here.text
        await here.press("s", "s", "s", "s", "s", "e")
        await here.sees("[all]", "warnings and errors", "denied example")
        assert "line 59" not in here.text
        await here.press("e")
        await here.sees("errors, following")
        assert "denied example" not in here.text


async def test_long_lines_are_cut_or_wrapped(engine: FakeEngine) -> None:
    engine.push(e.Line(source="vm", text="word " * 20 + "the end", at=1.0))
    async with desk(engine) as here:
        await here.press("l")
        await here.sees("word word")
        assert "the end" not in here.text
        await here.press("w")
        await here.sees("the end")


async def test_find_goes_up_and_says_when_there_is_no_more(engine: FakeEngine) -> None:
    fill(engine)
    async with desk(engine) as here:
        await here.press("l", "slash", *"line", "space", *"4", "enter")
        await here.sees(f">{moment(1049.0)} vm    line 49", 'Found "line 4"')
        for _ in range(10):
            await here.press("n")
        await here.sees(f">{moment(1004.0)} disk  line 4")
        await here.press("n")
        await here.sees("is not in the lines above")
        await here.press("N")
        await here.sees(f">{moment(1040.0)} disk  line 40", "n goes further up, N down")
        await here.press("n")
        await here.sees(f">{moment(1004.0)} disk  line 4")
        await here.press("slash", "escape", "escape")
        await here.sees("What this machine can start")
