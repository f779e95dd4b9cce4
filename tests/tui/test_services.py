"""What the appliance itself offers: ssh, the keyboard, a root shell, the firmware's setup."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from appliance.errors import CommandFailed, Refused
from appliance.model import messages as m
from appliance.model import service_messages as s
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.line import line

ON = s.SshState(
    on=True, user="root", password="k7mp-x2qr-9fhw", fingerprint="SHA256:abc", addresses=("192.0.2.10",)
)
READY = s.ShellReady(argv=("sh", "-c", "echo in-the-shell; exit 7"), log="/run/twinboot/shells/a.log")


async def test_ssh_is_asked_shown_and_turned_off(engine: FakeEngine) -> None:
    now = s.SshState(on=False)
    engine.script[s.GetSsh] = lambda say: now
    engine.script[s.SetSsh] = lambda say: ON if say.on else s.SshState(on=False)
    async with desk(engine) as here:
        await here.press("a", "s")
        await here.sees("OFF", "nothing listens")
        await here.press("f", "o")
        await here.sees("Turn ssh on?")
        await here.press("n", "o", "enter")
        await here.sees("Nothing was done")
        assert engine.said(s.SetSsh) == []
        await here.press("y", "e", "s", "enter")
        await here.sees("ssh root@192.0.2.10", "k7mp-x2qr-9fhw", "SHA256:abc", "ssh is on.")
        await here.press("f")
        await here.sees("every session was ended")
    assert engine.said(s.SetSsh) == [s.SetSsh(on=True), s.SetSsh(on=False)]


async def test_whoever_came_by_ssh_is_asked_before_it_goes(engine: FakeEngine) -> None:
    engine.script[s.GetSsh] = lambda say: ON
    engine.script[s.SetSsh] = lambda say: s.SshState(on=False)
    async with desk(engine, client="pts/3") as here:
        await here.press("a", "s")
        await here.sees("k7mp-x2qr-9fhw")
        await here.press("f")
        await here.sees("Turn ssh off?", "this very session ends")
        await here.press("escape")
        assert engine.said(s.SetSsh) == []
        await here.press("f", "y", "e", "s", "enter")
        await here.sees("every session was ended")
    assert engine.said(s.SetSsh) == [s.SetSsh(on=False)]


async def test_ssh_without_an_address_says_what_to_do(engine: FakeEngine) -> None:
    engine.script[s.GetSsh] = lambda say: s.SshState(on=False)

    def no(say: m.AnySay) -> m.AnyReply:
        raise Refused(("No port of this appliance has an address: set the network first.",))

    engine.script[s.SetSsh] = no
    async with desk(engine) as here:
        await here.press("a", "s")
        await here.sees("OFF")
        await here.press("o", "y", "e", "s", "enter")
        await here.sees("[X] NOT DONE", "set the network first")


async def test_a_layout_is_chosen_and_tried(engine: FakeEngine) -> None:
    engine.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")
    engine.script[s.SetKeyboard] = lambda say: s.KeyboardIs(code=say.code)
    async with desk(engine) as here:
        await here.press("a", "k")
        await here.sees("> us     English, US  <- in use", "gb")
        await here.press("down", "down", "enter")
        await here.sees("> de     German, Austrian  <- in use", "The layout is in use.")
        await here.press("t", *"zy/", "enter")
        await here.press("escape", "escape")
        await here.sees("What this machine can start")
    assert engine.said(s.SetKeyboard) == [s.SetKeyboard(code="de")]


async def test_a_serial_line_is_told_that_its_layout_is_elsewhere(engine: FakeEngine) -> None:
    engine.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")

    def no(say: m.AnySay) -> m.AnyReply:
        raise CommandFailed("loadkeys ended with status 1: Unable to open file.")

    engine.script[s.SetKeyboard] = no
    async with desk(engine, client="ttyS0") as here:
        await here.press("a", "k")
        await here.sees("You are on ttyS0")
        await here.press("enter")
        await here.sees("[X] NOT DONE", "HOST-01", "Unable to open file")


async def test_a_shell_is_asked_for_and_not_opened_where_another_is_in_control(engine: FakeEngine) -> None:
    engine.status = replace(engine.status, operator="ttyS0")
    async with desk(engine) as here:
        await here.press("a", "r")
        await here.sees("Open a root shell", "logged")
        await here.press("enter")
        await here.sees("Nothing was typed")
        assert engine.said(s.OpenShell) == []
        await here.press("y", "e", "s", "enter")
        await here.sees("Another terminal is in control")
    assert engine.said(s.OpenShell) == [s.OpenShell(client="tty1")]
    assert engine.said(s.ShellClosed) == []


async def test_a_terminal_that_can_not_be_handed_over_says_so(engine: FakeEngine) -> None:
    engine.script[s.OpenShell] = lambda say: READY
    async with desk(engine) as here:
        await here.press("a", "r", "y", "e", "s", "enter")
        await here.sees("can not be handed to a shell")
    assert engine.said(s.ShellClosed) == []


async def test_the_shell_has_the_real_terminal_and_exit_leads_back(engine: FakeEngine) -> None:
    engine.script[s.OpenShell] = lambda say: READY
    async with line(engine.path) as here:
        await here.sees("What this machine can start")
        await here.press(b"a", "Root shell")
        await here.press(b"r", "Open a root shell")
        await here.press(b"yes\r", "The shell has ended.", "Plan files")
        assert re.search(rb"\x1b\[2J\x1b\[Hin-the-shell", here.written)
        await here.press(b"\x1b", "What this machine can start")
        assert await here.leave() == 0
    assert engine.said(s.ShellClosed) == [s.ShellClosed(log=READY.log, status=7)]


async def test_the_firmwares_setup_is_asked_for_where_it_is_uefi(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("q", "f")
        await here.sees("Restart into the firmware's setup?")
        await here.press("y", "e", "s", "enter")
        await here.sees("The machine is going down.")
    assert engine.said(m.Power) == [m.Power(act="firmware")]


@pytest.mark.parametrize("keys", ["f", "F"])
async def test_a_bios_machine_is_not_offered_its_setup(engine: FakeEngine, keys: str) -> None:
    engine.machine = story.machine("thin-bios")
    engine.status = replace(engine.status, machine=engine.machine)
    async with desk(engine) as here:
        await here.press("q")
        await here.sees("switch it off")
        assert "firmware" not in here.text
        await here.press(keys)
    assert engine.said(m.Power) == []
