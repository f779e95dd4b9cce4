"""A passphrase: the keyboard's layout first, then asked without being shown, and nowhere to be read later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.errors import CommandFailed
from appliance.model import messages as m
from appliance.model import service_messages as s
from tests.fixtures.machines.derive import LOCKED
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.offers import offer
from tests.tui.player import Player
from tests.tui.test_plain import person, script
from tui.screens.unlock import UnlockPage
from tui.widgets.secret import Secret

SECRET = "y-Z?@# \u00e9"
"""What a keyboard of another layout gets wrong, "?" and a character that is not ASCII."""
ASKED = m.Unlock(uuid=LOCKED, passphrase=SECRET.encode())


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    fake = FakeEngine(tmp_path / "engine.sock", story.machine("locked"))
    offer(fake)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def played(tmp_path: Path) -> AsyncIterator[Player]:
    fake = Player(tmp_path / "engine.sock", story.machine("locked"), "good", 5000)
    offer(fake)
    await fake.start()
    yield fake
    await fake.stop()


async def test_the_layout_is_asked_before_the_passphrase_which_is_never_shown(
    locked: FakeEngine, runtime: Path
) -> None:
    async with desk(locked) as here:
        await here.press("u")
        await here.sees("Keyboard of the machine's own screen", "A passphrase comes next")
        await here.press("down", "enter")
        await here.sees("Unlock an encrypted device", "/dev/vda4", LOCKED, "(Ctrl+K: another)")
        (layout,) = locked.said(s.SetKeyboard)
        for letter in SECRET:
            await here.pilot.press(
                {"?": "question_mark", " ": "space", "-": "minus", "@": "at", "#": "number_sign"}.get(
                    letter, letter
                )
            )
        await here.until(lambda: here.app.screen.query_one(Secret).value == SECRET, "all of it")
        assert SECRET[:2] not in here.text and "*" * len(SECRET) in here.text
        await here.press("enter")
        await here.sees("ledger", "Debian GNU/Linux 12")
        assert locked.said(m.Unlock) == [ASKED]
        assert SECRET[:3] not in here.text
    assert locked.calls.index(layout) < locked.calls.index(ASKED)
    assert not [file for file in runtime.rglob("*") if file.is_file() and b"y-Z" in file.read_bytes()]


async def test_a_wrong_one_is_said_where_it_is_typed_again(locked: FakeEngine) -> None:
    async with desk(locked, client="ttyS0") as here:
        await here.press("u")
        await here.sees("that of your own computer")
        await here.press("enter")
        await here.sees("Type the passphrase, then Enter.")
        assert locked.said(m.Unlock) == []
        await here.press(*"wrong", "enter")
        await here.sees("The passphrase does not open /dev/vda4. Is it the right keyboard (Ctrl+K)?")
        assert here.app.screen.query_one(Secret).value == ""
        await here.press(*"right", "enter")
        await here.sees("ledger", "Debian GNU/Linux 12")
    assert [say.passphrase for say in locked.said(m.Unlock) if isinstance(say, m.Unlock)] == [
        b"wrong",
        b"right",
    ]


async def test_whatever_else_goes_wrong_has_its_own_screen(locked: FakeEngine) -> None:
    def broken(say: m.AnySay) -> m.AnyReply:
        raise CommandFailed("cryptsetup could not be started.")

    locked.script[m.Unlock] = broken
    async with desk(locked, client="ttyS0") as here:
        await here.press("u", *"right", "enter")
        await here.sees("HOST-01", "cryptsetup could not be started.")


async def test_esc_and_the_keyboard_empty_the_field(locked: FakeEngine) -> None:
    async with desk(locked, client="ttyS0") as here:
        await here.press("u", *"half")
        field = here.app.screen.query_one(Secret)
        await here.press("ctrl+k")
        await here.sees("A passphrase comes next")
        assert field.value == ""
        await here.press("escape")
        await here.until(lambda: isinstance(here.app.screen, UnlockPage), "the page again")
        await here.press(*"half", "escape")
        await here.sees("unlock")
        assert field.value == ""
    assert locked.said(m.Unlock) == []


async def test_where_nothing_is_locked_there_is_no_such_key(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("u")
        await here.sees("What this machine can start")
        assert not isinstance(here.app.screen, UnlockPage)


async def test_a_script_unlocks_and_its_passphrase_is_not_repeated(played: Player) -> None:
    status, said = await script(played, "unlock", SECRET, "quit")
    assert status == 0
    assert "is encrypted (LUKS) and locked" in said and "/dev/vda4 is unlocked until power-off." in said
    assert "Debian GNU/Linux 12" in said and "y-Z" not in said
    assert played.said(m.Unlock) == [ASKED]
    status, said = await script(played, "unlock")
    assert "unlock:" not in said, "nothing is locked any more"


async def test_a_script_with_a_wrong_one_ends_with_its_status(played: Player) -> None:
    status, said = await script(played, "unlock", "wrong", "unlock", "", "quit")
    assert status == 3
    assert "LUKS-01" in said and "does not open /dev/vda4" in said
    assert len(played.said(m.Unlock)) == 1


async def test_a_person_at_a_dumb_terminal_does_not_see_it(played: Player) -> None:
    async with person(played) as here:
        await here.sees("unlock: look into an encrypted device")
        await here.types("unlock\n", "Passphrase of /dev/vda4 (not shown; Enter alone goes back):")
        await here.types("right\n", "/dev/vda4 is unlocked", "Debian GNU/Linux 12", "rehearse:")
        assert b"right" not in here.read
        await here.types("quit\n", "A run goes on without this terminal")
    (asked,) = played.said(m.Unlock)
    assert asked == m.Unlock(uuid=LOCKED, passphrase=b"right")
