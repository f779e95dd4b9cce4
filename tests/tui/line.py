"""The console on a real line: a pty whose other end is a terminal, drawn by pyte, every byte counted."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
QUIET = 0.2  # seconds without a byte: what a key asked for has come

ESCAPE = 0.4  # seconds after which an Esc is no longer the begin of a sequence, see tui.app.ENVIRONMENT


class Line:
    """One end of the line. `written` is all that the console sent, `screen` what a terminal makes of it."""

    def __init__(self, ours: int, process: asyncio.subprocess.Process, size: tuple[int, int]) -> None:
        self.ours, self.process = ours, process
        self.written = bytearray()
        self.screen = pyte.Screen(size[0] or 80, size[1] or 24)
        self.stream = pyte.ByteStream(self.screen)
        self.last = time.monotonic()

    def take(self) -> None:
        try:
            data = os.read(self.ours, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self.ours)
            return
        self.written += data
        self.stream.feed(data)
        self.last = time.monotonic()

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.screen.display)

    async def sees(self, *words: str, seconds: float = 20.0) -> None:
        """Wait until the words stand on the terminal."""
        until = time.monotonic() + seconds
        for word in words:
            while word not in self.text:
                if time.monotonic() > until or self.process.returncode is not None:
                    raise AssertionError(f"waited for {word!r}; the terminal shows:\n{self.text}")
                await asyncio.sleep(0.02)

    async def press(self, keys: bytes, *words: str, limit: float = 3.0) -> int:
        """Send keys, wait for the words and until the line is quiet; how many bytes came back."""
        before = len(self.written)
        os.write(self.ours, keys)
        if keys.endswith(b"\x1b"):
            await asyncio.sleep(ESCAPE)
        await self.sees(*words)
        self.last = time.monotonic()
        until = self.last + limit
        while time.monotonic() < min(until, self.last + QUIET):
            await asyncio.sleep(0.02)
        return len(self.written) - before

    async def moves(self, seconds: float) -> None:
        """Wait until something is drawn though nobody presses a key, and is on the terminal whole."""
        before, until = len(self.written), time.monotonic() + seconds
        while len(self.written) == before:
            if time.monotonic() > until:
                raise AssertionError(
                    f"nothing was drawn for {seconds:.0f} s; the terminal shows:\n{self.text}"
                )
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)

    async def rate(self, seconds: float) -> float:
        """Bytes a second that come while nobody presses a key."""
        before = len(self.written)
        await asyncio.sleep(seconds)
        return (len(self.written) - before) / seconds

    def cells(self) -> Iterator[tuple[int, int, pyte.screens.Char]]:
        for y in range(self.screen.lines):
            for x in range(self.screen.columns):
                yield y, x, self.screen.buffer[y][x]

    def invisible(self) -> list[tuple[int, int]]:
        """Cells whose text has the colour of its background."""
        return [(y, x) for y, x, cell in self.cells() if cell.fg == cell.bg != "default"]

    async def leave(self) -> int:
        """By Ctrl+Q; the exit status."""
        os.write(self.ours, b"\x11")
        return await asyncio.wait_for(self.process.wait(), 15)

    async def hang_up(self) -> None:
        """The line breaks: the kernel says SIGHUP to who had it as controlling terminal."""
        asyncio.get_running_loop().remove_reader(self.ours)
        os.close(self.ours)
        self.ours = -1
        await asyncio.wait_for(self.process.wait(), 15)


async def on_pty(
    arguments: tuple[str, ...], env: dict[str, str], size: tuple[int, int]
) -> tuple[int, asyncio.subprocess.Process]:
    """The console script with a new pty as its controlling terminal; our end of it, which does not block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tui.app", *arguments, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
        env=env, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    return ours, process


@contextlib.asynccontextmanager
async def line(
    socket: Path,
    client: str = "ttyS0",
    term: str = "vt220",
    size: tuple[int, int] = (80, 24),
    env: dict[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> AsyncIterator[Line]:
    """The console script on a new pty of `size` columns and rows; 0, 0 is a line nobody told its size."""
    more = {"TERM": term, "TWINBOOT_SOCKET": str(socket), "LC_ALL": "C.UTF-8", **(env or {})}
    ours, process = await on_pty(("--client", client, *arguments), {**os.environ, **more}, size)
    here = Line(ours, process, size)
    asyncio.get_running_loop().add_reader(ours, here.take)
    try:
        yield here
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if here.ours >= 0:
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)
