"""Armed: the restart is offered and counts down; any key stops it."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Key

from appliance.errors import ApplianceError
from tui import describe
from tui.look import Line, bar, line, lines, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Pane
from tui.words import count, wrap

SECONDS = 60


class Countdown(Page):
    """Only opened after a promotion that was confirmed on this very terminal, by typing."""

    NAME = "restart"
    HELP = """\
The trial is armed. This machine restarts by itself when the time is over.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape", "stop", "or any other key stops this"),
        key("f1,question_mark", "stop", "stops as any key does", show=False),
    ]

    def __init__(self, seconds: int = SECONDS) -> None:
        super().__init__()
        self.seconds = seconds
        self.ends = time.monotonic() + seconds
        self.over = False

    def body(self) -> ComposeResult:
        yield Pane(id="main", classes="rest")

    def holds_keys(self) -> bool:
        return True

    def shows_time(self) -> bool:
        return not self.over

    @property
    def left(self) -> int:
        """Whole seconds, the last one shown as 1."""
        return max(0, int(self.ends - time.monotonic() + 0.999))

    def draw(self) -> None:
        self.pane("main").show(self._lines())

    def _lines(self) -> list[Line]:
        width, left = self.width, self.left
        rows = [rule("Armed: this machine restarts to try the patched system", width), line("")]
        rows.append(line(" ", (f"Restart in {count(left, 'second')}", "warn"), "   any key stops this"))
        rows.append(line(" " + bar(left / self.seconds, width - 2)))
        rows += [line(""), *describe.boot_lines(self.board), line("")]
        words = (
            "Its next boot tries the patched system once. If that does not come up well, the old system"
            " boots. Leave the stick in or take it out: both work."
        )
        rows += lines(wrap(words, width - 2, " "))
        return [
            *rows,
            line(""),
            *lines(wrap("Stopped, it waits for you: Q restarts it later.", width - 2, " ")),
        ]

    def tick(self) -> None:
        if not self.over and self.left == 0 and self.is_current:
            self.over = True
            self.ask("The machine is going down ...", lambda s: s.power("reboot"), self._going, self._no)
        super().tick()

    def _going(self, answer: None) -> None:
        self.say("The machine is going down.", "good")

    def _no(self, error: ApplianceError) -> None:
        self.desk.back()
        self.said_no(error)

    def on_key(self, event: Key) -> None:
        """Whatever the key is, it stops the countdown and does nothing else."""
        event.stop()
        event.prevent_default()
        self.action_stop()

    def action_stop(self) -> None:
        if self.over or not self.is_current:
            return
        self.over = True
        self.desk.back()
        page = self.desk.screen
        if isinstance(page, Page):
            page.say("The restart was stopped. Q restarts the machine when you are ready.")
