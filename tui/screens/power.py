"""Restart or switch off the machine; both are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.machine import Firmware
from tui import describe
from tui.look import Line, line, rule
from tui.screens.page import Page, key
from tui.screens.sure import Sure
from tui.widgets.pane import Scroll
from tui.words import wrap


class PowerPage(Page):
    """R restarts, O switches off, F goes to the firmware. `armed`: a trial waits for its boot."""

    NAME = "power"
    HELP = """\
Restarting leaves this image and boots the machine from what the page names as
its next boot. With the stick left in, the image's own menu hands over to the
machine's disk by itself when a trial waits. F restarts into the firmware's own
setup where it is UEFI. Nothing of this is done while a run is at work.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("r", "reboot", "restart the machine"),
        key("o", "poweroff", "switch it off"),
        key("f", "firmware", "firmware setup"),
    ]

    def __init__(self, armed: bool = False) -> None:
        super().__init__()
        self.armed = armed

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def draw(self) -> None:
        self.pane("main").show(self._lines())

    def _lines(self) -> list[Line]:
        width = self.width
        title = "Armed: restart now to try the patched system" if self.armed else "Restart or switch off"
        rows = [rule(title, width), line("")]
        rows += describe.boot_lines(self.board)
        rows += [
            line(""),
            line(" ", ("R", "key"), "  restart this machine"),
            line(" ", ("O", "key"), "  switch it off"),
        ]
        if self._has_setup():
            rows.append(line(" ", ("F", "key"), "  restart into the firmware's setup"))
        rows += [line(" ", ("Esc", "key"), "  go back, do neither"), line("")]
        run = self.board.run
        if run is not None and not run.over:
            waits = (
                "waits and can go on after the restart."
                if run.gate
                else "is at work: wait for it or cancel it."
            )
            text = f"{run.title or run.run} {waits}"
            rows += [line((row, "warn")) for row in wrap(text, width - 2, "     ", " [!] ")]
        return rows

    def action_reboot(self) -> None:
        self._sure("Restart this machine?", "restart", "reboot")

    def _has_setup(self) -> bool:
        """Only UEFI can be asked for its setup; whether this one takes it, the engine finds out."""
        machine = self.board.machine
        return machine is not None and machine.firmware is Firmware.UEFI

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._has_setup() if action == "firmware" else True

    def action_firmware(self) -> None:
        self._sure("Restart into the firmware's setup?", "restart into setup", "firmware")

    def action_poweroff(self) -> None:
        self._sure("Switch this machine off?", "switch off", "poweroff")

    def _sure(self, title: str, words: str, act: str) -> None:
        prompt = f"To {words}, type yes and press Enter:"
        self.desk.show_sure(Sure(title, self._lines()[2:4], prompt, "yes", self._power(act)))

    def _power(self, act: str) -> Callable[[], None]:
        return lambda: self.ask("Asking the engine ...", lambda s: s.power(act), self._going)

    def _going(self, answer: None) -> None:
        self.say("The machine is going down.", "good")
