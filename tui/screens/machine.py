"""Everything that was found on this machine, to read."""

from __future__ import annotations

from textual.app import ComposeResult

from tui import describe
from tui.look import line
from tui.screens.page import Page
from tui.widgets.pane import Scroll


class MachinePage(Page):
    """The probe's findings, section by section."""

    NAME = "machine"
    HELP = """\
What Twinboot read from this machine. Reading changes nothing: no file system
is mounted for writing, no journal is replayed.
"""

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def draw(self) -> None:
        machine = self.board.machine
        pane = self.pane("main")
        if machine is None:
            pane.show([line(" " + self.board.machine_words)])
            return
        pane.show(describe.machine_page(machine, self.board.status, self.width))
