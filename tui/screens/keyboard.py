"""The keyboard layout of the machine's own screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.service_messages import LAYOUTS
from tui.look import Line, line, lines, rule
from tui.screens.fieldpage import FieldPage
from tui.screens.page import key
from tui.terminal import is_screen
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap


class KeyboardPage(FieldPage):
    """Enter takes the selected layout; T is a field to try it in."""

    NAME = "keyboard"
    HELP = """\
The layout of the keyboard at the machine's own screen, until power-off. Enter
takes the selected one; T opens a field in which you can try it: nothing typed
there is used. A serial line, a BMC's text console and ssh send characters, not
keys: their layout is the one of the computer you sit at.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "choose", "take this layout"),
        key("t", "try", "try it"),
        key("escape", "back", "back"),
    ]

    FIELD, BEHIND = "try", "layouts"

    def __init__(self, goes_on: bool = False) -> None:
        """`goes_on`: what was begun waits for the layout; taking one, or Esc, leads back to it."""
        super().__init__()
        self.now = ""
        self.goes_on = goes_on

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="two")
        yield Rows(id="layouts", classes="rest")
        yield Pane(id="about", classes="four")
        yield Field(id="try", placeholder="(type here to try the keys: y z - / @ #; Esc ends)")

    def on_mount(self) -> None:
        self.leave_field()
        self.ask("Looking ...", lambda s: s.keyboard(), self._read)

    def _read(self, code: str) -> None:
        self.now = code
        self.query_one("#layouts", Rows).select(code)
        self.redraw()

    def draw(self) -> None:
        width = self.width
        self.pane("top").show([rule("Keyboard of the machine's own screen", width, self.now), line()])
        rows = [Row(line(f" {x.code:6} {x.words}{self._mark(x.code)}"), x.code) for x in LAYOUTS]
        self.query_one("#layouts", Rows).fill(rows)
        self.pane("about").show([rule("", width), *self._about(width)])

    def _mark(self, code: str) -> str:
        return "  <- in use" if code == self.now else ""

    def _about(self, width: int) -> list[Line]:
        if self.goes_on:
            words = "A passphrase comes next, and is not shown while it is typed. Enter takes the layout."
            return lines(wrap(words, width - 2, " "), "warn")
        if is_screen(self.desk.client):
            return []
        words = f"You are on {self.desk.client}: there the layout is that of your own computer."
        return lines(wrap(words, width - 2, "     ", " [!] "), "warn")

    def on_rows_chosen(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        chosen = self.query_one("#layouts", Rows).selected
        if chosen:
            self.ask("Loading the layout ...", lambda s: s.set_keyboard(chosen), self._set)

    def _set(self, code: str) -> None:
        if self.goes_on:
            self.action_back()
            return
        self._read(code)
        self.say("The layout is in use. T lets you try it.", "good")

    def action_try(self) -> None:
        self.open_field("")

    def on_input_submitted(self) -> None:
        self.action_back()
