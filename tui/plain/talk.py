"""Lines in, lines out: what is said, what is asked, and where a script goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from tui.words import clean, to_ascii, wrap

WIDTH = 78


class Left(Exception):
    """Whoever sat there has gone: end of input, or they chose to leave."""


class WrongAnswer(Exception):
    """A script said something that fits no question: nothing more may be pressed on its behalf."""


@contextlib.contextmanager
def hidden(terminal: TextIO | None) -> Iterator[None]:
    """What is typed meanwhile is not shown (termios(3), ECHO)."""
    if terminal is None:
        yield
        return
    before = termios.tcgetattr(terminal.fileno())
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(terminal.fileno(), termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the line was hung up
            termios.tcsetattr(terminal.fileno(), termios.TCSADRAIN, before)


class Talk:
    """One conversation. `heard` waits for lines without blocking the events of a run."""

    def __init__(self, source: TextIO, out: TextIO) -> None:
        self.source, self.out = source, out
        self.person = source.isatty()
        self.lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._torn = b""

    def listen(self) -> None:
        """Begin to read. A terminal or pipe is read as it speaks, a file (which epoll refuses) at once."""
        loop, fd = asyncio.get_running_loop(), self.source.fileno()
        try:
            loop.add_reader(fd, self._read, loop, fd)
        except PermissionError:
            while self._take(os.read(fd, 65536)):
                pass

    def _read(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        try:
            more = self._take(os.read(fd, 4096))
        except OSError:
            more = self._take(b"")  # the line was hung up
        if not more:
            loop.remove_reader(fd)

    def _take(self, data: bytes) -> bool:
        """Whole lines go into the queue; the end of input is None. False at the end."""
        self._torn += data
        *whole, self._torn = self._torn.split(b"\n") if data else [self._torn, b""]
        for line in whole:
            if data or line:
                self.lines.put_nowait(line.decode(errors="replace"))
        if not data:
            self.lines.put_nowait(None)
        return bool(data)

    def say(self, *texts: str, first: str = "", indent: str = "") -> None:
        """Each text on lines of its own, wrapped; "" is an empty line."""
        for text in texts:
            for row in wrap(text, WIDTH, indent, first or indent) if text else [""]:
                print(to_ascii(row).rstrip(), file=self.out)
        self.out.flush()

    def item(self, mark: str, text: str) -> None:
        """A text behind a number or a word, its further lines indented."""
        self.say(text, first=f"  {mark}  ", indent=" " * (len(mark) + 4))

    async def ask(self, prompt: str) -> str:
        """One line of answer, without blanks around it. Raises Left at the end of input."""
        line = await self._line(prompt)
        if not self.person:
            print(to_ascii(clean(line)).strip(), file=self.out, flush=True)
        return clean(line).strip()

    async def ask_secret(self, prompt: str) -> str:
        """One line to the letter, which a person does not see and which is not told again. Raises Left."""
        with hidden(self.source if self.person else None):
            secret = await self._line(prompt)
            print(file=self.out, flush=True)
        return secret.removesuffix("\r")

    async def _line(self, prompt: str) -> str:
        print(to_ascii(prompt), end=" ", file=self.out, flush=True)
        line = await self.lines.get()
        if line is None:
            print(file=self.out, flush=True)
            self.lines.put_nowait(None)
            raise Left
        return line

    async def choose(self, title: str, options: Sequence[tuple[str, str]], back: bool = True) -> str:
        """The word of the chosen option; "" where Enter alone goes back. Raises WrongAnswer for a script."""
        while True:
            self.say("", title)
            for number, (word, text) in enumerate(options, 1):
                self.item(f"{number:2}", f"{word}: {text}")
            said = (await self.ask("Number or word" + (", Enter goes back:" if back else ":"))).casefold()
            if found := self._chosen(said, [word for word, _ in options]):
                return found
            if not said:
                if back:
                    return ""
                continue
            self.wrong(said, [word for word, _ in options])

    def _chosen(self, said: str, words: Sequence[str]) -> str:
        if said.isascii() and said.isdigit() and 1 <= int(said) <= len(words):
            return words[int(said) - 1]
        return said if said in words else ""

    def wrong(self, said: str, words: Iterable[str]) -> None:
        """What was said fits nothing: a person is told and asked again, a script is stopped."""
        sentence = f'"{said}" is not possible here. Possible: {", ".join(words)}.'
        self.say(sentence)
        if not self.person:
            raise WrongAnswer(sentence)
