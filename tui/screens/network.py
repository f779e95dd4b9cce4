"""The appliance's own network: ports with cable, speed and address; setting one; which port is which."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.service_messages import Network, Port, SetProxy
from tui.look import Line, columns, line, lines, pair, rule
from tui.screens.fieldpage import FieldPage
from tui.screens.page import key
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import count, wrap


class NetworkPage(FieldPage):
    """Enter goes on to the fields of the selected port. What is set here is forgotten at power-off."""

    NAME = "network"
    HELP = """\
The appliance's own ports. Enter sets the selected one: by DHCP or by hand,
with a VLAN where the site needs one. B lets its lamp blink for 15 seconds, so
that you find it in the rack. P sets the site's HTTP proxy, through which
packages and records go. All of it is forgotten at power-off; the installed
system and the twin's own network are not touched.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter,e", "edit", "set the port"),
        key("b", "blink", "blink"),
        key("p", "proxy", "proxy"),
        key("i,f5", "again", "look again"),
        key("escape", "back", "back"),
    ]

    FIELD, BEHIND = "proxy", "ports"

    def __init__(self) -> None:
        super().__init__()
        self.found: Network | None = None

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="two")
        yield Rows(id="ports", classes="rest")
        yield Pane(id="about", classes="eight")
        yield Field(id="proxy")

    def on_mount(self) -> None:
        self.leave_field()
        self.action_again()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.found is not None:
            self.action_again()

    def action_again(self) -> None:
        self.ask("Looking at the ports ...", lambda s: s.network(), self._read)

    def _read(self, found: Network) -> None:
        self.found = found
        self.redraw()

    @property
    def port(self) -> Port | None:
        chosen = self.query_one("#ports", Rows).selected if self.is_mounted else None
        return next((x for x in self.found.links if x.name == chosen), None) if self.found else None

    def draw(self) -> None:
        width, found = self.width, self.found
        right = count(len(found.links), "port") if found else ""
        head = [(" PORT", 15), ("CABLE", 6), ("SPEED", 9), ("ADDRESS", 42)]
        self.pane("top").show([rule("Network of this appliance", width, right), columns(head, "title")])
        rows = [Row(_row(link), link.name) for link in found.links] if found else []
        self.query_one("#ports", Rows).fill(rows or [Row(line(" no network port was found"))])
        self.pane("about").show(self._about(found, width))

    def _about(self, found: Network | None, width: int) -> list[Line]:
        if self.asks:
            words = "The site's HTTP proxy as http://host:port, empty for none, then Enter:"
            return [rule("Proxy", width), line(" ", (words, "title"))]
        rows = [rule(f"Selected: {self.port.name}", width), *_details(self.port, found)] if self.port else []
        if found is None:
            return rows
        names = ", ".join(found.servers) or "none: names of servers can not be looked up"
        rows += lines(wrap(names, width - 2, " " * 12, " Names      "))
        rows.append(pair("Proxy", found.proxy or "none"))
        return rows

    def on_rows_moved(self) -> None:
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_edit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("edit", "blink"):
            return self.port is not None
        return True

    def action_edit(self) -> None:
        if self.port is not None:
            self.desk.open_port(self.port)

    def action_blink(self) -> None:
        if (port := self.port) is not None:
            name = port.parent or port.name
            words = f"The lamp of {name} blinks for 15 seconds."
            self.ask("Asking the port ...", lambda s: s.blink(name), lambda _: self.say(words, "good"))

    def action_proxy(self) -> None:
        proxy = self.found.proxy if self.found else ""
        self.open_field(f"http://{proxy}" if proxy else "")

    def on_input_submitted(self, event: Field.Submitted) -> None:
        say = SetProxy(proxy=event.value.strip())
        self.leave_field()
        self.ask("Setting the proxy ...", lambda s: s.set_network(say), self._set)

    def _set(self, found: Network) -> None:
        self._read(found)
        self.say(f"Proxy: {found.proxy}" if found.proxy else "No proxy is used.", "good")


def speed_words(link: Port) -> str:
    if not link.speed:
        return "-"
    return f"{link.speed / 1000:g} Gbit" if link.speed >= 1000 else f"{link.speed} Mbit"


def _row(link: Port) -> Line:
    cable = "yes" if link.cable else "NO"
    address = ", ".join(link.addresses) or "none"
    cells = [(link.name, 14), (cable, 6), (speed_words(link), 9), (address, 42)]
    return ((" ", ""), *columns(cells, "" if link.cable else "warn"))


def _details(link: Port, found: Network | None) -> list[Line]:
    by_hand = found is not None and link.name in found.by_hand
    how = "set here" if by_hand else "by DHCP" if link.dynamic else "waits for DHCP"
    kind = f"VLAN {link.vlan} on {link.parent}" if link.vlan else link.driver or "port"
    return [
        pair("Hardware", f"{link.mac}  {kind}"),
        pair("Address", f"{', '.join(link.addresses) or 'none'}  ({how})"),
        pair("Gateway", link.gateway or "none"),
    ]
