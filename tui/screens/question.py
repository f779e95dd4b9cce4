"""Pages that end in a typed answer: text to scroll above, one field below."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from tui.look import line
from tui.screens.page import Page
from tui.widgets.pane import Pane, Scroll
from tui.widgets.typed import Typed


class Question(Page):
    """The field has the keys; Up, Down, PgUp and PgDn still scroll the text above it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "text(-1)", "up", show=False),
        Binding("down", "text(1)", "down", show=False),
        Binding("pageup", "text(-12)", "page up", show=False),
        Binding("pagedown", "text(12)", "page down", show=False),
    ]

    def confirm_row(self) -> ComposeResult:
        with Horizontal(classes="row", id="confirm"):
            yield Pane(id="prompt")
            yield Typed("", id="typed")

    def show_prompt(self, prompt: str, expected: str) -> None:
        """Ask for `expected`; the field gets the keys."""
        field, pane = self.query_one(Typed), self.pane("prompt")
        field.expected = expected
        field.placeholder = "_" * len(expected)
        pane.styles.width = min(70, len(prompt) + 3)
        pane.show([line(" ", (prompt, "title"), " ")])
        self.query_one("#confirm").display = True
        field.focus()
        self.redraw()

    def hide_prompt(self) -> None:
        self.query_one("#confirm").display = False
        self.query_one("#main", Scroll).focus()
        self.redraw()

    def action_text(self, count: int) -> None:
        self.query_one("#main", Scroll).action_by(count)

    def action_enter(self) -> None:
        """Enter outside the field goes into it: nothing is done without typing."""
        if self.query_one("#confirm").display:
            self.query_one(Typed).focus()

    def on_typed_wrong(self, event: Typed.Wrong) -> None:
        text = event.text
        self.say(
            f'"{text}" is not what was asked for. Nothing was done.' if text else "Nothing was typed.", "warn"
        )
