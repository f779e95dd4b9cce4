"""Sends the terminal only the cells that changed.

Textual paints whole widgets, often twice while a page is laid out: 8 KB for a page on a serial line. Here the
screen as it was sent is kept, and each update becomes its differences: a move, the new cells, and "erase to
the end of the line" for blanks. A page is then 1 to 2 KB, a selected row 0.3 KB.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate
from textual.strip import Strip

# A cell is its character and style; the right half of a wide character is an empty one.
Cell = tuple[str, Style | None]

BLANK: Cell = (" ", None)
UNKNOWN: Cell = ("\0", None)
GAP = 6  # a cursor move costs about this many bytes: shorter gaps are sent again instead


class Shown:
    """What the terminal shows, as far as we sent it."""

    def __init__(self) -> None:
        self.lines: list[list[Cell]] = []

    def doubt(self) -> None:
        """Something else may have written to the terminal, or somebody only now looks: send all again."""
        self.lines = [[UNKNOWN] * len(row) for row in self.lines]

    def changes(self, strips: Sequence[Strip], console: RichConsole) -> str:
        """The bytes that turn what is shown into `strips`."""
        new = [_cells(strip) for strip in strips]
        said: list[str] = []
        if [len(row) for row in new] != [len(row) for row in self.lines]:
            said.append("\x1b[0m\x1b[2J")
            self.lines = [[BLANK] * len(row) for row in new]
        for y, (row, old) in enumerate(zip(new, self.lines, strict=True)):
            if row != old:
                said.append(_line_changes(y, row, old, console))
        self.lines = new
        return "".join(said)


class Changes(CompositorUpdate):
    """Stands in for Textual's own update: the same screen, sent as differences."""

    def __init__(self, shown: Shown, strips: Sequence[Strip]) -> None:
        self.shown, self.strips = shown, strips

    def render_segments(self, console: RichConsole) -> str:
        return self.shown.changes(self.strips, console)


def _cells(strip: Strip) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        plain = style if style is not None and not _is_plain(style) else None
        for character in text:
            cells.append((character, plain))
            cells += [("", plain)] * (cell_len(character) - 1)
    return cells


def _is_plain(style: Style) -> bool:
    """No attribute, and the terminal's own colours: nothing that a blank would show."""
    coloured = [c for c in (style.color, style.bgcolor) if c is not None and not c.is_default]
    return not coloured and not style._attributes


def _line_changes(y: int, row: list[Cell], old: list[Cell], console: RichConsole) -> str:
    end = len(row)
    while end and row[end - 1] == BLANK:
        end -= 1
    erase = any(cell != BLANK for cell in old[end:])
    said = [_move(x, y) + _run(row[x:to], console) for x, to in _spans(row, old, end)]
    if erase:
        said.append(f"{_move(end, y)}\x1b[K")
    return "".join(said)


def _spans(row: list[Cell], old: list[Cell], end: int) -> list[tuple[int, int]]:
    """Stretches of changed cells before `end`; neighbours closer than a cursor move are joined."""
    spans: list[tuple[int, int]] = []
    for x in range(end):
        if row[x] == old[x]:
            continue
        start = x
        while row[start][0] == "" and start:  # never begin inside a wide character
            start -= 1
        if spans and start - spans[-1][1] < GAP:
            spans[-1] = (spans[-1][0], x + 1)
        else:
            spans.append((start, x + 1))
    return spans


def _move(x: int, y: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def _run(cells: Sequence[Cell], console: RichConsole) -> str:
    segments: list[Segment] = []
    for character, style in cells:
        if segments and segments[-1].style == style:
            segments[-1] = Segment(segments[-1].text + character, style)
        else:
            segments.append(Segment(character, style))
    return Strip(segments).render(console)
