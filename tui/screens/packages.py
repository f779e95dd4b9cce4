"""Which packages: those that are installed, found by their names, with the versions that are newer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from appliance.errors import ApplianceError
from appliance.model.service_messages import PackageList, PackageRow
from tui.look import columns, line, lines, rule
from tui.patches import installed_sentence, package_marks
from tui.screens.page import Page, key
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import fit, wrap

OTHER = "\0other"
PAUSE = 0.3
"""Seconds without a key before the engine is asked: a list repainted for each letter is 1.5 KB of line."""


class Filter(Field, inherit_bindings=False):
    """Takes what a name is made of; Space, Home and End stay the page's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        binding
        for binding in Field.BINDINGS
        if isinstance(binding, Binding) and binding.action not in ("home", "end")
    ]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character != " " and super().check_consume_key(key, character)


class PickPackages(Page):
    """The field has the letters, the rows the arrows."""

    NAME = "packages"
    HELP = """\
What is installed here, as the system's own package database says it. Those
with a newer version come first, security updates before all others, as far as
the lists know that apt read last on this machine: in the twin it reads them
anew. Type part of a name to see fewer; Space marks; Enter takes what is marked
or, where nothing is, the selected one. End leads to the last row, for names
that are not in the list. HELD ones apt refuses to change. Boot loader packages
are not offered: their work lies outside the snapshot. Nothing is started here.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("space", "mark", "mark"),
        key("enter", "take", "take them"),
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "move(-10)", "10 up", show=False),
        Binding("pagedown", "move(10)", "10 down", show=False),
        Binding("home", "move(-100_000)", "first", show=False),
        Binding("end", "move(100_000)", "last", show=False),
        key("escape", "back", "back"),
    ]

    def __init__(
        self, system: str, marked: tuple[str, ...], then: Callable[[tuple[str, ...], bool], None]
    ) -> None:
        """`then` gets the names, and whether more of them are to be typed, after this page has gone."""
        super().__init__()
        self.system, self.marked, self.then = system, list(marked), then
        self.known: PackageList | None = None
        self.problem = ""
        self.answered: str | None = None
        self._looking = False

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        yield Filter(id="wanted", placeholder="part of a name; Space marks")
        yield Rows(id="rows", classes="rest")
        yield Pane(id="marked", classes="one")

    def on_mount(self) -> None:
        self.query_one(Filter).focus()
        self._look()

    # -- asking ------------------------------------------------------------------------------------------

    @property
    def wanted(self) -> str:
        return self.query_one(Filter).value

    def on_input_changed(self) -> None:
        self._look()

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self.run_worker(self._keep_up(), group="look")

    async def _keep_up(self) -> None:
        """Ask until the answer is to what stands in the field; one question at a time."""
        while self.answered != self.wanted:
            wanted = self.wanted
            if self.answered is not None:
                await asyncio.sleep(PAUSE)
            if wanted == self.wanted:
                await self._ask_for(wanted)
        self._looking = False

    async def _ask_for(self, wanted: str) -> None:
        try:
            self.known = await self.desk.link.call(lambda s: s.packages(self.system, wanted))
            self.problem = ""
        except ApplianceError as error:
            self.known, self.problem = None, error.what
        self.answered = wanted
        if self.alive:
            self.say("")
            self.action_move(-100_000)

    # -- showing -----------------------------------------------------------------------------------------

    def draw(self) -> None:
        known = self.known
        said, style = self._sentence()
        top = lines(wrap(said, self.width - 2, " "), style)
        self.pane("top").show([rule("Which packages", self.width, self._counted()), *top])
        rows = [self._row(row) for row in known.rows] if known else []
        if known and known.found > len(known.rows):
            rows.append(Row(line((f" {known.found - len(known.rows)} more: type more of the name", "quiet"))))
        other = [Row(line(" other names ..."), OTHER)] if known or self.problem else []
        self.query_one(Rows).fill([*rows, *other])
        said = f" Marked: {' '.join(self.marked)}" if self.marked else " Nothing is marked."
        self.pane("marked").show([line(fit(said, self.width - 1))])

    def _counted(self) -> str:
        return f"{len(self.known.rows)} of {self.known.found}" if self.known else ""

    def _sentence(self) -> tuple[str, str]:
        if self.problem:
            return f"{self.problem} Names can be typed.", "warn"
        if self.known is None:
            return "The engine reads what is installed ...", ""
        return installed_sentence(self.known, time.gmtime(self.known.lists_at)), ""

    def _row(self, row: PackageRow) -> Row:
        tick = "x" if row.name in self.marked else " "
        name = 48 if self.wide else 32
        rest = (self.width - name - 12) // 2
        cells = [
            (f" [{tick}] {row.name}", name),
            (row.version, rest),
            (row.newer, rest),
            (package_marks(row), 0),
        ]
        return Row(columns(cells, "warn" if row.security else ""), row.name)

    # -- choosing ----------------------------------------------------------------------------------------

    def holds_keys(self) -> bool:
        return bool(self.wanted or self.marked)

    def action_move(self, number: int) -> None:
        self.query_one(Rows).action_move(number)

    def _selected(self) -> str | None:
        """The row that is meant; None while the list is not the one that was typed for."""
        if self.answered == self.wanted:
            return self.query_one(Rows).selected
        self.say("One moment: the list does not show yet what you typed.")
        return None

    def action_mark(self) -> None:
        name = self._selected()
        if name is None or name == OTHER:
            return
        if name in self.marked:
            self.marked.remove(name)
        else:
            self.marked.append(name)
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_take()

    def on_input_submitted(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        name = self._selected()
        if name is None:
            return
        names = tuple(self.marked) if self.marked or name == OTHER else (name,)
        self.desk.back()
        self.then(names, name == OTHER)
