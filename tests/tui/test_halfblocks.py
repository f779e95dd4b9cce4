"""A screenshot in half blocks: only where a terminal can show it, and no cell that hides its own picture."""

from __future__ import annotations

import itertools

from rich.style import Style

from appliance.model import vm_messages as v
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.fake_vm import FakeVm
from tests.tui.test_running import begin
from tui.halfblocks import COLOURS, cell, lines, nearest
from tui.terminal import Mode

COLUMNS, ROWS = v.SMALL
FLAG = b"".join(bytes((255, 255, 255) if y < ROWS // 2 else (0, 0, 170)) * COLUMNS for y in range(ROWS))


def test_every_pair_of_colours_is_a_cell_that_can_be_told_apart() -> None:
    for upper, lower in itertools.product(range(16), repeat=2):
        character, style = cell(upper, lower)
        front, _, ground = style.partition(" on ")
        assert character in "▀▄█ " and (front != ground or (upper, lower) == (0, 0))
        assert not ground.startswith("bright"), "a Linux console has eight backgrounds"
        assert Style.parse(style) is not None
        if upper != lower and min(upper, lower) < 8:
            assert {COLOURS[upper][0], COLOURS[lower][0]} == {front, ground}
    assert cell(0, 0) == (" ", "") and cell(4, 4) == ("█", "blue")


def test_colours_are_the_nearest_and_half_a_picture_is_none() -> None:
    assert [nearest(rgb) for _, rgb in COLOURS] == list(range(16))
    assert nearest((250, 250, 250)) == 15 and nearest((10, 5, 0)) == 0
    assert lines(b"", 80) == [] and lines(bytes(100), 80) == []
    rows = lines(FLAG, COLUMNS)
    assert len(rows) == ROWS // 2 and rows[0] == (("█" * 80, "bright_white"),)
    assert rows[-1] == (("█" * 80, "blue"),)


async def test_a_screenshot_is_shown_where_it_can_be(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    FakeVm(engine)
    shot = v.Screenshot(path="/x/screenshots/1-work.png", width=720, height=400, small=FLAG)
    engine.script[v.TakeScreenshot] = lambda say: shot
    async with desk(engine, mode=Mode.RICH) as here:
        await here.sees("── Steps")
        await here.press("w")
        await here.sees("READ ONLY")
        await here.press("s")
        await here.sees("PICTURE OF THE VM", "█" * 80, "Kept in the run's report: 1-work.png, 720x400.")
        await here.press("s")
        await here.sees("READ ONLY")
        await here.press("ctrl+t")
        await here.press("s")
        await here.sees("Kept in the run's report")
        assert "PICTURE" not in here.text and "#" * 80 not in here.text
    assert len(engine.said(v.TakeScreenshot)) == 2
