"""Terminals: which mode, what size, and what really goes over the wire."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import random
import struct
import sys
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pyte
import pytest

from appliance.model import messages as m
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_running import begin
from tui import terminal
from tui.app import _parser, choose
from tui.terminal import Mode

ROOT = Path(__file__).parents[2]
GLYPHS = set("─│┬└█░")  # in every Linux console font, and in ours


@pytest.mark.parametrize(
    ("name", "term", "locale", "mode"),
    [
        ("tty1", "linux", "ANSI_X3.4-1968", Mode.RICH),
        ("ttyS0", "linux", "UTF-8", Mode.BASIC),
        ("ttyAMA0", "xterm", "UTF-8", Mode.BASIC),
        ("hvc0", "vt220", "UTF-8", Mode.BASIC),
        ("pts/3", "xterm-256color", "UTF-8", Mode.RICH),
        ("pts/3", "xterm-256color", "ANSI_X3.4-1968", Mode.BASIC),
        ("pts/3", "vt100", "UTF-8", Mode.BASIC),
    ],
)
def test_each_terminal_gets_its_mode(name: str, term: str, locale: str, mode: Mode) -> None:
    assert terminal.choose_mode(name, term, locale) is mode


def test_options_choose_over_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(_parser().parse_args(["--client", "ttyS1", "--rich"])) == ("ttyS1", Mode.RICH)
    assert choose(_parser().parse_args(["--client", "tty2", "--basic"])) == ("tty2", Mode.BASIC)


def answering(answer: bytes) -> tuple[int, int]:
    """A pty whose other end answers the cursor question with `answer`."""
    ours, theirs = pty.openpty()

    def reply() -> None:
        heard = b""
        while b"\x1b[6n" not in heard:
            heard += os.read(ours, 64)
        os.write(ours, answer)

    threading.Thread(target=reply, daemon=True).start()
    return ours, theirs


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (b"\x1b[43;132R", (43, 132)),
        (b"junk\x1b[?6c\x1b[30;100R", (30, 100)),
        (b"", (24, 80)),
        (b"\x1b[1;1R", (24, 80)),
    ],
)
def test_a_line_without_a_size_is_asked_else_taken_for_80x24(answer: bytes, size: tuple[int, int]) -> None:
    ours, theirs = answering(answer)
    try:
        assert terminal.size_of(theirs) == (0, 0)
        assert terminal.settle_size(theirs) == size
        assert terminal.size_of(theirs) == size
    finally:
        os.close(ours)
        os.close(theirs)


async def on_a_pty(
    engine: FakeEngine,
    arguments: list[str],
    term: str,
    keys: Sequence[bytes],
    env: dict[str, str],
    kill: bool = False,
    until: bytes = b"LAB-0001",
) -> bytes:
    """Run the console script on a pty of 80x24, send `keys` once `until` is seen; every byte it wrote.

    It is left by Ctrl+Q, or by SIGKILL where `kill` is said.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {
        **os.environ,
        "TERM": term,
        "TWINBOOT_SOCKET": str(engine.path),
        "LC_ALL": "C.UTF-8",
        **env,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tui.app",
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    written = bytearray()

    def read() -> None:
        try:
            written.extend(os.read(ours, 65536))
        except OSError:
            asyncio.get_running_loop().remove_reader(ours)

    asyncio.get_running_loop().add_reader(ours, read)
    try:
        for _ in range(400):
            if until in written:
                break
            await asyncio.sleep(0.03)
        for key in keys:
            os.write(ours, key)
            await asyncio.sleep(0.25)
        if kill:
            process.kill()
        else:
            os.write(ours, b"\x11")
        await asyncio.wait_for(process.wait(), 15)
    finally:
        if process.returncode is None:
            process.kill()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
    return bytes(written)


def drawn(written: bytes) -> pyte.Screen:
    """What a terminal shows just before the console leaves it."""
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    stream.feed(written.split(b"\x1b[?1049l")[0])
    return screen


@pytest.mark.parametrize("term", ["vt220", "linux"])
async def test_basic_sends_not_one_byte_outside_ascii(engine: FakeEngine, term: str) -> None:
    written = await on_a_pty(engine, ["--client", "ttyS0"], term, [b"n", b"b"], {})
    assert max(written) < 128
    assert len(written) < 10_000 + 2 * 4_000, "start and two keys on a serial line"
    screen = drawn(written)
    assert any("tb1-trial" in row for row in screen.display) or any(
        "Change nothing" in row for row in screen.display
    )


async def test_rich_uses_only_glyphs_every_console_font_has(engine: FakeEngine) -> None:
    written = await on_a_pty(engine, ["--client", "tty1"], "linux", [b"b"], {})
    used = {c for c in written.decode() if ord(c) > 127}
    assert used and used <= GLYPHS
    screen = drawn(written)
    same = [
        (y, x)
        for y in range(24)
        for x in range(80)
        if screen.buffer[y][x].fg == screen.buffer[y][x].bg != "default"
    ]
    assert same == []


async def test_no_color_is_still_readable(engine: FakeEngine) -> None:
    written = await on_a_pty(engine, ["--client", "tty1"], "linux", [], {"NO_COLOR": "1"})
    screen = drawn(written)
    assert any("Debian GNU/Linux 12" in row for row in screen.display)
    assert {(c.fg, c.bg) for row in screen.buffer.values() for c in row.values()} == {("default", "default")}


async def test_no_cell_is_painted_in_its_own_background(engine: FakeEngine) -> None:
    engine.script[m.GetRecord] = lambda say: m.RecordOf(
        run="tb1", verdict=story.verdict(Result.FAIL), text=""
    )
    async with desk(engine, mode=Mode.RICH) as here:
        for keys in ("", "v", "p", "l", "slash", "n", "b", "q", "question_mark"):
            if keys:
                await here.press(keys)
                await here.pilot.pause(0.1)
            for strip in here.app.screen._compositor.render_strips():
                for segment in strip:
                    style = segment.style
                    if style and style.color and style.bgcolor and not style.color.is_default:
                        assert style.color != style.bgcolor, (keys, segment)
            await here.press("escape", "escape")


@pytest.mark.parametrize("size", [(40, 12), (79, 24), (80, 23)])
async def test_a_small_terminal_says_so_and_lives(engine: FakeEngine, size: tuple[int, int]) -> None:
    async with desk(engine, size=size) as here:
        await here.sees("TWINBOOT", f"{size[0]}x{size[1]}")
        await here.press("n", "enter", "escape", "l", "escape")
        await here.pilot.resize_terminal(80, 24)
        await here.sees("What this machine can start")


async def test_wide_and_tall_is_used(engine: FakeEngine) -> None:
    async with desk(engine, size=(132, 43)) as here:
        await here.sees("PASS, 7 of 9 services could be tested")
        assert max(len(row) for row in here.text.splitlines()) > 100


async def test_the_mode_switches_with_a_key_and_nothing_moves(engine: FakeEngine) -> None:
    async with desk(engine, mode=Mode.RICH) as here:
        await here.sees("└─ tb1-trial", "─── What")
        await here.press("ctrl+t")
        await here.sees("+- tb1-trial", "--- What")
        assert here.text.isascii()
        assert choose(_parser().parse_args(["--client", "tty1"])) == ("tty1", Mode.BASIC), "not remembered"
        await here.press("f4")
        await here.sees("└─ tb1-trial")
    assert choose(_parser().parse_args(["--client", "tty1"])) == ("tty1", Mode.RICH)


async def test_junk_from_a_terminal_harms_nothing(engine: FakeEngine) -> None:
    """Late answers and line noise arrive as keys: no crash, no act, and the console still answers."""
    rng = random.Random(7)
    replies = [
        b"\x1b[8;24;80t",
        b"\x1b[?6c",
        b"\x1b[24;80R",
        b"\x1b]11;rgb:0000/0000/0000\x07",
        b"\x1bP1$r0m\x1b\\",
        b"\x1b[?2026;2$y",
        b"\x1b[<0;10;10M",
        b"\xff\xfe\x80",
        b"\x00\x1b",
        b"\x1b[99~",
        b"\x1b[200~rm -rf /\r\x1b[201~",
    ]
    keys = b"".join(rng.choice(replies) for _ in range(60))
    written = await on_a_pty(engine, ["--client", "ttyS0"], "vt220", [keys, b"\x1b", b"\x1b", b"\x1b"], {})
    assert b"Traceback" not in written
    assert engine.said(m.Start, m.Approve, m.Cancel, m.Power, m.TakeOver) == []


async def test_killed_in_mid_run_it_is_back_at_the_run_within_seconds(engine: FakeEngine) -> None:
    begin(engine, until="patched")
    for _ in range(2):
        begun = time.monotonic()
        written = await on_a_pty(
            engine, ["--client", "ttyS0"], "vt220", [], {}, kill=True, until=b"Patched boot"
        )
        assert any("[ok]  6 Install" in row for row in drawn(written).display)
        assert time.monotonic() - begun < 15, "5 s on a quiet machine"
    assert engine.said(m.Start, m.Approve, m.Cancel, m.Power, m.TakeOver) == []
