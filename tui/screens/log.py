"""The log: everything the engine said, followed, filtered, searched."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from tui.board import LogLine
from tui.look import Line, line
from tui.screens.page import Page, key
from tui.widgets.pane import Scroll
from tui.words import clean, fit, moment

SOURCES = ("all", "run", "patch", "vm", "disk", "boot", "net", "log")
LEVELS = {"warn": "warn", "warning": "warn", "error": "bad"}


class LogPage(Page):
    """Follows the newest line until one scrolls up; End follows again."""

    NAME = "log"
    HELP = """\
The newest line is at the bottom and is followed. Scrolling up stops that, End
follows again. S shows one source only: run, patch, vm (the twin's console),
disk, boot, net. / finds text: Enter goes to the match before, N to the next
one further up. E shows warnings and errors only.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("s", "source", "next source"),
        key("e", "errors", "warnings only"),
        key("slash", "find", "find"),
        key("n", "again", "find further up"),
        key("f", "follow", "follow"),
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.source = "all"
        self.only_errors = False
        self.wanted = ""
        self.found = -1

    def body(self) -> ComposeResult:
        from tui.widgets.pane import Pane

        yield Pane(id="filter", classes="one")
        yield Scroll(id="main", classes="rest", follow=True)
        yield Input(id="find", compact=True, placeholder="text to find, then Enter", select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one("#find", Input).display = False
        self.query_one(Scroll).focus()

    def entries(self) -> list[LogLine]:
        return [
            entry
            for entry in self.board.log
            if (self.source == "all" or entry.source == self.source)
            and (not self.only_errors or entry.level in LEVELS)
        ]

    def draw(self) -> None:
        entries = self.entries()
        pane = self.query_one("#main", Scroll)
        pane.show([_entry_line(e, i == self.found, self.width) for i, e in enumerate(entries)])
        shown = "".join(f"[{s}]" if s == self.source else f" {s} " for s in SOURCES)
        level = "warnings and errors" if self.only_errors else "every line"
        place = "following" if pane.follow else (pane.place or "all in view")
        self.pane("filter").show([line(f" Show {shown}  {level}, {place}")])
        self.board.log_was_read()

    def action_source(self) -> None:
        self.source = SOURCES[(SOURCES.index(self.source) + 1) % len(SOURCES)]
        self.found = -1
        self.redraw()

    def action_errors(self) -> None:
        self.only_errors = not self.only_errors
        self.found = -1
        self.redraw()

    def action_follow(self) -> None:
        pane = self.query_one("#main", Scroll)
        pane.follow = True
        pane.go(pane.last_top)
        self.redraw()

    def action_find(self) -> None:
        field = self.query_one("#find", Input)
        field.display = True
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.wanted = event.value.strip()
        self._leave_find()
        self.found = len(self.entries())
        self.action_again()

    def _leave_find(self) -> None:
        self.query_one("#find", Input).display = False
        self.query_one("#main", Scroll).focus()

    def action_again(self) -> None:
        """To the next match further up."""
        if not self.wanted:
            self.action_find()
            return
        entries, want = self.entries(), self.wanted.casefold()
        start = self.found if 0 <= self.found <= len(entries) else len(entries)
        at = next((i for i in range(start - 1, -1, -1) if want in entries[i].text.casefold()), -1)
        if at < 0:
            self.say(f'"{clean(self.wanted)}" is not in the lines above.', "warn")
            return
        self.found = at
        pane = self.query_one("#main", Scroll)
        pane.follow = False
        self.say(f'Found "{clean(self.wanted)}". N goes further up.')
        pane.go(at - pane.size.height // 2)

    def action_back(self) -> None:
        if self.query_one("#find", Input).display:
            self._leave_find()
            return
        super().action_back()


def _entry_line(entry: LogLine, found: bool, width: int) -> Line:
    style = "cursor" if found else LEVELS.get(entry.level, "")
    mark = ">" if found else "!" if entry.level in LEVELS else " "
    return line((f"{mark}{moment(entry.at)} {fit(entry.source, 5)} {entry.text}"[: max(width, 20)], style))
