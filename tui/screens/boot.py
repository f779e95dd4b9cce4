"""Boot and roll back: what boots next, what is the way back, and the acts on what a run made."""

from __future__ import annotations

import re
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from appliance.model.lineage import Node, State
from tui import describe
from tui.look import Line, beside, line, lines, rule
from tui.screens.page import Page, key
from tui.standing import ABOUT, VIEWS, entry_lines, possible, rows_of, side_lines, tabs
from tui.widgets.pane import Pane
from tui.widgets.rows import Rows
from tui.words import size, wrap

DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


class Boot(Page):
    """Every act goes on to the page with its writes; nothing is done here."""

    NAME = "boot and roll back"
    HELP = """\
* boots next, = is the fallback. R goes back to the old system, with its data
or without: nothing is deleted. K makes a trial permanent. D deletes a volume
that is no longer wanted, to get its space back. U deletes everything Twinboot
made on this machine, and nothing else. Each shows every write first and asks.
Tab or 1 2 3 4 shows the volumes, the entries as the boot loader reads them
from the disk, what was done to this machine, and how long the room lasts.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("tab", "view", "next view"),
        key("p", "promote", "promote"),
        key("r", "rollback", "roll back"),
        key("k", "keep", "keep"),
        key("d", "retire", "retire (delete)"),
        key("u", "undo", "undo everything"),
        key("v", "verdict", "verdict"),
        key("q,f10", "power", "power"),
        key("escape,h", "back", "home"),
        key("1", "look('volumes')", "volumes", show=False),
        key("2", "look('entries')", "entries", show=False),
        key("3", "look('history')", "history", show=False),
        key("4", "look('space')", "space", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.view = "volumes"
        self.begun = False

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        with Horizontal(classes="half"):
            yield Rows(id="tree", classes="rest")
            yield Pane(id="side")
        yield Pane(id="about", classes="eight")
        yield Input(id="date", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one("#date", Input).display = False
        self.query_one("#tree", Rows).focus()
        self.redraw()

    def _begin_at_a_run(self) -> None:
        """This page's acts are on runs: the cursor begins at the one that boots next, else at the newest."""
        nodes = [n for n in (self.board.status.lineage.nodes if self.board.status else ()) if n.run]
        if nodes and not self.begun:
            self.begun = True
            self.query_one("#tree", Rows).select(max(nodes, key=lambda n: (n.boots_next, n.made)).volume)

    @property
    def node(self) -> Node | None:
        """The selected volume of the first view; the other views only show."""
        if self.view != "volumes" or not self.is_mounted:
            return None
        chosen = self.query_one("#tree", Rows).selected
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        return next((n for n in nodes if n.volume == chosen), None)

    def draw(self) -> None:
        status, width = self.board.status, self.width
        self.pane("top").show([*describe.boot_lines(self.board), rule(tabs(status, self.view), width)])
        aside = width - width * 55 // 100 if self.wide else 0
        side = self.pane("side")
        side.display, side.styles.width = self.wide, aside
        self.query_one("#tree", Rows).fill(rows_of(status, self.view, width - aside))
        self._begin_at_a_run()
        side.show(beside(side_lines(status, aside - 1)) if self.wide else [])
        self.pane("about").show(self._about(width))

    def _about(self, width: int) -> list[Line]:
        node = self.node
        if node is None:
            status, chosen = self.board.status, self.query_one("#tree", Rows).selected
            shown = status.standing.choices if status and self.view == "entries" else ()
            told = entry_lines(shown, chosen, width)
            return [rule("", width), *told, *lines(wrap(ABOUT[self.view], width - 2, " "))]
        rows = [
            rule(f"Selected: {node.volume}", width),
            *lines(wrap(describe.node_sentence(node), width - 2, " ")),
        ]
        if self.query_one("#date", Input).display:
            words = "Offer the old system for deletion on (YYYY-MM-DD, empty for no date):"
            return [*rows, line(" ", (words, "title"))]
        acts = [
            ("promote", "P", "let the next boot try it once; the old system is the fallback"),
            ("rollback", "R", "boot the old system again; nothing is deleted"),
            ("keep", "K", f"make it permanent; the old system's own space is {self._old_cost()}"),
            ("retire", "D", self._retire_words(node)),
        ]
        rows += [
            line("  ", (letter, "key"), "  ", words) for act, letter, words in acts if possible(act, node)
        ]
        return rows

    def _retire_words(self, node: Node) -> str:
        if node.state is State.KEPT:
            return f"retire the old system: delete it and get {self._old_cost()} back"
        return f"delete it and get {size(node.cost)} back"

    def _old_cost(self) -> str:
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        return size(next((n.cost for n in nodes if n.fallback), 0))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("promote", "rollback", "keep", "retire", "verdict"):
            return possible(action, self.node)
        if action == "undo":
            status = self.board.status
            return status is not None and (
                bool(status.standing.history) or any(n.run for n in status.lineage.nodes)
            )
        return True

    def on_rows_moved(self) -> None:
        self.redraw()

    def _open(self, verb: str, retire_on: str = "") -> None:
        if (node := self.node) is not None and node.run:
            self.desk.open_act(verb, node.run, retire_on)

    def action_promote(self) -> None:
        self._open("promote")

    def action_rollback(self) -> None:
        self._open("rollback")

    def action_retire(self) -> None:
        self._open("retire")

    def action_undo(self) -> None:
        self.desk.open_act("undo", "")

    def action_view(self) -> None:
        self.action_look(VIEWS[(VIEWS.index(self.view) + 1) % len(VIEWS)])

    def action_look(self, view: str) -> None:
        self.view = view
        tree = self.query_one("#tree", Rows)
        tree.cursor = 0
        tree.go(0)
        self.redraw()

    def action_verdict(self) -> None:
        if (node := self.node) is not None and node.run:
            self.desk.open_verdict(node.run)

    def action_power(self) -> None:
        self.desk.open_power()

    def action_keep(self) -> None:
        """First the date on which the old system may go."""
        field = self.query_one("#date", Input)
        field.display = True
        field.focus()
        self.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text and not DATE.match(text):
            self.say(f'"{text}" is no date like 2026-12-31.', "warn")
            return
        self._leave_date()
        self._open("keep", text)

    def _leave_date(self) -> None:
        self.query_one("#date", Input).display = False
        self.query_one("#tree", Rows).focus()
        self.redraw()

    def action_back(self) -> None:
        if self.query_one("#date", Input).display:
            self._leave_date()
            return
        super().action_back()
