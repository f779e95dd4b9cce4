"""Repair: what is known of the failure, and what to try on a copy. Ends in the pre-flight."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.plan import Request, Verb
from tui import repairs
from tui.look import Line, line, pair, rule
from tui.repairs import ATTEMPTS, Attempt
from tui.screens.page import key
from tui.screens.systempage import SystemPage
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap


class Repair(SystemPage):
    """Enter on an attempt goes to the pre-flight check."""

    NAME = "repair"
    HELP = """\
A system that does not boot is mended on a copy. The copy boots in the twin, is
checked, sealed, and can then be promoted like any rehearsal. The original is
not changed, not even when a repair makes things worse: each one starts from it
again. There is usually no good boot to compare with, so the copy is judged by
its own health: what only a comparison could tell is NOT TESTED and said to be.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "go", "check this plan"),
        key("w", "watch", "watch it fail first"),
        key("s", "system", "other system"),
        key("e", "emulate", "emulate"),
        key("escape", "back", "back"),
    ]

    PURPOSE = "repair"

    def __init__(self) -> None:
        super().__init__()
        self.watch_first = True

    def body(self) -> ComposeResult:
        yield Pane(id="which")
        yield Rows(id="attempts", classes="six")
        yield Pane(id="about", classes="four")
        yield Pane(id="options")

    def on_mount(self) -> None:
        self.query_one("#attempts", Rows).focus()
        self.redraw()

    @property
    def attempt(self) -> Attempt:
        chosen = self.query_one("#attempts", Rows).selected
        return next((a for a in ATTEMPTS if a.kind.value == chosen), ATTEMPTS[0])

    def draw(self) -> None:
        width = self.width
        self.pane("which").show(self._which())
        rows = [Row(line(f" {n}  {a.title}"), a.kind.value) for n, a in enumerate(ATTEMPTS, 1)]
        self.query_one("#attempts", Rows).fill(rows)
        about = wrap(self.attempt.about, width - 4, "    ")
        self.pane("about").show([rule("", width), *[line(row) for row in about]])
        self.pane("options").show(self._options())

    def _which(self) -> list[Line]:
        width = self.width
        rows = self.which_lines()
        if not self.systems:
            return rows
        lineage = self.board.status.lineage if self.board.status else None
        finding = wrap(repairs.known(lineage), width - 2, " ")[:4]
        style = "warn" if repairs.broken(lineage) else ""
        rows += [rule("What is known of the failure", width), *[line((row, style)) for row in finding]]
        return [*rows, rule("What shall be tried on a copy?", width, "the original stays as it is")]

    def _options(self) -> list[Line]:
        rows = []
        if self.attempt.watchable:
            tick = "x" if self.watch_first else " "
            rows.append(pair("W", f"[{tick}] boot the copy as it is first, to see how it fails", 3))
        return [*rows, *self.emulate_lines()]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "watch":
            return self.is_mounted and self.attempt.watchable
        return super().check_action(action, parameters)

    def action_watch(self) -> None:
        self.watch_first = not self.watch_first
        self.redraw()

    def action_go(self) -> None:
        if not self.systems:
            self.say(self.why_none(), "warn")
            return
        self.desk.open_preflight(self.request())

    def request(self) -> Request:
        """What was chosen, as the engine wants it."""
        watch = self.watch_first or not self.attempt.watchable
        return Request(
            verb=Verb.REPAIR,
            system=self.chosen_system.id,
            repair=self.attempt.kind,
            watch=watch,
            emulate=self.emulate,
        )
