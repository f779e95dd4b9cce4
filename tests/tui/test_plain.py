"""The line mode: through a pty as a person at a dumb terminal, and by a script on standard input."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance import cli
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, Verb
from appliance.model.service_messages import OnStick
from tests.tui import story
from tests.tui.engine import FakeEngine
from tests.tui.line import on_pty
from tests.tui.player import Player

ROOT = Path(__file__).parents[2]
CHANGING = (m.Start, m.Approve, m.Cancel, m.Power, m.TakeOver)


@pytest.fixture
async def player(tmp_path: Path) -> AsyncIterator[Player]:
    """An engine that plays what it is told, a minute in a hundredth of a second."""
    fake = Player(tmp_path / "engine.sock", story.machine(), "good", 5000)
    fake.stick = OnStick()
    await fake.start()
    yield fake
    await fake.stop()


def environment(engine: FakeEngine) -> dict[str, str]:
    return {**os.environ, "TERM": "dumb", "TWINBOOT_SOCKET": str(engine.path), "PYTHONPATH": str(ROOT)}


async def script(engine: FakeEngine, *answers: str) -> tuple[int, str]:
    """Run the line mode with these lines on its input; its exit status and all it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tui.app", "--plain", "--client", "cli", cwd=ROOT, env=environment(engine),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate("".join(f"{a}\n" for a in answers).encode()), 40)
    assert process.returncode is not None
    assert said.isascii() and b"\x1b" not in said and b"Traceback" not in said
    return process.returncode, said.decode()


class Person:
    """Somebody at a dumb terminal: types lines, reads what comes."""

    def __init__(self, line: int, process: asyncio.subprocess.Process) -> None:
        self.line, self.process = line, process
        self.read = bytearray()

    def take(self) -> None:
        try:
            self.read.extend(os.read(self.line, 65536))
        except OSError:
            asyncio.get_running_loop().remove_reader(self.line)

    async def sees(self, *words: str) -> None:
        for word in words:
            for _ in range(600):
                if word.encode() in self.read:
                    break
                await asyncio.sleep(0.02)
            else:
                raise AssertionError(f"waited for {word!r}; read:\n{self.read.decode(errors='replace')}")

    async def types(self, text: str, *then: str) -> None:
        self.read.clear()
        os.write(self.line, text.encode())
        await self.sees(*then)


@asynccontextmanager
async def person(engine: FakeEngine) -> AsyncIterator[Person]:
    """The console as a dumb terminal's line starts it."""
    ours, process = await on_pty(("--client", "ttyS0"), environment(engine), (0, 0))
    here = Person(ours, process)
    asyncio.get_running_loop().add_reader(ours, here.take)
    try:
        yield here
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


async def test_a_person_rehearses_reads_and_promotes_by_numbers(player: Player) -> None:
    async with person(player) as here:
        await here.sees("serial LAB-0001", "Debian GNU/Linux 12", "Next boot: ", "1  rehearse:")
        await here.types("70\n", '"70" is not possible here')
        await here.types("rehearse\n", "What shall the twin get?", "3  security:")
        await here.types("3\n", "Step 12:", "Room: about 1.1 GiB of 1.8 GiB free", "type yes")
        await here.types("no\n", "Nothing was done.", "rehearse:")
        assert player.said(*CHANGING) == []
        await here.types("rehearse\n", "security:")
        await here.types("security\n", "type yes")
        await here.types("yes\n", "Step 16 of 16", "VERDICT: PASS", "tb1 finished: done", "promote:")
        await here.types(
            "promote\n", "Verdict of tb1: PASS", "Power cut here:", "type the last 4 characters of LAB-0001"
        )
        await here.types("0002\n", "Nothing was done.", "promote:")
        await here.types("promote\n", "type the last 4")
        await here.types(
            "0001\n", "WAITING FOR YOU", "Going on as confirmed.", "tb1 finished: done", "rollback:"
        )
        await here.types("quit\n", "A run goes on without this terminal")
        assert await here.process.wait() == 0
    starts = player.said(m.Start)
    assert [(s.plan.request.verb, s.dry) for s in starts] == [(Verb.REHEARSE, False), (Verb.PROMOTE, False)]
    assert starts[0].plan.request.patch.kind is PatchKind.SECURITY
    assert player.said(m.Approve) == [m.Approve(run="tb1", gate="confirm", typed="0001")]


