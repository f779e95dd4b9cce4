"""A console on a still clock, walked through its screens, each shot at two sizes in both modes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace
from rich.segment import Segment
from textual.color import Color

from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.lineage import State
from tests.tui import story
from tests.tui.clock import Clock
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tests.tui.golden.picture import svg
from tui.filters import BasicText
from tui.screens.page import Page
from tui.terminal import Mode

BLACK = Color(0, 0, 0)
NOON = 1_795_348_800.0  # the clock of every golden screen stands here, UTC
SIZES = ((80, 24), (132, 43))
FOLDER = Path(__file__).parent / "screens"


@dataclass(frozen=True)
class Shot:
    """Press `keys`, wait for the words of `sees`, take the pictures. `first` changes the engine before."""

    name: str
    keys: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()
    first: Callable[[Stage], None] | None = None


@dataclass(frozen=True)
class Story:
    """One start of the console and what is seen on the way; `setup` prepares the engine."""

    name: str
    shots: tuple[Shot, ...]
    setup: Callable[[Stage], None] = lambda stage: None
    machine: str = "thin-uefi"
    state: State | None = None


@dataclass
class Stage:
    """What a shot may change: the engine, its clock, the console itself."""

    engine: FakeEngine
    clock: Clock
    here: Desk | None = None
    said: int = 0

    @property
    def desk(self) -> Desk:
        assert self.here is not None
        return self.here

    def say(self, *events: e.AnyEvent) -> None:
        """Let the engine say events, seven seconds apart."""
        for event in events:
            self.said += 1
            self.clock.set(NOON + 7 * self.said)
            self.engine.push(replace(event, at=self.clock.time()))

    def status(self, **changes: object) -> None:
        self.engine.status = replace(self.engine.status, **changes)

    def reply(self, kind: type[m.Say], answer: Callable[[m.AnySay], m.AnyReply]) -> None:
        self.engine.script[kind] = answer


async def pictures(told: Story) -> dict[str, str]:
    """Every picture of a story by its file's name.

    BASIC is what its filter makes of the RICH lines, as on the way to a terminal: no second painting.
    """
    found: dict[str, str] = {}
    async with staged(told) as stage:
        for shot in told.shots:
            await _reach(stage, shot)
            for size in SIZES:
                rows = await rows_at(stage, size)
                start = f"{told.name}-{shot.name}.{size[0]}x{size[1]}"
                found[f"{start}.rich.svg"] = svg(rows, size[0])
                found[f"{start}.basic.svg"] = svg([in_basic(row) for row in rows], size[0])
    return found


def in_basic(row: list[Segment]) -> list[Segment]:
    return BasicText().apply(row, BLACK)


@contextlib.asynccontextmanager
async def staged(told: Story) -> AsyncIterator[Stage]:
    clock = Clock(NOON)
    os.environ["TZ"] = "UTC"
    time.tzset()
    with TemporaryDirectory() as folder, clock.told():
        os.environ["TWINBOOT_RUNTIME"] = folder
        engine = FakeEngine(
            Path(folder) / "engine.sock", story.machine(told.machine), story.lineage(told.state)
        )
        await engine.start()
        stage = Stage(engine, clock)
        told.setup(stage)
        async with desk(engine, mode=Mode.RICH, size=SIZES[0]) as stage.here:
            await still(stage)  # a run that goes on opens its own page, and keys are for that one
            yield stage
        await engine.stop()


async def _reach(stage: Stage, shot: Shot) -> None:
    here = stage.desk
    await sized(stage, SIZES[0])
    if shot.first is not None:
        shot.first(stage)
        here.app.link.refresh()
        await here.until(lambda: here.app.board.status == stage.engine.status, "the status")
        await still(stage)
    await here.press(*shot.keys)
    await here.sees(*shot.sees)


async def still(stage: Stage) -> None:
    """Until nothing is asked and the screen is the same three looks in a row."""
    here = stage.desk
    looks: list[str] = []
    for _ in range(300):
        await here.pilot.pause(0.02)
        looks.append(here.text)
        asking = getattr(here.app.screen, "asking", "")
        if len(looks) > 2 and len(set(looks[-3:])) == 1 and not asking:
            return
    raise AssertionError(f"the screen does not come to rest:\n{looks[-1]}")


async def sized(stage: Stage, size: tuple[int, int]) -> None:
    """The terminal has this size, and the screen has come to rest in it."""
    here = stage.desk
    if here.app.size != size:
        await here.pilot.resize_terminal(*size)
        await here.until(lambda: here.app.size == size and laid_out(here), f"the size {size}")
    await still(stage)


def laid_out(here: Desk) -> bool:
    """Whether the page's own first row fills the terminal: what is smaller holds still as well."""
    page = here.app.screen
    first, *_ = here.text.splitlines()
    return not isinstance(page, Page) or first == "".join(text for text, _ in page._header()).rstrip()


async def rows_at(stage: Stage, size: tuple[int, int]) -> list[list[Segment]]:
    """The screen at this size, as its lines go to the terminal."""
    here = stage.desk
    await sized(stage, size)
    return [list[Segment](strip) for strip in here.app.screen._compositor.render_strips()]
