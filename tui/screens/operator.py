"""Who is in control: one terminal acts, the others watch and may take over knowingly."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.look import line, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Scroll
from tui.words import wrap


class OperatorPage(Page):
    """Shown when the engine says another terminal holds the operator lock."""

    NAME = "in control"
    HELP = """\
One terminal at a time gives orders: it is in control. All others watch the
same run live. T makes this terminal the one in control; the other one is told
and watches from then on. A run that is going on is not disturbed.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("t", "take_over", "take over"),
        key("escape", "back", "go on watching"),
    ]

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def draw(self) -> None:
        width, status = self.width, self.board.status
        who = status.operator if status and status.operator else "Another terminal"
        rows = [rule("Another terminal is in control", width), line("")]
        rows += [
            line((row, "title")) for row in wrap(f"{who} is in control of this machine.", width - 2, " ")
        ]
        rows += [line(row) for row in wrap(self.what, width - 2, " ")] if self.what else []
        rows.append(line(""))
        text = (
            "What you asked for was not done. You can go on watching (Esc), or take over (T): then this"
            f" terminal ({self.desk.client}) gives the orders and {who} watches. Ask whoever is there first."
        )
        rows += [line(row) for row in wrap(text, width - 2, " ")]
        self.pane("main").show(rows)

    def action_take_over(self) -> None:
        self.ask("Taking over ...", lambda s: s.take_over(), self._taken)

    def _taken(self, answer: None) -> None:
        self.desk.back()
        page = self.desk.screen
        if isinstance(page, Page):
            page.say("You are in control. Look at what is shown here, then go on.", "good")
