"""What stands on the VM's own screen: its text, and a picture of it in half blocks."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.vm_messages import SMALL, Screenshot, VgaText
from tui import halfblocks
from tui.look import line, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Pane, Scroll


class PicturePage(Page):
    """A screenshot in half blocks: enough to see which screen it is; the report has it whole."""

    NAME = "picture of the VM"
    HELP = """\
The VM's screen as it was, in blocks: enough to tell a boot menu from a login or
a picture. The screenshot itself is in the run's report. The VM page also reads
the words of a text screen.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,s", "back", "back"),
    ]

    def __init__(self, shot: Screenshot | None = None, said: str = "") -> None:
        super().__init__()
        self.blocks = halfblocks.lines(shot.small, SMALL[0]) if shot is not None else []
        self.notice = (said, "good")

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one("#main", Scroll).focus()

    def draw(self) -> None:
        self.pane("main").show(self.blocks)


class VgaPage(Page):
    """The text of the VM's screen as it was when asked for."""

    NAME = "VGA text of the VM"
    HELP = """\
The text a person would read on the VM's screen: boot loader, kernel, a panic.
It was read once; R reads it again. The page before takes a picture instead.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("r", "again", "read again"),
        key("escape,t", "back", "back"),
    ]

    def __init__(self, lines: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.lines = lines
        self.at = time.strftime("%H:%M:%S")

    def body(self) -> ComposeResult:
        yield Pane(id="title", classes="one")
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one("#main", Scroll).focus()

    def draw(self) -> None:
        self.pane("title").show([rule("The VM's screen", self.width, f"read at {self.at}")])
        self.pane("main").show([line(text) for text in self.lines])

    def action_again(self) -> None:
        def read(text: VgaText) -> None:
            self.lines, self.at = text.lines, time.strftime("%H:%M:%S")
            self.say(text.words, "warn")

        self.ask("Reading the VM's screen ...", lambda s: s.vga_text(), read)
