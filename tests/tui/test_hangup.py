"""Lines that break in mid-run: the run goes on, and who comes back is where they were."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from appliance.model.plan import Request, Verb
from tests.tui import story
from tests.tui.line import Line, line
from tests.tui.player import Player
from tests.tui.test_monkey import acts

TERMINALS = (
    ("ttyS0", "vt220"),
    ("tty1", "linux"),
    ("pts/1", "xterm-256color"),
    ("ttyS1", "vt220"),
    ("hvc0", "vt220"),
)


async def breaks(here: Line, number: int) -> None:
    """By turns a line that is hung up and a client that is told SIGHUP."""
    if number % 2:
        await here.hang_up()
        return
    here.process.send_signal(signal.SIGHUP)
    assert await here.process.wait() == -signal.SIGHUP


async def watched(engine: Player, number: int, client: str, term: str) -> float:
    """Come, see the run at the step it is at, lose the line; seconds until it was seen."""
    began = time.monotonic()
    async with line(engine.path, client, term) as here:
        while f"Step {engine.number} of 12" not in here.text:
            assert time.monotonic() - began < 20, here.text
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
        await breaks(here, number)
    return seconds


async def survives(folder: Path, rounds: int, pace: float) -> None:
    """Terminals watch one run and lose their lines, again and again; it ends as it would have."""
    engine = Player(folder / "engine.sock", story.machine(), "good", pace)
    await engine.start()
    run = asyncio.create_task(engine.play(story.plan(story.machine(), Request(verb=Verb.REHEARSE))))
    await asyncio.sleep(0)
    told = len(engine.events)
    for number in range(rounds):
        seconds = await asyncio.gather(*(watched(engine, number, *terminal) for terminal in TERMINALS))
        assert max(seconds) < 20, "5 s on a quiet machine"
        assert not run.done()
    assert len(engine.events) > told, "the run stands still"
    async with line(engine.path) as here:
        await here.sees("Steps")
        engine.pace = 5000
        await run
        await here.sees("Finished")
        await here.press(b"\x1b")
        await here.sees("tb1-trial", "SEALED")
    assert engine.status.running is not None and engine.status.running.finished
    assert acts(engine) == []
    await engine.stop()


async def test_ten_hang_ups_during_a_run(tmp_path: Path) -> None:
    await survives(tmp_path, rounds=2, pace=12)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_hundred_hang_ups_during_a_run(tmp_path: Path) -> None:
    await survives(tmp_path, rounds=20, pace=3)