async def test_ctrl_c_leaves_and_stops_nothing(player: Player) -> None:
    player.pace = 100
    async with person(player) as here:
        await here.sees("rehearse:")
        await here.types("rehearse\n", "nothing:")
        await here.types("nothing\n", "type yes")
        await here.types("yes\n", "Enter goes back to the menu", "Step 2 of 16")
        await here.types("\n", "The run goes on.", "tb1 goes on. What do you want to do?", "cancel:")
        await here.types("cancel\n", "type yes")
        await here.types("\n", "Nothing was done; the run goes on.")
        await here.types("watch\n", "Step ")
        await here.types("\x03", "A run goes on without this terminal")
        assert await here.process.wait() == 130
    assert player.said(m.Cancel) == []
    assert player.task is not None and not player.task.cancelled()


async def test_a_script_does_all_of_it_and_its_status_says_how_it_went(player: Player) -> None:
    status, said = await script(
        player, "rehearse", "nothing", "yes", "verdict", "promote", "0001", "log", "armed", "quit"
    )
    assert status == 0
    assert re.search(r"type the last 4 characters of LAB-0001 .*: 0001\n", said)
    assert [s.plan.request.verb for s in player.said(m.Start)] == [Verb.REHEARSE, Verb.PROMOTE]
    player.say_state(State.SEALED)
    player.result = story.v.Result.FAIL
    status, said = await script(player, "promote", "no", "quit")
    assert status == 3 and "The verdict of tb1 is FAIL" in said and "What is safe:" in said
    assert len(player.said(m.Start)) == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["promte"], '"promte" is not possible here'),
        (["rehearse", "nothing", "yess"], "Possible: yes, commands, save."),
        (["99"], '"99" is not possible here'),
        (["rehearse", "kernel"], "Possible: nothing, all"),
    ],
)
async def test_a_script_whose_answer_fits_nothing_ends_there(
    player: Player, answers: list[str], words: str
) -> None:
    status, said = await script(player, *answers, "yes", "poweroff", "yes")
    assert status == 2 and words in said and "Nothing more is done" in said
    assert player.said(*CHANGING) == []


async def test_a_roll_back_asks_what_goes_back_and_tells_what_is_lost(player: Player) -> None:
    player.say_state(State.KEPT)
    status, said = await script(
        player, "rollback", "", "rollback", "data", "", "rollback", "2", "0001", "quit"
    )
    assert status == 0
    for words in (
        "What goes back?",
        "1  system: the system only",
        "2  data: the system and its data",
        "Written since the trial began: /srv, about 70.0 MiB.",
        "A data base lies in /srv/pg: it goes back as well.",
        "Taken away from /srv, and kept in vg0/srv-tb1-undone.",
        "twinboot rollback tb1 --with-data",
    ):
        assert " ".join(words.split()) in " ".join(said.split()), words
    (start,) = player.said(m.Start)
    assert start.plan.request.with_data and start.plan.request.verb is Verb.ROLLBACK


async def test_a_roll_back_of_the_system_alone_says_that_data_stays(player: Player) -> None:
    player.say_state(State.KEPT)
    status, said = await script(player, "rollback", "system", "0001", "quit")
    assert status == 0 and "the old program may not read" in said
    assert "stays as it is now" in " ".join(said.split())
    assert [s.plan.request.with_data for s in player.said(m.Start)] == [False]


async def test_where_no_system_has_data_of_its_own_nothing_is_asked(tmp_path: Path) -> None:
    found = story.machine()
    bare = replace(found, systems=tuple(replace(s, volumes=(s.root,)) for s in found.systems))
    engine = Player(tmp_path / "bare.sock", bare, "good", 5000)
    engine.stick = OnStick()
    await engine.start()
    engine.say_state(State.ARMED)
    status, said = await script(engine, "rollback", "0001", "quit")
    await engine.stop()
    assert status == 0 and "What goes back?" not in said
    assert "the trial has not run" in " ".join(said.split())


