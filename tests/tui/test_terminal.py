"""Terminals: which mode, what size, and what really goes over the wire."""

from __future__ import annotations

import os
import pty
import threading
from pathlib import Path

import pytest

from appliance.model import messages as m
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tui import terminal
from tui.app import _parser, choose
from tui.terminal import Mode

ROOT = Path(__file__).parents[2]
GLYPHS = set("─│┬└█░")  # in every Linux console font, and in ours


@pytest.mark.parametrize(
    ("name", "term", "locale", "mode"),
    [
        ("tty1", "linux", "ANSI_X3.4-1968", Mode.RICH),
        ("ttyS0", "linux", "UTF-8", Mode.BASIC),
        ("ttyAMA0", "xterm", "UTF-8", Mode.BASIC),
        ("hvc0", "vt220", "UTF-8", Mode.BASIC),
        ("pts/3", "xterm-256color", "UTF-8", Mode.RICH),
        ("pts/3", "xterm-256color", "ANSI_X3.4-1968", Mode.BASIC),
        ("pts/3", "vt100", "UTF-8", Mode.BASIC),
    ],
)
def test_each_terminal_gets_its_mode(name: str, term: str, locale: str, mode: Mode) -> None:
    assert terminal.choose_mode(name, term, locale) is mode


def test_options_choose_over_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(_parser().parse_args(["--client", "ttyS1", "--rich"])) == ("ttyS1", Mode.RICH)
    assert choose(_parser().parse_args(["--client", "tty2", "--basic"])) == ("tty2", Mode.BASIC)


def answering(answer: bytes) -> tuple[int, int]:
    """A pty whose other end answers the cursor question with `answer`."""
    ours, theirs = pty.openpty()

    def reply() -> None:
        heard = b""
        while b"\x1b[6n" not in heard:
            heard += os.read(ours, 64)
        os.write(ours, answer)

    threading.Thread(target=reply, daemon=True).start()
    return ours, theirs


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (b"\x1b[43;132R", (43, 132)),
        (b"junk\x1b[?6c\x1b[30;100R", (30, 100)),
        (b"", (24, 80)),
        (b"\x1b[1;1R", (24, 80)),
    ],
)
def test_a_line_without_a_size_is_asked_else_taken_for_80x24(answer: bytes, size: tuple[int, int]) -> None:
    ours, theirs = answering(answer)
    try:
        assert terminal.size_of(theirs) == (0, 0)
        assert terminal.settle_size(theirs) == size
        assert terminal.size_of(theirs) == size
    finally:
        os.close(ours)
        os.close(theirs)


async def test_no_cell_is_painted_in_its_own_background(engine: FakeEngine) -> None:
    engine.script[m.GetRecord] = lambda say: m.RecordOf(
        run="tb1", verdict=story.verdict(Result.FAIL), text=""
    )
    async with desk(engine, mode=Mode.RICH) as here:
        for keys in ("", "v", "p", "l", "slash", "n", "b", "q", "question_mark"):
            if keys:
                await here.press(keys)
                await here.pilot.pause(0.1)
            for strip in here.app.screen._compositor.render_strips():
                for segment in strip:
                    style = segment.style
                    if style and style.color and style.bgcolor and not style.color.is_default:
                        assert style.color != style.bgcolor, (keys, segment)
            await here.press("escape", "escape")


@pytest.mark.parametrize("size", [(40, 12), (79, 24), (80, 23)])
async def test_a_small_terminal_says_so_and_lives(engine: FakeEngine, size: tuple[int, int]) -> None:
    async with desk(engine, size=size) as here:
        await here.sees("TWINBOOT", f"{size[0]}x{size[1]}")
        await here.press("n", "enter", "escape", "l", "escape")
        await here.pilot.resize_terminal(80, 24)
        await here.sees("What this machine can start")


async def test_wide_and_tall_is_used(engine: FakeEngine) -> None:
    async with desk(engine, size=(132, 43)) as here:
        await here.sees("PASS, 7 of 9 services could be tested")
        assert max(len(row) for row in here.text.splitlines()) > 100


async def test_the_mode_switches_with_a_key_and_nothing_moves(engine: FakeEngine) -> None:
    async with desk(engine, mode=Mode.RICH) as here:
        await here.sees("└─ tb1-trial", "─── What")
        await here.press("ctrl+t")
        await here.sees("+- tb1-trial", "--- What")
        assert here.text.isascii()
        assert choose(_parser().parse_args(["--client", "tty1"])) == ("tty1", Mode.BASIC), "not remembered"
        await here.press("f4")
        await here.sees("└─ tb1-trial")
    assert choose(_parser().parse_args(["--client", "tty1"])) == ("tty1", Mode.RICH)
