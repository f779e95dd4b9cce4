"""What changed inside one configuration file, to read; N and B go through them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.verdict import ConfigDiff
from tui.look import line, rule
from tui.reading import changed_lines, diff_lines
from tui.screens.page import Page, key
from tui.widgets.pane import Scroll
from tui.words import count


class DiffPage(Page):
    """Reads the verdict it was opened from; asks the engine nothing."""

    NAME = "configuration"
    HELP = """\
Lines with + are in the patched system, lines with - were in the old one, the
others stand around them. Passwords, tokens and keys were hidden before the two
were compared. "kept" means: the site had changed the file, its version stays,
and what you see is what the package's new version would have changed.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("n", "next", "next file"),
        key("b", "before", "file before"),
        key("escape", "back", "back"),
    ]

    def __init__(self, diffs: Sequence[ConfigDiff], at: int = 0) -> None:
        super().__init__()
        self.diffs, self.at = tuple(diffs), at

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def draw(self) -> None:
        diff, width = self.diffs[self.at], self.width
        added, removed = changed_lines(diff)
        said = f"{diff.act}, +{added} -{removed}, {self.at + 1} of {count(len(self.diffs), 'file')}"
        shown = diff_lines(diff, width) or [line(" Nothing to show.")]
        self.pane("main").show([rule(diff.path, width, said), *shown])

    def action_next(self) -> None:
        self._go(1)

    def action_before(self) -> None:
        self._go(-1)

    def _go(self, step: int) -> None:
        self.at = (self.at + step) % len(self.diffs)
        self.query_one(Scroll).go(0)
        self.redraw()