async def test_a_failed_run_is_told_in_full_and_is_the_status(tmp_path: Path, player: Player) -> None:
    player.ending = "fails"
    status, said = await script(player, "rehearse", "all", "yes")
    assert status == 1
    for words in ("STOPPED. Code SPACE-01.", "What is safe:", "1  Give the pool 2 GiB more", "Left."):
        assert words in said


async def test_by_hand_waits_and_another_terminal_in_control_is_said(player: Player) -> None:
    status, said = await script(
        player, "rehearse", "by-hand", "yes", "go-on", "yes", "take-over", "no", "keep"
    )
    assert "WAITING FOR YOU: Work in the twin" in said and player.said(m.Approve)[0].typed == "yes"
    assert status == 2, "take-over is not offered to who is in control"
    player.status = replace(player.status, operator="tty1")
    status, said = await script(player, "poweroff", "yes", "take-over", "yes", "quit")
    assert "Code BUSY-01" in said and "You are in control." in said and status == 4


async def test_every_refusal_and_two_systems_without_kvm(tmp_path: Path) -> None:
    machine = replace(story.machine("two-systems"), kvm=False)
    engine = Player(tmp_path / "two.sock", machine, "good", 5000)
    engine.stick = OnStick()
    await engine.start()
    status, said = await script(engine, "rehearse", "2", "packages", "nginx ledger", "", "quit")
    assert status == 3 and "no hardware virtualisation" in said
    asked = engine.said(m.MakePlan)[0].request
    assert (asked.system, asked.patch.packages, asked.emulate) == (
        machine.systems[1].id, ("nginx", "ledger"), False,
    )  # fmt: skip
    status, said = await script(engine, "rehearse", "2", "packages", "nginx; reboot", "x", "quit")
    assert status == 2 and "'nginx;' is not a package name." in said
    status, said = await script(engine, "rehearse", "1", "bundle", "june", "yes", "yes", "commands", "")
    asked = engine.said(m.MakePlan)[1].request
    assert (asked.patch.bundle, asked.patch.allow_unsigned, asked.emulate) == ("june", True, True)
    assert status == 0 and engine.said(m.Start)[0].dry and len(engine.said(m.Start)) == 1
    await engine.stop()


async def test_a_file_is_a_script_too_and_no_textual_is_loaded(player: Player, tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("machine\nquit")
    code = "import sys, tui.plain.menu as m; s = m.main('cli'); print('textual' in sys.modules); sys.exit(s)"
    with (tmp_path / "answers").open() as answers:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdin=answers, stdout=asyncio.subprocess.PIPE,
            cwd=ROOT, env=environment(player),
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 0
    assert b"/dev/vda1" in said and said.rstrip().endswith(b"False")


def test_twinboot_plain_becomes_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, words: became.append(words))
    with pytest.raises(SystemExit):
        cli.main(["--plain"])
    assert became == [[sys.executable, "-m", "tui.app", "--plain"]]


async def test_a_hung_up_line_ends_the_client_alone(player: Player) -> None:
    async with person(player) as here:
        await here.sees("rehearse:")
        here.process.send_signal(signal.SIGHUP)
        assert await here.process.wait() == -signal.SIGHUP
    assert player.said(*CHANGING) == []


async def test_ssh_and_the_keyboard_by_lines_and_no_shell_for_a_script(player: Player) -> None:
    on = s.SshState(on=True, user="root", password="k7mp-x2qr-9fhw", addresses=("192.0.2.10",))
    player.script[s.GetSsh] = lambda say: s.SshState(on=False)
    player.script[s.SetSsh] = lambda say: on
    player.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")
    player.script[s.SetKeyboard] = lambda say: s.KeyboardIs(code=say.code)
    status, said = await script(player, "ssh", "", "ssh", "yes", "keyboard", "de", "shell", "quit")
    assert status == 0
    assert "ssh root@192.0.2.10" in said and "k7mp-x2qr-9fhw" in said and "de is in use" in said
    assert "needs a person at a terminal" in said
    assert player.said(s.SetSsh, s.SetKeyboard) == [s.SetSsh(on=True), s.SetKeyboard(code="de")]
    assert player.said(s.OpenShell) == []
