"""The console against the engine's own server, bus, planner and lineage; the machine is a recorded one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.engine.server import Server
from appliance.model.machine import Machine
from tests.tui import story
from tests.tui.conftest import Desk as Here
from tests.unit.engine.recorded_desk import RecordedDesk
from tui.console import Console
from tui.terminal import Mode


@contextlib.asynccontextmanager
async def console(
    path: Path, machine: Machine, client: str = "tty1"
) -> AsyncIterator[tuple[Here, RecordedDesk, Server]]:
    bus = Bus()
    desk = RecordedDesk(bus, machine)
    server = Server(bus, desk)  # type: ignore[arg-type]
    task = asyncio.create_task(server.listen(path))
    while not path.exists():
        await asyncio.sleep(0.01)
    app = Console(client, Mode.BASIC, path, tick=0.05)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            here = Here(app, pilot)
            await here.sees("serial LAB-0001")
            yield here, desk, server
    finally:
        task.cancel()


@pytest.mark.parametrize("name", ["thin-uefi", "thin-bios"])
async def test_a_recorded_machine_is_planned_and_run_to_its_end(tmp_path: Path, name: str) -> None:
    machine = replace(story.machine(name), kvm=True)
    async with console(tmp_path / "s", machine) as (here, desk, _):
        await here.sees("Rehearse a patch on a twin of this machine (N).")
        await here.press("n", "enter")
        await here.sees("nothing stands in the way", "Control boot", "type yes")
        await here.press("y", "e", "s", "enter")
        await here.sees("Finished  Rehearsal", "100%")
    assert len(desk.started) == 1


async def test_the_planners_own_refusals_are_all_there(tmp_path: Path) -> None:
    machine = replace(story.machine(), kvm=False)
    async with console(tmp_path / "s", machine) as (here, desk, _):
        await here.press("n", "enter")
        await here.sees("This cannot be done yet", "code REFUSED-01", "hardware virtualisation")
    assert desk.started == []


async def test_the_servers_own_lock_is_shown_and_taken_over(tmp_path: Path) -> None:
    machine = replace(story.machine(), kvm=True)
    async with console(tmp_path / "s", machine, "tty1") as (first, desk, _):
        second = Console("ttyS0", Mode.BASIC, tmp_path / "s", tick=0.05)
        async with second.run_test(size=(80, 24)) as pilot:
            other = Here(second, pilot)
            await other.sees("serial LAB-0001")
            await other.press("q", "r", "y", "e", "s", "enter")
            await other.sees("The machine is going down.")
            await first.press("n", "enter")
            await first.sees("type yes")
            await first.press("y", "e", "s", "enter")
            await first.sees("ttyS0 is in control")
            await first.press("t")
            await first.sees("You are in control.")
            await first.press("y", "e", "s", "enter")
            await first.sees("Finished  Rehearsal")
            await other.press("escape")
            await other.sees("tty1 is in control")
    assert len(desk.started) == 1
