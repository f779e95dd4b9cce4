"""Rows with a cursor: the one list of the console. ">" marks the selected row, colour only repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from tui.look import EMPTY
from tui.look import Row as Row
from tui.widgets.pane import Pane


class Rows(Pane, can_focus=True):
    """Up and down move the cursor, Enter chooses. Says `Moved` and `Chosen`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "move(-10)", "10 up", show=False),
        Binding("pagedown", "move(10)", "10 down", show=False),
        Binding("home", "move(-100000)", "first", show=False),
        Binding("end", "move(100000)", "last", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]

    class Moved(Message):
        def __init__(self, rows: Rows, key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

    class Chosen(Message):
        def __init__(self, rows: Rows, key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.items: list[Row] = []
        self.cursor = 0

    @property
    def selected(self) -> str | None:
        return self.items[self.cursor].key if 0 <= self.cursor < len(self.items) else None

    def fill(self, items: Sequence[Row]) -> None:
        """Replace the rows; the cursor stays on the same thing where it is still there."""
        kept = self.selected
        self.items = list(items)
        places = [i for i, row in enumerate(self.items) if row.key is not None]
        same = [i for i in places if self.items[i].key == kept]
        self.cursor = (same or [i for i in places if i >= self.cursor] or places[-1:] or [0])[0]
        self._draw()

    def select(self, key: str) -> None:
        for index, row in enumerate(self.items):
            if row.key == key:
                self.cursor = index
                self._draw()

    def _draw(self) -> None:
        self.show(
            [
                ((">" if i == self.cursor and r.key is not None else " ", ""), *r.line)
                for i, r in enumerate(self.items)
            ]
        )
        self._keep_in_view()

    def _keep_in_view(self) -> None:
        height = self.size.height
        if not height:
            return
        if self.cursor < self.top:
            self.go(self.cursor)
        elif self.cursor >= self.top + height:
            self.go(self.cursor - height + 1)

    def settle(self) -> None:
        super().settle()
        self._keep_in_view()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def render_line(self, y: int) -> Strip:
        index = y + self.top
        spans = self.rows[index] if 0 <= index < len(self.rows) else EMPTY
        if index == self.cursor and self.selected is not None:
            style = "cursor" if self.has_focus else "strong"
            spans = tuple((text, style) for text, _ in spans)
        return self.paint(spans)

    def action_move(self, count: int) -> None:
        places = [i for i, row in enumerate(self.items) if row.key is not None]
        if not places:
            return
        at = places.index(self.cursor) if self.cursor in places else 0
        self.cursor = places[max(0, min(len(places) - 1, at + count))]
        self._draw()
        self.post_message(self.Moved(self, self.items[self.cursor].key or ""))

    def action_choose(self) -> None:
        if self.selected is not None:
            self.post_message(self.Chosen(self, self.selected))
