"""Unlock an encrypted device, to look into it: the keyboard first, then the passphrase."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from appliance.errors import ApplianceError, WrongPassphrase
from appliance.model.machine import Locked, Machine
from tui.look import Line, line, lines, pair, rule
from tui.screens.page import Page, key
from tui.terminal import is_screen
from tui.widgets.pane import Pane
from tui.widgets.secret import Secret
from tui.words import wrap

LABEL = 12
"""Cells before the field."""


class UnlockPage(Page):
    """Enter unlocks; Up and Down choose among several devices."""

    NAME = "unlock"
    HELP = """\
The passphrase is the one that the machine asks for when it starts. It is not
shown while it is typed, is kept in memory alone until power-off, and stands in
no log, record or report. A rehearsal's twin is told it each time it starts.
Opening the device changes nothing on it. Ctrl+K leads to the keyboard's layout.
"?" is a character of the passphrase: F1 is help.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "unlock", "unlock"),
        Binding("down", "next(1)", "next device", show=False),
        Binding("up", "next(-1)", "device before", show=False),
        key("ctrl+k,f2", "keyboard", "keyboard"),
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.layout_now = ""

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        with Horizontal(classes="row"):
            label = Pane(id="label-secret")
            label.styles.width = LABEL
            label.rows = [line(" ", ("Passphrase", "title"))]
            yield label
            yield Secret(id="secret", placeholder="(it is not shown)")
        yield Pane(id="main", classes="rest")

    @property
    def locked(self) -> tuple[Locked, ...]:
        return self.board.machine.locked if self.board.machine else ()

    @property
    def chosen(self) -> Locked | None:
        return self.locked[self.at % len(self.locked)] if self.locked else None

    @property
    def secret(self) -> Secret:
        return self.query_one("#secret", Secret)

    def on_mount(self) -> None:
        self.secret.focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.ask("Looking ...", lambda s: s.keyboard(), self._layout, lambda _: self._layout("not known"))

    def _layout(self, code: str) -> None:
        self.layout_now = code
        self.redraw()

    def draw(self) -> None:
        width, one = self.width, self.chosen
        rows = [rule("Unlock an encrypted device", width)]
        if one is not None:
            more = f"   ({self.at % len(self.locked) + 1} of {len(self.locked)}, Down: the next)"
            rows.append(pair("Device", one.name + (more if len(self.locked) > 1 else "")))
            rows.append(pair("UUID", one.uuid))
        rows += [*self._keyboard(), line()]
        self.pane("top").show(rows)
        words = (
            "Enter unlocks it until power-off. Nothing on it is changed by that. The passphrase stands in"
            " no log, record or report. A rehearsal's twin is told it each time it starts; this machine asks"
            " for it as ever, at the start of a trial too."
        )
        self.pane("main").show([line(), *lines(wrap(words, width - 2, " "))])

    def _keyboard(self) -> list[Line]:
        """Which layout the passphrase is typed on; elsewhere it is that of one's own computer."""
        here = is_screen(self.desk.client)
        return [
            pair("Keyboard", f"{self.layout_now} (Ctrl+K: another)" if here else "that of your own computer")
        ]

    def action_next(self, count: int) -> None:
        self.at += count
        self.secret.value = ""
        self.redraw()

    def action_keyboard(self) -> None:
        self.secret.value = ""
        self.desk.open_keyboard(goes_on=True)

    def on_input_submitted(self) -> None:
        self.action_unlock()

    def action_unlock(self) -> None:
        one, typed = self.chosen, self.secret.value
        if one is None or not typed:
            self.say("Type the passphrase, then Enter.", "warn")
            return
        self.secret.value = ""
        passphrase = typed.encode()
        self.ask(
            f"Unlocking {one.name}: this takes a while ...",
            lambda s: s.unlock(one.uuid, passphrase),
            self._unlocked,
            self._wrong,
        )

    def _unlocked(self, machine: Machine) -> None:
        self.board.take_machine(machine)
        self.action_back()

    def _wrong(self, error: ApplianceError) -> None:
        """A slip of the fingers is told here, where it is typed again; all else has its own screen."""
        if error.code == WrongPassphrase.code:
            self.say(f"{error.what} Is it the right keyboard (Ctrl+K)?", "warn")
        else:
            self.said_no(error)

    def action_back(self) -> None:
        self.secret.value = ""
        super().action_back()
