"""The log: everything the engine said, followed, filtered, searched."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.board import LogLine
from tui.look import Line, line
from tui.screens.fieldpage import FieldPage
from tui.screens.page import key
from tui.widgets.pane import Pane, Scroll
from tui.words import clean, fit, moment, wrap

SOURCES = ("all", "run", "patch", "vm", "disk", "boot", "net", "log")
STYLES = {"warn": "warn", "error": "bad"}
LEVELS = {
    "every line": ("info", "warn", "error"),
    "warnings and errors": ("warn", "error"),
    "errors": ("error",),
}
PREFIX = 16
"""Cells of mark, time and source before a line's text."""


class LogPage(FieldPage):
    """Follows the newest line until one scrolls up; End or F follows again."""

    NAME = "log"
    HELP = """\
The newest line is at the bottom and is followed. Scrolling up (Up, PgUp,
Home) stops that; F or End follows again. S shows one source only: run,
patch, vm (the twin's console), disk, boot, net, log. E shows every line,
warnings and errors, or errors only. / finds text: Enter goes to the match
before, n to the next one further up, N (Shift) to the next one further down.
W wraps long lines. X exports.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("s", "source", "source"),
        key("e", "level", "level"),
        key("slash", "find", "find"),
        Binding("n", "find_up", "find up"),
        Binding("N", "find_down", "down"),
        key("f", "follow", "follow"),
        key("w", "wrap", "wrap"),
        key("x", "export", "export"),
        key("escape", "back", "back"),
    ]

    FIELD, BEHIND = "find", "main"

    def __init__(self) -> None:
        super().__init__()
        self.source = "all"
        self.level = "every line"
        self.wrapped = False
        self.wanted = ""
        self.found: LogLine | None = None
        self.starts: list[int] = []

    def body(self) -> ComposeResult:
        yield Pane(id="filter", classes="one")
        yield Scroll(id="main", classes="rest", follow=True)
        yield Input(id="find", compact=True, placeholder="(text to find, then Enter)", select_on_focus=False)

    def on_mount(self) -> None:
        self.leave_field()

    def entries(self) -> list[LogLine]:
        return [
            entry
            for entry in self.board.log
            if self.source in ("all", entry.source) and _level(entry) in LEVELS[self.level]
        ]

    def draw(self) -> None:
        rows: list[Line] = []
        self.starts = []
        for entry in self.entries():
            self.starts.append(len(rows))
            rows += _entry_lines(entry, entry is self.found, self.width, self.wrapped)
        pane = self.query_one("#main", Scroll)
        pane.show(rows)
        shown = "".join(f"[{s}]" if s == self.source else f" {s} " for s in SOURCES)
        place = "following" if pane.follow else (pane.place or "all in view")
        self.pane("filter").show([line(f" Show {shown}  {self.level}, {place}")])
        self.board.log_was_read()

    def action_source(self) -> None:
        self.source = SOURCES[(SOURCES.index(self.source) + 1) % len(SOURCES)]
        self.redraw()

    def action_level(self) -> None:
        names = list(LEVELS)
        self.level = names[(names.index(self.level) + 1) % len(names)]
        self.redraw()

    def action_wrap(self) -> None:
        self.wrapped = not self.wrapped
        self.redraw()
        if self.found is not None:
            self._show_found()

    def action_export(self) -> None:
        run = self.board.run
        self.desk.open_export(run.run if run else "")

    def action_follow(self) -> None:
        pane = self.query_one("#main", Scroll)
        pane.follow = True
        pane.go(pane.last_top)
        self.redraw()

    def action_find(self) -> None:
        self.open_field(self.field.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.wanted = event.value.strip()
        self.leave_field()
        self.found = None
        self._again(up=True)

    def action_find_up(self) -> None:
        self._again(up=True)

    def action_find_down(self) -> None:
        self._again(up=False)

    def _again(self, up: bool) -> None:
        """To the next match further up, or down. Without one found before, up from the newest line."""
        if not self.wanted:
            self.action_find()
            return
        entries, want = self.entries(), self.wanted.casefold()
        here = next((i for i, entry in enumerate(entries) if entry is self.found), None)
        order = range((len(entries) if here is None else here) - 1, -1, -1)
        if not up:
            order = range(0 if here is None else here + 1, len(entries))
        at = next((i for i in order if want in entries[i].text.casefold()), -1)
        if at < 0:
            self.say(f'"{clean(self.wanted)}" is not in the lines {"above" if up else "below"}.', "warn")
            return
        self.found = entries[at]
        self.query_one("#main", Scroll).follow = False
        self.say(f'Found "{clean(self.wanted)}". n goes further up, N down.')
        self._show_found()

    def _show_found(self) -> None:
        entries = self.entries()
        at = next((i for i, entry in enumerate(entries) if entry is self.found), None)
        if at is not None:
            pane = self.query_one("#main", Scroll)
            pane.go(self.starts[at] - pane.size.height // 2)


def _level(entry: LogLine) -> str:
    """Any level this console does not know counts as information."""
    return entry.level if entry.level in STYLES else "info"


def _entry_lines(entry: LogLine, found: bool, width: int, wrapped: bool) -> list[Line]:
    style = "cursor" if found else STYLES.get(entry.level, "")
    mark = ">" if found else "!" if entry.level in STYLES else " "
    first = f"{mark}{moment(entry.at)} {fit(entry.source, 5)} "
    if wrapped and entry.text:
        return [line((row, style)) for row in wrap(entry.text, width, " " * PREFIX, first)]
    return [line(((first + entry.text)[: max(width, 20)], style))]
