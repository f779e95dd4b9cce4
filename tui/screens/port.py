"""One port of the appliance: its address by DHCP or by hand, name servers, VLAN."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from appliance.model.service_messages import Network, Port, SetNetwork
from tui.look import line, lines, pair, rule
from tui.screens.page import Page, key
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.words import wrap

FIELDS = (
    ("address", "Address", "(by DHCP; by hand as 192.0.2.10/24)"),
    ("gateway", "Gateway", "(none; the router, as 192.0.2.1)"),
    ("servers", "Names", "(none; name servers, as 192.0.2.53 192.0.2.54)"),
    ("vlan", "VLAN", "(none; a number 1-4094)"),
)
LABEL = 12
"""Cells before a field."""


class PortPage(Page):
    """Up and Down go from field to field, Enter sets the port as it stands here."""

    NAME = "set a port"
    HELP = """\
Up, Down and Tab go from field to field; Enter sets the port as it stands
here. An empty address means DHCP: the port then asks the site for one. By
hand, write the address with its prefix length (24 is 255.255.255.0). A VLAN
gets the address instead of the port itself. Who is connected by ssh through
this port may lose the connection.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "set", "set the port"),
        Binding("down", "next(1)", "next field", show=False),
        Binding("up", "next(-1)", "field before", show=False),
        key("ctrl+r,f5", "clear", "by DHCP"),
        key("escape", "back", "back, do nothing"),
    ]

    def __init__(self, link: Port) -> None:
        super().__init__()
        self.link = link
        self.before: dict[str, str] = {}

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        for name, label, hint in FIELDS:
            with Horizontal(classes="row"):
                pane = Pane(id=f"label-{name}")
                pane.styles.width = LABEL
                pane.rows = [line(" ", (label, "title"))]
                yield pane
                yield Field(id=name, placeholder=hint)
        yield Pane(id="main", classes="rest")

    def on_mount(self) -> None:
        if not self.link.dynamic and self.link.addresses:
            self.query_one("#address", Field).value = self.link.addresses[0]
            self.query_one("#gateway", Field).value = self.link.gateway
        self.query_one("#vlan", Field).value = str(self.link.vlan or "")
        self.before = self._values()
        self.query_one("#address", Field).focus()

    def draw(self) -> None:
        width, link = self.width, self.link
        cable = "" if link.cable else "  NO CABLE: nothing answers on this port"
        top = [rule(f"Set {link.parent or link.name}", width), pair("Hardware", f"{link.mac}{cable}"), line()]
        self.pane("top").show(top)
        words = "Enter sets it until power-off. Nothing on the installed system is changed."
        self.pane("main").show([line(), *lines(wrap(words, width - 2, " "))])

    def action_next(self, count: int) -> None:
        self.focus_next() if count > 0 else self.focus_previous()

    def action_clear(self) -> None:
        for name, _, _ in FIELDS:
            self.query_one(f"#{name}", Field).value = ""
        self.query_one("#address", Field).focus()

    def action_set(self) -> None:
        self.on_input_submitted()

    def _values(self) -> dict[str, str]:
        return {name: self.query_one(f"#{name}", Field).value.strip() for name, _, _ in FIELDS}

    def on_input_submitted(self) -> None:
        values = self._values()
        if values == self.before and self.link.addresses:
            # One Enter too many must not take the port away from whoever works through it.
            self.say("Nothing was changed: the port stays as it is.")
            return
        say = SetNetwork(link=self.link.parent or self.link.name, **values)
        self.ask("Setting the port ...", lambda s: s.set_network(say), self._set)

    def _set(self, found: Network) -> None:
        self.desk.back()
        page = self.desk.screen
        if isinstance(page, Page):
            page.say("The port was set. An address by DHCP takes some seconds: F5 looks again.", "good")
