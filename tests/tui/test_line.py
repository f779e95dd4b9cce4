"""What really goes over a line: bytes and their number, glyphs, colours, at each kind of terminal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.engine import FakeEngine
from tests.tui.line import line
from tests.tui.test_monkey import acts
from tests.tui.test_running import begin
from tui.glyphs import FONT
from tui.pace import LONGEST

START, A_KEY = 10_000, 4_000  # bytes
A_PAGE = 4_000  # bytes of a page painted whole, which the first look of each minute does: see tui.console
RUNNING, IDLE = 1_500, 60  # bytes a second

# Keys and what they lead to: every page with much on it, back to home in between.
WALK = (
    (b"v", "services could be tested"),
    (b"2", "NEW KERNEL"),
    (b"p", "type the last 4"),
    (b"\x1b[6~", "lines"),
    (b"\x1b", "NEW KERNEL"),
    (b"\x1b", "What this machine can start"),
    (b"b", "0001   BOOT"),
    (b"\x1b", "What this machine can start"),
    (b"m", "0001   MACHINE"),
    (b"\x1b[F", "Firmware boot order"),
    (b"\x1b", "What this machine can start"),
    (b"l", "0001   LOG"),
    (b"\x1b", "What this machine can start"),
    (b"n", "Change nothing"),
    (b"\r", "type yes"),
    (b"?", "Help:"),
)


@pytest.fixture
async def full_engine(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    """Everything on offer: a sealed run with a bad verdict, text from everywhere in the log."""
    engine = FakeEngine(tmp_path / "engine.sock", story.machine(), story.lineage(State.SEALED))
    engine.script[m.MakePlan] = lambda say: m.Planned(plan=story.plan(engine.machine, say.request, "tb1"))
    verdict = story.verdict(Result.FAIL, migrated=True)
    engine.script[m.GetRecord] = lambda say: m.RecordOf(run="tb1", verdict=verdict, text="")
    await engine.start()
    said = "\u263a Grüße → ✓ 漢字 \u202e\x1b[31mred\x1b[0m"
    engine.push(*(e.Line(source="vm", at=1.0, text=said, level=level) for level in ("info", "warn", "error")))
    yield engine
    await engine.stop()


async def test_a_walk_through_the_pages_on_every_terminal(full_engine: FakeEngine) -> None:
    """Bytes of the start and of each key, glyphs, and no cell in the colour of its background."""
    await asyncio.gather(
        walk(full_engine, "ttyS0", "vt220"),
        walk(full_engine, "tty1", "linux"),
        walk(full_engine, "tty2", "linux", {"NO_COLOR": "1"}),
        walk(full_engine, "pts/3", "xterm-256color"),
    )
    assert acts(full_engine) == []


async def walk(engine: FakeEngine, client: str, term: str, env: dict[str, str] | None = None) -> None:
    async with line(engine.path, client, term, env=env) as here:
        await here.sees("What this machine can start", "tb1-trial")
        await here.press(b"")
        assert len(here.written) <= START
        for key, words in WALK:
            begun = time.time()
            cost = await here.press(key, words)
            assert cost <= A_KEY + repaints(begun), f"{key!r} cost {cost} bytes on {client}"
            assert here.invisible() == [], key
        if env:
            assert {(cell.fg, cell.bg) for _, _, cell in here.cells()} == {("default", "default")}
        assert await here.leave() == 0
    used = set(here.written.decode())
    if client == "ttyS0":
        assert here.written.isascii(), used
        return
    assert any(ord(c) > 127 for c in used)
    if term == "linux":
        assert {c for c in used if c.isprintable()} <= FONT


def repaints(begun: float) -> int:
    """Bytes of the whole page that a look may have sent after `begun`, where a minute began about then."""
    return A_PAGE if time.time() // 60 != (begun - LONGEST) // 60 else 0


async def test_a_running_run_and_an_idle_screen_are_cheap(engine: FakeEngine) -> None:
    """Twenty lines a second of the twin and a progress that moves; then nothing at all."""
    begin(engine, until="patch")

    async def talk() -> None:
        for number in range(1000):
            done = e.Progress(run="tb1", step="control", done=number, total=1000, unit="units", at=1.0)
            engine.push(e.Line(run="tb1", source="vm", at=1.0, text=story.VM_LINES[number % 7]), done)
            await asyncio.sleep(0.05)

    async with line(engine.path) as serial, line(engine.path, "tty1", "linux") as screen:
        both = (serial, screen)
        await asyncio.gather(*(here.sees("Steps") for here in both))
        talking = asyncio.create_task(talk())
        # The first look at a page costs more than those after it, and is rested from the longer.
        for _ in range(2):
            await asyncio.gather(*(here.moves(LONGEST + 5) for here in both))
        begun = time.time()
        running = await asyncio.gather(*(here.rate(4) for here in both))
        talking.cancel()
        assert min(running) > 20, "the picture stands still"
        assert running[0] <= RUNNING + repaints(begun) / 4
        engine.status = replace(engine.status, running=None)
        await asyncio.gather(*(here.press(b"\x1b", "What this machine can start") for here in both))
        # A page is painted whole once a minute, so of two looks at least one is a plain one.
        # The cursor of a field that waits for a word does not blink either.
        await asyncio.gather(*(here.press(b"l", "0001   LOG") for here in both))
        await asyncio.gather(*(here.press(b"/", "text to find") for here in both))
        looks = [await asyncio.gather(*(here.rate(2) for here in both)) for _ in range(2)]
        assert max(min(rates) for rates in zip(*looks, strict=True)) <= IDLE


async def test_a_line_of_no_size_and_a_small_one(engine: FakeEngine) -> None:
    async def tried(size: tuple[int, int], words: str) -> None:
        async with line(engine.path, size=size) as here:
            await here.sees(words)
            for key in (b"n", b"\r", b"\x1b", b"l", b"\x1b"):
                await here.press(key, limit=1)
            assert await here.leave() == 0
        assert here.written.isascii()

    await asyncio.gather(
        tried((0, 0), "What this machine can start"), tried((40, 12), "It needs 80x24 or more.")
    )
    assert acts(engine) == []


async def test_noise_on_the_line_harms_nothing_and_keys_work_after_it(engine: FakeEngine) -> None:
    """Late answers, breaks and bytes of a wrong speed: no crash, no act, and the console still answers."""
    rng = random.Random(7)
    noise = [
        b"\x1b[8;24;80t", b"\x1b[?6c", b"\x1b[24;80R", b"\x1b]11;rgb:0000/0000/0000\x07", b"\x1bP1$r0m\x1b\\",
        b"\x1b[?2026;2$y", b"\x1b[<0;10;10M", b"\xff\xfe\x80", b"\x00\x1b", b"\x1b[99~", b"\xc3",
        b"\xf0\x9f\x98", b"\x1b[200~rm -rf /\r\x1b[201~",
    ]  # fmt: skip
    async with line(engine.path) as here:
        await here.sees("What this machine can start")
        await here.press(b"".join(rng.choice(noise) for _ in range(60)))
        for _ in range(6):
            await here.press(b"\x1b", limit=1)
        await here.press(b"m", "0001   MACHINE", "Trouble")
        assert await here.leave() == 0
    assert here.written.isascii() and acts(engine) == []
