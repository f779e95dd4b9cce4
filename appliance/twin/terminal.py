"""The twin's serial terminal: bytes in, rows of plain text out (pyte is a VT102 with some of xterm).

Whatever the guest sends ends in cells of one printable character each: control characters, OSC and DCS
strings, direction marks never come out of here.
"""

from __future__ import annotations

import codecs
import re
import threading
import unicodedata
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyte
from pyte.screens import Margins
from wcwidth import wcwidth

COLUMNS, LINES = 80, 24
"""What a program takes a terminal for that does not say its size (terminfo of vt220)."""

SCROLLBACK = 2000
"""Lines kept that have left the screen at its top."""

BURST = 64 * 1024
"""Bytes of one reading that are drawn: of a flood only the end, drawing 500 KB takes a second."""

LONGEST_STRING = 4096
"""Characters an OSC or DCS string may have before it is taken for text: one without an end would hide all."""

# ECMA-48 5.6: strings from their opening delimiter to ST, xterm's OSC also to BEL; CAN and SUB abort.
_STRING = re.compile(r"\x1b[\]PX^_][^\x07\x1b\x18\x1a]*(?:\x07|\x1b\\|\x18|\x1a|(?=\x1b[^\\]))")
_OPEN = re.compile(r"\x1b(?:[\]PX^_][^\x07\x1b\x18\x1a]*\x1b?)?\Z")
_C1 = re.compile(r"[\x80-\x9f]")


@dataclass(frozen=True, slots=True)
class Row:
    """`marked` are spans of cells, first and one past last, that the guest shows reversed."""

    text: str
    marked: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """`rows` by number are those changed since `seen`; `older` the lines that left since `scrolled`."""

    version: int
    rows: tuple[tuple[int, Row], ...]
    cursor: tuple[int, int] | None
    scrolled: int
    older: tuple[str, ...]


class _Screen(pyte.Screen):
    """Says which line leaves at the top; keeps its size whatever the guest asks for (DECCOLM)."""

    def __init__(self, leaves: Callable[[Any], None]) -> None:
        self._leaves = leaves
        super().__init__(COLUMNS, LINES)

    def draw(self, data: str) -> None:
        """pyte drops the rest of a text behind a character without width of its own: those go first."""
        super().draw(data if data.isascii() else "".join(c for c in data if wcwidth(c) > 0))

    def index(self) -> None:
        top, bottom = self.margins or Margins(0, self.lines - 1)
        if self.cursor.y == bottom and top == 0:
            self._leaves(self.buffer[0])
        super().index()

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        return None


class Terminal:
    """Thread-safe: one feeds, many look. `version` grows with every feed that brought something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._older: deque[str] = deque(maxlen=SCROLLBACK)
        self._scrolled = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._within = 0
        self._stamps = [0] * LINES
        self._version = 0
        self._screen = _Screen(self._leaves)
        self._stream = pyte.Stream(self._screen)

    @property
    def version(self) -> int:
        return self._version

    def feed(self, data: bytes) -> None:
        """Draw what the guest sent; of more than BURST bytes the end."""
        if not data:
            return
        with self._lock:
            if len(data) > BURST:
                self._older.append(f"({len(data) - BURST} bytes were not drawn: too many at once)")
                self._scrolled += 1
                data = data[-BURST:]
            self._draw(self._decoder.decode(data))
            self._version += 1
            for number in self._screen.dirty:
                if number < LINES:
                    self._stamps[number] = self._version
            self._screen.dirty.clear()

    def _draw(self, text: str) -> None:
        text = _STRING.sub("", self._held + text)
        unfinished = _OPEN.search(text)
        self._held = text[unfinished.start() :] if unfinished else ""
        if unfinished:
            text = text[: unfinished.start()]
        if len(self._held) > LONGEST_STRING:
            text, self._held = text + self._held[2:], ""
        try:
            self._stream.feed(_C1.sub("", text))
        except Exception:  # noqa: BLE001  a sequence pyte does not stand costs the rest of one reading
            self._stream = pyte.Stream(self._screen)
        # Numbers without an end keep pyte within one sequence: None is what it says of itself then.
        self._within = self._within + len(text) if self._stream._taking_plain_text is None else 0
        if self._within > LONGEST_STRING:
            self._stream, self._within = pyte.Stream(self._screen), 0

    def _leaves(self, line: Any) -> None:
        self._older.append(_row(line).text)
        self._scrolled += 1

    def view(self, seen: int = -1, scrolled: int = 0) -> View:
        """What changed after version `seen` and after `scrolled` lines had left; -1 and 0 for all of it."""
        with self._lock:
            numbers = [n for n in range(LINES) if self._stamps[n] > seen]
            cursor = self._screen.cursor
            fresh = min(len(self._older), max(0, self._scrolled - scrolled))
            return View(
                version=self._version,
                rows=tuple((n, _row(self._screen.buffer[n])) for n in numbers),
                cursor=None if cursor.hidden else (cursor.y, min(cursor.x, COLUMNS - 1)),
                scrolled=self._scrolled,
                older=tuple(self._older)[len(self._older) - fresh :],
            )


def _row(line: Any) -> Row:
    text, marked, start = "", [], -1
    for x in range(COLUMNS):
        cell = line[x]
        text += _safe(cell.data)
        if cell.reverse != (start >= 0):
            if cell.reverse:
                start = x
            else:
                marked.append((start, x))
                start = -1
    if start >= 0:
        marked.append((start, COLUMNS))
    return Row(text.rstrip(), tuple(marked))


def _safe(data: str) -> str:
    """One cell's character: nothing after a wide one, "?" for what does not stand by itself."""
    if not data:
        return ""
    first = data[0]
    category = unicodedata.category(first)
    return first if first.isprintable() and category not in ("Mn", "Me", "Cf") else "?"
