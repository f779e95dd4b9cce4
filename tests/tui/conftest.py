"""A console on a FakeEngine, driven by keys alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from appliance.model.machine import Machine
from tests.tui import story
from tests.tui.engine import FakeEngine
from tui.app import ENVIRONMENT
from tui.console import Console
from tui.pace import Pace
from tui.terminal import Mode

os.environ.update(ENVIRONMENT)

DEEP = 8
"""Queues that a key goes through at most: the app's, its widget's, and those of all that this lies in."""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What consoles remember is kept to one test."""
    monkeypatch.setenv("TWINBOOT_RUNTIME", str(tmp_path))
    return tmp_path


@pytest.fixture
def machine() -> Machine:
    return story.machine()


@pytest.fixture
async def engine(tmp_path: Path, machine: Machine) -> AsyncIterator[FakeEngine]:
    """A quiet engine with one sealed run, listening."""
    fake = FakeEngine(tmp_path / "engine.sock", machine, story.lineage())
    await fake.start()
    yield fake
    await fake.stop()


class Desk:
    """One console under test: press keys, read the screen, wait for words."""

    def __init__(self, app: Console, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def text(self) -> str:
        """The screen as it goes to the terminal, filters applied."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def press(self, *keys: str) -> None:
        """Each key once the one before has done its work and the page it opened, if any, takes keys.

        Textual's own way is to wait until the process uses little of the processor, which it also does where
        others take it all.
        """
        for key in keys:
            await self.pilot.press(key)
            for _ in range(DEEP):
                await self.pilot._wait_for_screen()
            await self.until(self._takes_keys, f"the page that {key} opened")

    def _takes_keys(self) -> bool:
        return not self.app.is_running or self.app.screen.is_mounted

    async def until(self, met: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        for _ in range(int(seconds / 0.02)):
            if met():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"waited {seconds} s for {what}; the screen says:\n{self.text}")

    async def sees(self, *words: str) -> None:
        """Wait until all words stand on the screen."""
        for word in words:
            await self.until(lambda word=word: word in self.text, repr(word))


@contextlib.asynccontextmanager
async def desk(
    engine: FakeEngine, mode: Mode = Mode.BASIC, size: tuple[int, int] = (80, 24), client: str = "tty1"
) -> AsyncIterator[Desk]:
    """The console running on `engine`, connected, at home."""
    app = Console(client, mode, engine.path, tick=0.05, pace=Pace(share=1.0))
    async with app.run_test(size=size) as pilot:
        here = Desk(app, pilot)
        await here.until(lambda: app.board.status is not None, "the first status")
        last = len(engine.events)
        await here.until(lambda: not last or app.board.last_event is not None, "the first event")
        yield here
