"""What the appliance itself offers beside rehearsing: each line opens its page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.service_messages import ShellReady
from tui.look import line, lines, rule
from tui.screens.page import Page, key
from tui.screens.sure import Sure
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap

OFFERS = (
    ("export", "X", "Export", "a run's record to the stick or an address, without secrets"),
    ("network", "N", "Network", "the appliance's ports: cable, address, VLAN, proxy, blink"),
    ("plans", "F", "Plan files", "what is on the stick, to be run here or with nobody there"),
    ("wanted", "W", "Wanted list", "no network here: what this machine would fetch, to the stick"),
    ("ssh", "S", "ssh", "log in from elsewhere; off until you turn it on"),
    ("keyboard", "K", "Keyboard", "the layout at the machine's own screen"),
    ("shell", "R", "Root shell", "on this terminal, logged; exit leads back here"),
)


class ServicesPage(Page):
    """A menu; nothing is done here."""

    NAME = "this appliance"
    HELP = """Each line opens a page. Nothing here changes the installed system: it is about
this appliance and its stick; what the appliance is told is forgotten at
power-off.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "choose", "open"),
        *(key(letter.lower(), f"open('{name}')", title, show=False) for name, letter, title, _ in OFFERS),
        key("escape,h", "back", "home"),
    ]

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="two")
        yield Rows(id="offers", classes="rest")

    def on_mount(self) -> None:
        rows = self.query_one("#offers", Rows)
        rows.fill(
            [
                Row(line(" ", (letter, "key"), f"  {title:12} {words}"), name)
                for name, letter, title, words in OFFERS
            ]
        )
        rows.focus()

    def draw(self) -> None:
        self.pane("top").show([rule("This appliance", self.width), line()])

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        self.action_open(event.key)

    def action_choose(self) -> None:
        if chosen := self.query_one("#offers", Rows).selected:
            self.action_open(chosen)

    def action_open(self, name: str) -> None:
        match name:
            case "export":
                self.desk.open_export(self._run())
            case "network":
                self.desk.open_network()
            case "plans":
                self.desk.open_plans()
            case "wanted":
                self.desk.open_wanted()
            case "ssh":
                self.desk.open_ssh()
            case "keyboard":
                self.desk.open_keyboard()
            case "shell":
                self._sure_shell()

    def _sure_shell(self) -> None:
        words = (
            "A root shell can write to the machine's disks, and nothing asks again: what Twinboot promises"
            " about the installed system holds only for what Twinboot does. All that is typed and shown in it"
            " is logged and goes with the next export. exit leads back here; a run that is going on goes on."
        )
        text = lines(wrap(words, self.width - 2, " "))
        prompt = "To open the shell, type yes and press Enter:"
        self.desk.show_sure(Sure("Open a root shell on this terminal?", text, prompt, "yes", self._shell))

    def _shell(self) -> None:
        self.ask("Opening a shell ...", lambda s: s.open_shell(), self._run_shell)

    def _run_shell(self, ready: ShellReady) -> None:
        status = self.desk.run_in_foreground(ready.argv)
        if status is None:
            self.say("This terminal can not be handed to a shell.", "warn")
            return
        self.ask("Back ...", lambda s: s.shell_closed(ready.log, status), lambda _: self._back(ready.log))

    def _back(self, log: str) -> None:
        self.say(f"The shell has ended. Its log: {log}")

    def _run(self) -> str:
        """The newest run there is."""
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        made = sorted((n for n in nodes if n.run), key=lambda n: n.made)
        return made[-1].run if made else ""
