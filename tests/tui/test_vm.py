"""The VM on the console: looked at, typed in, searched, paused; nothing it sends reaches the terminal raw."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.errors import Busy, Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model import vm_messages as v
from appliance.model.plan import PatchKind
from tests.tui.conftest import Desk, desk
from tests.tui.engine import FakeEngine
from tests.tui.fake_vm import FakeVm
from tests.tui.test_running import begin, watch
from tui.terminal import Mode
from tui.vmkeys import bytes_of
from tui.vmview import VmView, styled


async def open_vm(here: Desk) -> None:
    await watch(here)
    await here.press("w")
    await here.sees("READ ONLY")


async def test_it_is_looked_at_and_no_key_reaches_it(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    vm.terminal.feed(b"Debian GNU/Linux 12 ledger ttyS0\r\n\r\nledger login: ")
    async with desk(engine) as here:
        await open_vm(here)
        await here.sees("VM tb1-work  READ ONLY", "ledger login:", "I type", "T screen text", "Esc back")
        vm.terminal.feed(b"root\r\n\x1b]0;x\x07\x1b[31m\x1b[7mfailed\x1b[0m \xe2\x9c\x93")
        await here.sees("ledger login: root", "failed")
        await here.press("x", "z", "enter", "down")
        assert "\x1b" not in here.text and here.text.isascii()
        await here.press("question_mark")
        await here.sees("Help: vm", "Ctrl+]")
        looks = vm.looks
        await here.pilot.pause(0.5)
        assert vm.looks <= looks + 1, "a page that is covered asks for nothing"
        await here.press("escape", "escape")
        await here.sees("--- Steps")
    assert engine.said(v.SendKeys, v.TakeKeyboard) == []


async def test_the_keyboard_is_taken_typed_on_and_given_back(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    vm.terminal.feed(b"root@ledger:~# ")
    async with desk(engine) as here:
        await open_vm(here)
        await here.press("i")
        await here.sees("KEYBOARD IS THE VM'S: Ctrl+] gives it back", " Ctrl+] give the keyboard back")
        assert "READ ONLY" not in here.text and "Esc back" not in here.text
        await here.press("q", "question_mark", "Q", "escape", "up", "f1", "ctrl+c", "tab", "enter", "ctrl+t")
        await here.until(lambda: vm.typed.endswith(b"\x14"), "the keys")
        assert vm.typed == b"q?Q\x1b\x1b[A\x1bOP\x03\t\r\x14"
        await here.press("ctrl+right_square_bracket")
        await here.sees("READ ONLY", "I type")
        await here.press("i")
        await here.sees("KEYBOARD IS THE VM'S")
        await here.press("f12", "escape")
        await here.sees("--- Steps")
        assert vm.holder == ""
    assert len(engine.said(v.TakeKeyboard)) == len(engine.said(v.GiveKeyboard)) == 2


async def test_a_keyboard_that_is_gone_or_refused_is_said(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    async with desk(engine) as here:
        await open_vm(here)
        await here.press("i")
        await here.sees("KEYBOARD IS")
        vm.holder = "ttyS0"
        await here.sees("READ ONLY: ttyS0 types", "You no longer have the VM's keyboard.")
        await here.press("i")
        await here.sees("KEYBOARD IS")
        engine.script[v.SendKeys] = lambda say: (_ for _ in ()).throw(Refused(("No VM runs at the moment.",)))
        await here.press("x")
        await here.sees("READ ONLY", "No VM runs at the moment.")
        engine.script[v.TakeKeyboard] = lambda say: (_ for _ in ()).throw(Busy("ttyS0 is in control."))
        await here.press("i")
        await here.sees("ttyS0 is in control", "T take over")
    assert vm.typed == b""


async def test_scrollback_and_find(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    for number in range(60):
        vm.terminal.feed(
            b"[%5d.0] step %d %s\r\n" % (number, number, b"FAILED" if number in (7, 30) else b"ok")
        )
    async with desk(engine) as here:
        await open_vm(here)
        await here.sees("step 59")
        assert "step 30 " not in here.text
        await here.press("pageup")
        await here.sees("step 24", "End follows again")
        vm.terminal.feed(b"news\r\n")
        await here.press("end")
        await here.sees("news")
        await here.press("slash", *"failed", "enter")
        await here.sees("step 30 FAILED", 'Found "failed"')
        await here.press("n")
        await here.sees("step 7 FAILED")
        await here.press("n")
        await here.sees('"failed" is not in the lines above.')
        await here.press("N")
        await here.sees("step 30 FAILED", 'Found "failed"')
        await here.press("slash", "escape", "escape")
        await here.sees("--- Steps")


async def test_vga_text_screenshot_and_pause(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    async with desk(engine) as here:
        await open_vm(here)
        await here.sees("It has said nothing on its serial port yet. T reads the text of its screen.")
        await here.press("t")
        await here.sees("The VM's screen", "grub rescue> _")
        vm.vga = ()
        await here.press("r")
        await here.sees("It shows a picture.")
        await here.press("escape", "s")
        await here.sees("Kept in the run's report: 1-work.png, 720x400.")
        await here.press("p")
        await here.sees("PAUSED  READ ONLY", "P lets it go on", "P unpause")
        await here.press("p")
        await here.sees("The VM goes on.")
        assert [type(say) for say in engine.said(v.Pause, v.Resume)] == [v.Pause, v.Resume]
        vm.power = "off"
        await here.sees("OFF  READ ONLY")
        assert "I type" not in here.text
        await here.press("i", "p", "s", "t")
        vm.power = "none"
        await here.sees("NO VM NOW")
    assert len(engine.said(v.TakeScreenshot)) == 1 and engine.said(v.TakeKeyboard) == []


async def test_work_by_hand_leads_there_and_back_to_the_question(engine: FakeEngine) -> None:
    begin(engine, kind=PatchKind.BY_HAND)
    view = engine.status.running
    assert view is not None
    engine.status = replace(engine.status, running=replace(view, gate="by-hand", gate_sentence="Work in it."))
    FakeVm(engine)
    async with desk(engine) as here:
        await watch(here)
        await here.sees(
            "WAITING FOR YOU", "W opens the twin's console: press I there, and you are root in the twin."
        )
        await here.press("w")
        await here.sees("READ ONLY", "G go on", "Esc back  ? help")
        await here.press("g")
        await here.sees("Go on with Rehearsal tb1", "type yes")
        await here.press("y", "e", "s", "enter")
        await here.until(lambda: bool(engine.said(m.Approve)), "the approval")
    assert engine.said(m.Approve) == [m.Approve(run="tb1", gate="by-hand", typed="yes")]


async def test_pause_from_the_run_and_for_who_comes_later(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    FakeVm(engine)
    async with desk(engine) as here:
        await watch(here)
        await here.press("p")
        await here.sees("P lets it go on")
        view = engine.status.running
        assert view is not None
        engine.status = replace(engine.status, running=replace(view, paused=True))
        engine.push(e.Paused(run="tb1"))
        await here.sees("PAUSED  Rehearsal tb1", "P unpause")
        async with desk(engine, client="ttyS0") as other:
            await other.sees("PAUSED  Rehearsal tb1")
        await here.press("f8")
        engine.status = replace(engine.status, running=view)
        engine.push(e.Resumed(run="tb1", seconds=3))
        await here.until(lambda: "PAUSED" not in here.text, "the run going on")
        engine.script[v.Pause] = lambda say: (_ for _ in ()).throw(Refused(("No VM runs at the moment.",)))
        await here.press("p")
        await here.sees("No VM runs at the moment.")
    assert engine.said(v.Pause, v.Resume)[:2] == [v.Pause(run="tb1"), v.Resume(run="tb1")]


async def test_a_serial_line_is_sent_fewer_pictures(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine, "ttyS0")
    async with desk(engine, client="ttyS0") as here:
        await open_vm(here)
        looks = vm.looks
        await here.pilot.pause(1.0)
        assert vm.looks <= looks + 1
        await here.press("i")
        await here.sees("KEYBOARD IS")
        looks = vm.looks
        await here.pilot.pause(1.3)
        assert looks + 1 <= vm.looks <= looks + 4


async def test_a_wide_terminal_shows_the_whole_screen_with_what_was_before(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    vm = FakeVm(engine)
    for number in range(30):
        vm.terminal.feed("строка %d 你好\r\n".encode() % number)
    async with desk(engine, mode=Mode.RICH, size=(132, 43)) as here:
        await here.sees("── Steps")
        await here.press("w")
        await here.sees("строка 0 你好", "строка 29 你好")


def test_a_picture_of_another_vm_begins_anew() -> None:
    seen = VmView()
    assert seen.take(
        v.VmPicture(vm="a", rows=(v.VmRow(number=0, text="old"),), older=("before",), scrolled=1)
    )
    assert not seen.take(v.VmPicture(vm="a", scrolled=1))
    assert seen.take(
        v.VmPicture(vm="b", rows=(v.VmRow(number=99, text="x"), v.VmRow(number=1, text="new\x1b[1m")))
    )
    assert seen.texts[:3] == ["", "new", ""] and seen.older == []
    assert seen.cursor_row == 1


def test_marks_are_cells_not_characters() -> None:
    assert styled("你好ab", [(2, 4, "bar"), (5, 7, "cursor")]) == (
        ("你", ""), ("好", "bar"), ("a", ""), ("b ", "cursor"),
    )  # fmt: skip
    assert styled("", []) == ()


@pytest.mark.parametrize(
    "key, character, sent",
    [("a", "a", b"a"), ("é", "é", "é".encode()), ("ctrl+d", "\x04", b"\x04"), ("ctrl+d", None, b"\x04"),
     ("ctrl+right", None, b""), ("backspace", "\x08", b"\x7f"),
     ("alt+x", "x", b"\x1bx"), ("delete", None, b"\x1b[3~"), ("f12", None, b"\x1b[24~"),
     ("ctrl+j", "\n", b"\n"), ("space", " ", b" "), ("ctrl+@", "\x00", b"\x00")],
)  # fmt: skip
def test_keys_as_bytes(key: str, character: str | None, sent: bytes) -> None:
    assert bytes_of(key, character) == sent
