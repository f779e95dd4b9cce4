"""Every act by its name: type a few letters, Enter goes there."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.commands import Command, commands, matching
from tui.look import columns, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import count


class Palette(Page):
    """The field has the keys; Up and Down move through what matches."""

    NAME = "acts by name"
    HELP = """\
Type part of a name, or of what it does; Up and Down select, Enter goes there.
Nothing is changed by choosing: acts that change the machine show every write
and ask, as they always do.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "take", "go there"),
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "move(-10)", "10 up", show=False),
        Binding("pagedown", "move(10)", "10 down", show=False),
        key("escape,ctrl+p", "back", "back"),
    ]

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.found: list[Command] = []

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="one")
        yield Input(
            id="wanted", compact=True, select_on_focus=False, placeholder="part of a name, then Enter"
        )
        yield Rows(id="rows", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self.query_one(Input).focus()
        self.redraw()

    def draw(self) -> None:
        self.found = matching(commands(self.desk, self.page), self.query_one(Input).value)
        self.pane("top").show([rule("Acts by name", self.width, count(len(self.found), "act"))])
        name = min(36, self.width * 35 // 100)
        rows = [Row(columns([(f" {c.name}", name), (c.key, 8), (c.about, 0)]), c.name) for c in self.found]
        self.query_one(Rows).fill(rows)

    def holds_keys(self) -> bool:
        return bool(self.query_one(Input).value)

    def on_input_changed(self) -> None:
        rows = self.query_one(Rows)
        rows.cursor = 0
        self.redraw()
        rows.go(0)

    def on_input_submitted(self) -> None:
        self.action_take()

    def action_move(self, number: int) -> None:
        self.query_one(Rows).action_move(number)

    def action_take(self) -> None:
        chosen = self.query_one(Rows).selected
        command = next((c for c in self.found if c.name == chosen), None)
        if command is None:
            self.say("Nothing has that name. Esc goes back.", "warn")
            return
        self.desk.back()
        command.run()
