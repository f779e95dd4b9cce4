"""A pane of lines: the one widget that puts text on the screen, and repaints only lines that changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.look import EMPTY, STYLES, Line


@lru_cache(512)
def style_of(name: str) -> Style:
    """The style of that name; a picture names its colours themselves."""
    return Style.parse(STYLES.get(name, name))


class Pane(Widget):
    """Shows lines from `top` on. `follow` keeps the last line in view until somebody scrolls up."""

    class Resized(Message):
        """The pane has another size: what was fitted to it wants to be drawn again."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, follow: bool = False) -> None:
        super().__init__(id=id, classes=classes)
        self.rows: list[Line] = []
        self.top = 0
        self.follow = self.follows = follow

    def show(self, rows: Sequence[Line]) -> None:
        """Replace the content; only lines that look different are painted again."""
        old, old_top = self.rows, self.top
        self.rows = list(rows)
        if len(old) != len(self.rows) and self.styles.is_auto_height:
            self.refresh(layout=True)
            return
        self.top = self.last_top if self.follow else min(self.top, self.last_top)
        if self.top != old_top:
            self.refresh()
            return
        for y in range(self.size.height):
            index = y + self.top
            before = old[index] if index < len(old) else EMPTY
            after = self.rows[index] if index < len(self.rows) else EMPTY
            if before != after:
                self.refresh(Region(0, y, self.size.width, 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.rows)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    @property
    def last_top(self) -> int:
        return max(0, len(self.rows) - max(1, self.size.height))

    @property
    def place(self) -> str:
        """Where in the content one is, "1-12 of 40"; empty when all of it is in view."""
        if len(self.rows) <= self.size.height or not self.size.height:
            return ""
        return f"{self.top + 1}-{min(len(self.rows), self.top + self.size.height)} of {len(self.rows)}"

    def go(self, top: int) -> None:
        top = max(0, min(top, self.last_top))
        if top != self.top:
            self.top = top
            self.refresh()

    def on_resize(self) -> None:
        self.settle()
        self.post_message(self.Resized())

    def settle(self) -> None:
        """After a change of size: what is in view stays right."""
        self.go(self.last_top if self.follow else self.top)

    def render_line(self, y: int) -> Strip:
        index = y + self.top
        spans = self.rows[index] if 0 <= index < len(self.rows) else EMPTY
        return self.paint(spans)

    def paint(self, spans: Line) -> Strip:
        width, base = self.size.width, self.rich_style
        segments = [Segment(text, base + style_of(style)) for text, style in spans if text]
        strip = Strip(segments)
        if strip.cell_length > width and strip.text[width - 1 :].strip(" ─"):
            strip = Strip([*strip.crop(0, width - 1), Segment("~", segments[-1].style)])  # as words.fit does
        return strip.adjust_cell_length(width, base)


class Scroll(Pane, can_focus=True):
    """A pane one can scroll with the keys every keyboard has."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "by(-1)", "up", show=False),
        Binding("down", "by(1)", "down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f,space", "page(1)", "page down", show=False),
        Binding("home", "end(False)", "first line", show=False),
        Binding("end", "end(True)", "last line", show=False),
    ]

    class Scrolled(Message):
        """The pane shows another part of its text."""

    def action_by(self, count: int) -> None:
        self.follow = False
        self.go(self.top + count)
        self.post_message(self.Scrolled())

    def action_page(self, count: int) -> None:
        self.action_by(count * max(1, self.size.height - 1))

    def action_end(self, last: bool) -> None:
        """First or last line; the last line of a pane that followed is followed again."""
        self.follow = last and self.follows
        self.go(self.last_top if last else 0)
        self.post_message(self.Scrolled())
