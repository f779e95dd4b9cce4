"""A question that is answered by typing: the page before an act that stops or restarts something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.look import Line, line, rule
from tui.screens.page import key
from tui.screens.question import Question
from tui.widgets.pane import Scroll


class Sure(Question):
    """`expected` is what has to be typed; `act` is called once, after the page has gone."""

    NAME = "confirm"
    HELP = """\
Nothing happens until the word asked for is typed and Enter is pressed.
Esc goes back without doing anything.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "enter", "do it (when typed)"),
        key("escape", "back", "back, do nothing"),
    ]

    def __init__(
        self, title: str, text: Sequence[Line], prompt: str, expected: str, act: Callable[[], None]
    ) -> None:
        super().__init__()
        self.question, self.text, self.prompt = title, list(text), prompt
        self.expected, self.act = expected, act

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")
        yield from self.confirm_row()

    def on_mount(self) -> None:
        self.show_prompt(self.prompt, self.expected)

    def draw(self) -> None:
        self.pane("main").show([rule(self.question, self.width), line(""), *self.text])

    def on_typed_right(self) -> None:
        self.desk.back()
        self.act()
