"""ssh to the console: off until it is turned on here; password and fingerprint stand on this screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.service_messages import SshState
from tui.look import Line, line, lines, pair, rule
from tui.screens.page import Page, key
from tui.screens.sure import Sure
from tui.widgets.pane import Scroll
from tui.words import wrap


class SshPage(Page):
    """O turns it on after a typed yes, F turns it off at once with every session."""

    NAME = "ssh"
    HELP = """\
Lets you work from your own desk: whoever logs in gets this console, no shell
and no file transfer. It is off until you turn it on (O), with a password made
for this start alone. Compare the fingerprint before you type the password.
F turns it off and ends every session (it asks where you came by ssh yourself);
power-off forgets it altogether.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("o", "on", "turn on"),
        key("f", "off", "turn off"),
        key("i,f5", "again", "look again"),
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.state: SshState | None = None

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()
        self.action_again()

    def action_again(self) -> None:
        self.ask("Looking ...", lambda s: s.ssh(), self._read)

    def _read(self, state: SshState) -> None:
        self.state = state
        self.redraw()

    def draw(self) -> None:
        self.pane("main").show([rule("ssh to this console", self.width), *self._lines()])

    def _lines(self) -> list[Line]:
        state, width = self.state, self.width
        if state is None:
            return []
        if not state.on:
            words = "ssh is off: nothing listens. O turns it on for this start of the appliance."
            return [line(), pair("State", "OFF"), line(), *lines(wrap(words, width - 2, " "))]
        rows = [line(), pair("State", ("ON", "warn"))]
        rows += [pair("Log in", f"ssh {state.user}@{address}") for address in state.addresses]
        rows += [
            line(),
            pair("Password", (state.password, "title")),
            line(),
            pair("Host key", state.fingerprint),
            line(),
        ]
        words = (
            "Your ssh shows the host key's fingerprint at the first log-in: it must be this one. Who logs in"
            " watches; to act, they take over (T)."
        )
        return rows + lines(wrap(words, width - 2, " "))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("on", "off"):
            return self.state is not None and self.state.on is (action == "off")
        return True

    def action_on(self) -> None:
        words = (
            "From then on, whoever reaches this machine over the network and knows the password can use this"
            " console. The password will be on this screen."
        )
        text = lines(wrap(words, self.width - 2, " "))
        self.desk.show_sure(
            Sure("Turn ssh on?", text, "To turn it on, type yes and press Enter:", "yes", self._on)
        )

    def _on(self) -> None:
        self.ask("Making a key and a password ...", lambda s: s.set_ssh(True), self._changed)

    def action_off(self) -> None:
        """At once, but not under one's own feet."""
        if not self.desk.client.startswith("pts/"):
            self._off()
            return
        words = "You seem to be here by ssh yourself: this very session ends, and nobody can log in again."
        text = lines(wrap(words, self.width - 2, " "))
        self.desk.show_sure(
            Sure("Turn ssh off?", text, "To turn it off, type yes and press Enter:", "yes", self._off)
        )

    def _off(self) -> None:
        self.ask("Turning ssh off ...", lambda s: s.set_ssh(False), self._changed)

    def _changed(self, state: SshState) -> None:
        self._read(state)
        self.say("ssh is on." if state.on else "ssh is off; every session was ended.", "good")
