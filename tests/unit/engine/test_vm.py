"""The VM over the engine's own socket: looking, typing, pausing; who may, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from appliance.engine import vm as vm_module
from appliance.engine.bus import Bus
from appliance.engine.server import Server
from appliance.engine.vm import APART, VmDesk
from appliance.model import events as e
from appliance.session import SaidNo, Session
from appliance.twin.hypervisor import PowerState
from tests.unit.engine.fake_twin import PNG, FakeRuns, FakeTwin
from tests.unit.engine.test_server import FakeDesk


@contextlib.asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[tuple[FakeRuns, list[e.AnyEvent], Path]]:
    bus, runs, path = Bus(), FakeRuns(folder), folder / "s"
    told: list[e.AnyEvent] = []
    bus.follow(0, told.append)
    server = Server(bus, FakeDesk(), VmDesk(bus, runs))  # type: ignore[arg-type]
    task = asyncio.create_task(server.listen(path))
    while not path.exists():
        await asyncio.sleep(0.01)
    yield runs, told, path
    task.cancel()


async def refused(call: Awaitable[object]) -> str:
    with pytest.raises(SaidNo) as said:
        await call
    return said.value.what


async def test_the_picture_is_whole_first_and_then_what_changed(tmp_path: Path) -> None:
    async with engine(tmp_path) as (runs, _, path), Session("tty1", path) as session:
        assert runs.twin is not None
        runs.twin.terminal.feed(b"Booting\r\n" + b"\n" * 30)
        first = await session.look_at_vm()
        assert (first.vm, first.run, first.power, len(first.rows)) == (
            "twinboot-tb1-work",
            "tb1",
            "running",
            24,
        )
        assert first.older[0] == "Booting"
        look = asyncio.create_task(session.look_at_vm(first.vm, first.version, first.scrolled))
        await asyncio.sleep(0.1)
        runs.twin.terminal.feed(b"login: ")
        second = await look
        assert [(row.number, row.text) for row in second.rows] == [(23, "login:")]
        assert (second.older, second.cursor) == ((), (23, 7))
        runs.twin = FakeTwin(name="twinboot-tb1-proof")
        third = await session.look_at_vm(second.vm, second.version, second.scrolled)
        assert (third.vm, len(third.rows)) == ("twinboot-tb1-proof", 24)


async def test_a_busy_vm_is_told_at_most_four_times_a_second(tmp_path: Path) -> None:
    async with engine(tmp_path) as (runs, _, path), Session("tty1", path) as session:
        assert runs.twin is not None
        vm, version, scrolled = "", -1, 0
        started, count = time.monotonic(), 4
        for number in range(count):
            runs.twin.terminal.feed(b"line %d\r\n" % number)
            picture = await session.look_at_vm(vm, version, scrolled)
            vm, version, scrolled = picture.vm, picture.version, picture.scrolled
        assert time.monotonic() - started >= (count - 1) * APART


async def test_a_quiet_vm_is_told_when_its_power_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_module, "HOLD", 0.1)
    async with engine(tmp_path) as (runs, _, path), Session("tty1", path) as session:
        assert runs.twin is not None
        first = await session.look_at_vm()
        runs.twin.power = PowerState.OFF
        second = await session.look_at_vm(first.vm, first.version, first.scrolled)
        assert (second.power, second.rows) == ("off", ())
        runs.twin = None
        assert (await session.look_at_vm()).vm == ""
        said = "No VM runs at the moment: only while a run's twin is on can this be done."
        for call in (session.take_keyboard(), session.vga_text(), session.screenshot(), session.pause("tb1")):
            assert await refused(call) == said
        assert await refused(session.resume("tb1")) == "The run tb1 is not paused."


async def test_one_has_the_keyboard_and_the_others_have_not(tmp_path: Path) -> None:
    async with engine(tmp_path) as (runs, told, path):
        async with Session("tty1", path) as first, Session("ttyS0", path) as second:
            assert runs.twin is not None
            assert "not yours" in await refused(first.send_keys(b"x"))
            await first.take_keyboard()
            await first.send_keys(b"uname\r")
            await first.send_keys(b"\x04")
            assert [line.typed for line in runs.twin.lines] == [b"uname\r\x04"]
            assert (await second.look_at_vm()).keyboard == "tty1"
            assert await refused(second.take_keyboard()) == "tty1 is in control."
            assert "not yours" in await refused(second.send_keys(b"y"))
            await second.take_over()
            assert runs.twin.lines[0].closed
            assert "not yours" in await refused(first.send_keys(b"z"))
            await second.take_keyboard()
            await second.give_keyboard()
            assert (await first.look_at_vm()).keyboard == ""
            await second.take_keyboard()
        while not runs.twin.lines[-1].closed:
            await asyncio.sleep(0.01)
    assert [line.typed for line in runs.twin.lines] == [b"uname\r\x04", b"", b""]
    words = [event.text for event in told if isinstance(event, e.Line) and event.source == "run"]
    assert words == [
        "tty1 has the keyboard of the twin", "tty1 gave the twin's keyboard back",
        "ttyS0 has the keyboard of the twin", "ttyS0 gave the twin's keyboard back",
        "ttyS0 has the keyboard of the twin", "ttyS0 gave the twin's keyboard back",
    ]  # fmt: skip


async def test_the_keyboard_outlives_a_reboot_of_the_vm(tmp_path: Path) -> None:
    async with engine(tmp_path) as (runs, _, path), Session("tty1", path) as session:
        assert runs.twin is not None
        await session.take_keyboard()
        runs.twin.lines[0].ended = True
        await session.send_keys(b"a")
        runs.twin.lines[1].deaf = True
        assert await refused(session.send_keys(b"b")) == "The twin does not read its serial line."
        await session.send_keys(b"c")
        assert [line.typed for line in runs.twin.lines] == [b"", b"a", b"c"]
        runs.twin.power = PowerState.OFF
        assert "No VM runs" in await refused(session.send_keys(b"d"))


async def test_a_screenshot_lies_in_the_record_of_the_run(tmp_path: Path) -> None:
    async with engine(tmp_path) as (runs, _, path), Session("tty1", path) as session:
        assert runs.twin is not None
        taken = await session.screenshot()
        assert Path(taken.path).parent == tmp_path / "screenshots" and taken.path.endswith("-work.png")
        assert (Path(taken.path).read_bytes(), taken.width, taken.height) == (PNG, 3, 2)
        assert (await session.vga_text()).lines == ("GRUB loading.",)
        runs.twin.vga = ()
        assert (await session.vga_text()).words.startswith("The VM's screen shows a picture")


async def test_pause_and_resume_are_told_and_need_the_lock(tmp_path: Path) -> None:
    async with (
        engine(tmp_path) as (runs, told, path),
        Session("tty1", path) as session,
        Session("ttyS0", path) as other,
    ):
        assert runs.twin is not None
        assert await refused(session.pause("tb9")) == "There is no run tb9 going on."
        await session.pause("tb1")
        assert runs.twin.power is PowerState.PAUSED
        assert (await other.look_at_vm()).power == "paused"
        assert await refused(other.resume("tb1")) == "tty1 is in control."
        assert await refused(session.pause("tb1")) == "The run is paused already."
        await session.resume("tb1")
        assert await refused(session.resume("tb1")) == "The run is not paused."
    assert [type(event) for event in told if event.run == "tb1"] == [e.Paused, e.Resumed]
