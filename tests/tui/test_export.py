"""Export: to the stick, to an address, to a folder; progress, an honest result, and each way it fails."""

from __future__ import annotations

import pytest

from appliance.errors import ApplianceError, ExportFailed, OutOfSpace
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model import service_messages as s
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine

DONE = s.Exported(
    where="/run/twinboot/data/reports/LAB-0001-tb1",
    file="twinboot-LAB-0001-tb1-20261125-180000.tar.gz",
    size=4_300_000,
    files=31,
    masked=(("password", 11), ("private key", 1)),
    unread=("memory/work/screen.png",),
)


async def test_a_run_goes_to_the_stick_and_the_result_is_named(engine: FakeEngine) -> None:
    engine.script[s.Export] = lambda say: DONE
    engine.script[m.GetRecord] = lambda say: m.RecordOf(run="tb1", verdict=story.verdict(), text="")
    engine.slow.add(s.Export)
    async with desk(engine) as here:
        await here.press("v")
        await here.sees("tb1: PASS")
        await here.press("x")
        await here.sees("run tb1: report, log, consoles", "> the stick")
        await here.press("enter")
        await here.sees("Exporting ...")
        engine.push(
            e.ServiceProgress(service="export", words="writing", done=2**20, total=4 * 2**20, unit="bytes")
        )
        await here.sees("writing", "1.0 MiB of 4.0 MiB")
        engine.answer_slow()
        await here.sees(DONE.file, DONE.where, "4.1 MiB, 31 files", "12 secrets: password 11, private key 1")
        await here.sees("[!] 1 picture went in as they are")
    assert engine.said(s.Export) == [s.Export(run="tb1", to="stick")]


async def test_an_address_is_typed_and_machine_and_log_can_go_alone(engine: FakeEngine) -> None:
    engine.script[s.Export] = lambda say: DONE
    async with desk(engine) as here:
        await here.press("l", "x")
        await here.sees("no run")
        await here.press("c")
        await here.sees("run tb1")
        await here.press("c", "down", "enter")
        await here.sees("Address (http")
        await here.press("enter")
        await here.sees("Nothing was typed")
        await here.press("enter", *"me", "enter")
        await here.sees("Exported")
        await here.press("down", "enter")
        await here.sees("Folder, then Enter")
        await here.press("escape", "escape", "escape")
        await here.sees("What this machine can start")
    assert engine.said(s.Export) == [s.Export(run="", to="http://me")]


@pytest.mark.parametrize(
    "error",
    [
        ExportFailed(
            "There is no stick: it was pulled.", next_actions=("Export to an address.", "Use /tmp.")
        ),
        OutOfSpace("The record needs 4100 KiB; the stick has 12 KiB free.", safe=ExportFailed.safe),
    ],
    ids=lambda error: error.code,
)
async def test_what_went_wrong_is_a_panel_with_ways_on(engine: FakeEngine, error: ApplianceError) -> None:
    def no(say: m.AnySay) -> m.AnyReply:
        raise error

    engine.script[s.Export] = no
    async with desk(engine) as here:
        await here.press("l", "x", "enter")
        await here.sees("[X] NOT DONE", error.code, "Nothing half-written", error.next_actions[0][:30])
        await here.press("enter")
        await here.sees("Not exported", error.what[:30])
