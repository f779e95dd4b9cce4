"""Choosing from a list of names: one of them, or which of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.look import line, lines, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import count, wrap

OTHER = "\0other"


class PickOne(Page):
    """Enter takes the selected name; a last row may ask for one that is not in the list."""

    NAME = "choose"
    HELP = """\
Enter takes the selected one. Nothing is started by choosing.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "take", "take it"),
        key("escape", "back", "back"),
    ]

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        chosen: str,
        then: Callable[[str | None], None],
        *,
        other: bool = True,
    ) -> None:
        """`then` gets the name, or None for another one to be typed, after this page has gone. Without
        `other` there is no other one."""
        super().__init__()
        self.title_text, self.names, self.chosen, self.then = title, tuple(names), chosen, then
        self.other = [Row(line(" another name ..."), OTHER)] if other else []

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="one")
        yield Rows(id="names", classes="rest")

    def on_mount(self) -> None:
        rows = self.query_one(Rows)
        rows.fill([*(Row(line(f" {n}"), n) for n in self.names), *self.other])
        rows.select(self.chosen)
        rows.focus()

    def draw(self) -> None:
        self.pane("top").show([rule(self.title_text, self.width, count(len(self.names), "name"))])

    def on_rows_chosen(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        name = self.query_one(Rows).selected
        self.desk.back()
        self.then(None if name == OTHER else name)


class Tick(Page):
    """Space turns one on or off; leaving the page keeps what was ticked. Children say what a tick means."""

    TICKED = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("space", "turn", "this one, or not"),
        key("a", "all", "all or none"),
        key("escape,enter", "back", "done"),
    ]

    def __init__(
        self,
        title: str,
        about: str,
        names: Sequence[str],
        off: Collection[str],
        then: Callable[[set[str]], None],
    ) -> None:
        super().__init__()
        self.title_text, self.about, self.names, self.then = title, about, tuple(names), then
        self.off = set(off) & set(self.names)

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        yield Rows(id="names", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Rows).focus()
        self.redraw()

    def draw(self) -> None:
        said = f"{len(self.names) - len(self.off)} of {len(self.names)} {self.TICKED}"
        about = lines(wrap(self.about, self.width - 2, " "))
        self.pane("top").show([rule(self.title_text, self.width, said), *about])
        self.query_one(Rows).fill(
            [Row(line(f" [{' ' if name in self.off else 'x'}] {name}"), name) for name in self.names]
        )

    def action_turn(self) -> None:
        if (name := self.query_one(Rows).selected) is not None:
            self.off ^= {name}
            self.redraw()

    def action_all(self) -> None:
        self.off = set() if self.off else set(self.names)
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_back()

    def action_back(self) -> None:
        self.then(self.off)
        super().action_back()


class TickChecks(Tick):
    """Checks of the stick that are run."""

    NAME, TICKED = "checks", "are run"
    HELP = """\
The machine's own services, sockets, mounts, kernel and packages are always
checked. Here stand the site's own checks from the folder checks of the stick:
programs that end with status 0 when all is well. Space leaves one out.
"""


class TickData(Tick):
    """Data volumes that go round with the root."""

    NAME, TICKED = "data volumes", "go with the root"
    HELP = """\
Data is left as it is: the twin has a throw-away copy of it, and a dated safety
snapshot is taken before a trial. What stands here can go round with the root
instead: it is sealed, promoted and given back in one with it. That suits data
which a patch changes; going back then leaves behind what was written since.
"""
