"""The VM's terminal as far as this console was told of it. No Textual, no I/O: pictures in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len

from appliance.model.vm_messages import VmPicture, VmRow
from tui.look import Line
from tui.words import clean

COLUMNS, LINES = 80, 24
SCROLLBACK = 2000
"""Lines; as many as the engine keeps."""

Mark = tuple[int, int, str]
"""First cell, one past the last, style."""


class VmView:
    """`texts` are the lines that have left the screen, then its 24 rows."""

    def __init__(self) -> None:
        self.picture = VmPicture()
        self.older: list[str] = []
        self.screen = [VmRow(number=n, text="") for n in range(LINES)]

    def take(self, picture: VmPicture) -> bool:
        """Whether anything that is shown has changed."""
        last = self.picture
        self.picture = picture
        if picture.vm != last.vm:
            self.older = []
            self.screen = [VmRow(number=n, text="") for n in range(LINES)]
        for row in picture.rows:
            if 0 <= row.number < LINES:
                self.screen[row.number] = row
        self.older = [*self.older, *map(clean, picture.older)][-SCROLLBACK:]
        before = (last.vm, last.power, last.keyboard, last.cursor)
        after = (picture.vm, picture.power, picture.keyboard, picture.cursor)
        return bool(picture.rows or picture.older) or before != after

    @property
    def texts(self) -> list[str]:
        return [*self.older, *(clean(row.text) for row in self.screen)]

    @property
    def cursor_row(self) -> int:
        """The row of the screen the guest is at: the last with text where it hides its cursor."""
        if self.picture.cursor is not None:
            return max(0, min(LINES - 1, self.picture.cursor[0]))
        return max((n for n, row in enumerate(self.screen) if row.text), default=0)

    def lines(self, found: int = -1) -> list[Line]:
        """All as lines of a pane; line `found` stands out, the cursor's cell as well."""
        rows: list[Line] = [((text, ""),) for text in self.older]
        for row in self.screen:
            marks = [(first, last, "bar") for first, last in row.marked]
            cursor = self.picture.cursor
            if self.picture.power == "running" and cursor is not None and cursor[0] == row.number:
                marks.append((cursor[1], cursor[1] + 1, "cursor"))
            rows.append(styled(clean(row.text), marks))
        if 0 <= found < len(rows):
            rows[found] = tuple((text, "cursor") for text, _ in rows[found])
        return rows

    def find(self, wanted: str, start: int, step: int) -> int:
        """The next line with `wanted` from `start` on, not counting `start`; -1 for none."""
        texts, want = self.texts, wanted.casefold()
        at = start + step
        while 0 <= at < len(texts):
            if want in texts[at].casefold():
                return at
            at += step
        return -1


def styled(text: str, marks: Sequence[Mark]) -> Line:
    """`text` with the cells of each mark in its style; later marks win, blanks are filled in up to a mark."""
    wanted = max((last for _, last, _ in marks), default=0)
    text += " " * (min(wanted, COLUMNS) - cell_len(text))
    styles, at = [], 0
    for character in text:
        inside = [style for first, last, style in marks if first <= at < last]
        styles.append((inside[-1] if inside else "", character))
        at += cell_len(character)
    return tuple(
        ("".join(character for _, character in group), style)
        for style, group in groupby(styles, key=lambda pair: pair[0])
    )
