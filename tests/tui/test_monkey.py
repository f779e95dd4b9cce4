"""A monkey at the keys and noise on the line: no crash, and nothing is changed without typed confirmation.

MONKEY_SEED chooses another monkey.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from textual._xterm_parser import XTermParser
from textual.events import Key
from textual.keys import key_to_character

from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine

# Requests named so only read; the others concern this appliance and its twin. All else changes the machine.
READS = ("Get", "Look", "Read", "Inspect", "Hello", "Follow")
HARMLESS = (
    "MakePlan", "TakeOver", "Export", "SavePlanFile", "TakeKeyboard", "GiveKeyboard", "SendKeys",
    "TakeScreenshot", "Pause", "Resume", "SetNetwork", "SetProxy", "Blink",
    "SetKeyboard", "WriteWanted",
)  # fmt: skip
KEYS = (
    *"abcdefghijklmnopqrstuvwxyzNPRKDVQCUX0123456789",
    *("up", "down", "left", "right", "pageup", "pagedown", "home", "end"),
    *("tab", "shift+tab", "space", "backspace", "delete"),
    *(["enter", "escape"] * 6),
    *(f"f{number}" for number in range(1, 13)),
    *(f"ctrl+{letter}" for letter in "abcdefghklmnoprstuvwxyz"),  # not j (Enter), i (Tab), q (leave)
    *("question_mark", "slash", "left_square_bracket", "colon", "ctrl+right_square_bracket"),
)
JUNK = (
    "\x1b[8;24;80t", "\x1b[?6c", "\x1b[>0;276;0c", "\x1b[24;80R", "\x1b[1;1R", "\x1b[0n", "\x1b[99~",
    "\x1b[I\x1b[O", "\x1b]11;rgb:0000/0000/0000\x07", "\x1b]4;1;rgb:00/00/00\x1b\\", "\x1bP1$r0m\x1b\\",
    "\x1bP>|vt\x1b\\", "\x1b[?2026;2$y", "\x1b[?2048;0$y", "\x1b[?1u", "\x1b[<0;10;10M", "\x1b[<64;3;3M",
    "\x1b[M !!", "\x1b[97;5u", "\x00", "\x1b\x1b\x1b", "\ufffd\ufffd", "\x9b8;1t", "yes\t",
    "\x1b[200~rm -rf /\x1b[201~", "\x1bOP\x1bOx", "\x07\x05\x7f",
)  # fmt: skip


def acts(engine: FakeEngine) -> list[m.AnySay]:
    """What was asked and changes something; a dry start only tells what it would run."""
    return [
        say
        for say in engine.calls
        if not type(say).__name__.startswith((*READS, *HARMLESS))
        and not (isinstance(say, m.Start) and say.dry)
    ]


def going(engine: FakeEngine, until: str) -> None:
    """A rehearsal that goes on, or waits for work by hand."""
    kind = PatchKind.BY_HAND if until == "by-hand" else PatchKind.ALL
    plan = story.plan(engine.machine, Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=kind)))
    gate = until if until == "by-hand" else ""
    engine.push(*story.rehearsal_events(plan, until="" if gate else until))
    view = m.RunView(run="tb1", verb="rehearse", title="Rehearsal tb1", plan=plan, started=1.0, gate=gate)
    engine.status = replace(engine.status, running=view, lineage=story.lineage(None))


def standing(engine: FakeEngine, state: State | None, operator: str = "") -> None:
    engine.status = replace(
        engine.status,
        running=None,
        lineage=story.lineage(state),
        operator=operator,
        fallback="the old system",
    )


TURNS: tuple[Callable[[FakeEngine], None], ...] = (
    lambda engine: standing(engine, State.SEALED),
    lambda engine: going(engine, "patched"),
    lambda engine: standing(engine, State.ARMED, operator="ttyS0"),
    lambda engine: engine.push(*story.failure("tb1")),
    lambda engine: standing(engine, State.TRIAL, operator="tty1"),
    lambda engine: going(engine, "by-hand"),
    lambda engine: engine.push(*story.ending("tb1")),
    lambda engine: standing(engine, State.KEPT),
)


async def strike(here: Desk, rng: random.Random, parser: XTermParser, junk: bool) -> str:
    """One key, or one answer nobody asked for, as the terminal's driver hands it on; what it was."""
    if junk:
        said = rng.choice(JUNK)
        assert here.app._driver is not None
        for event in (*parser.feed(said), *parser.tick()):
            here.app._driver.process_message(event)
        return repr(said)
    name = rng.choice(KEYS)
    character = " " if name == "space" else key_to_character(name) if "+" not in name else None
    here.app.post_message(Key(name, character))
    return name


async def let_loose(engine: FakeEngine, keys: int, junk: int) -> None:
    engine.script[m.MakePlan] = lambda say: m.Planned(plan=story.plan(engine.machine, say.request, "tb1"))
    verdict = story.verdict(Result.PASS, migrated=True)
    engine.script[m.GetRecord] = lambda say: m.RecordOf(run="tb1", verdict=verdict, text="")
    engine.script[s.GetSsh] = lambda say: s.SshState(on=False)
    engine.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")
    engine.script[s.GetNetwork] = lambda say: s.Network(links=(s.Port(name="eno1", mac="", cable=True),))
    rng = random.Random(int(os.environ.get("MONKEY_SEED", "8032351")))
    strokes = [True] * junk + [False] * keys
    rng.shuffle(strokes)
    parser, done, seen = XTermParser(), [], set()
    async with desk(engine) as here:
        for number, is_junk in enumerate(strokes):
            if number % 60 == 0:
                TURNS[number // 60 % len(TURNS)](engine)
                here.app.link.refresh()
            done.append(await strike(here, rng, parser, is_junk))
            if number % 5 == 0:  # sometimes faster than pages can follow, as a stuck key is
                await here.pilot.pause()
            seen.add(type(here.app.screen).__name__)
            assert here.app.is_running, done[-40:]
        await here.pilot.pause(0.1)
        assert here.text.strip(), done[-40:]
        await here.press("f1")
        assert here.app.is_running
    assert acts(engine) == [], done
    assert len(seen) > 8, f"the monkey saw only {seen}"


@pytest.mark.timeout(600)
async def test_a_monkey_and_line_noise_change_nothing(engine: FakeEngine) -> None:
    await let_loose(engine, keys=1_000, junk=200)


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_a_monkey_for_an_hour_changes_nothing(engine: FakeEngine) -> None:
    await let_loose(engine, keys=10_000, junk=1_000)
