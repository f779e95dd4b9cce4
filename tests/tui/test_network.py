"""Network: ports as they are, one set by its fields, a lamp that blinks, the site's proxy."""

from __future__ import annotations

from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model import service_messages as s
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine

FOUND = s.Network(
    links=(
        s.Port(
            name="eno1", mac="52:54:00:00:00:01", cable=True, speed=10000, addresses=("10.0.2.15/24",),
            dynamic=True, gateway="10.0.2.2", driver="ixgbe",
        ),
        s.Port(name="eno2", mac="52:54:00:00:00:02", cable=False),
    ),
    servers=("192.0.2.53",),
)  # fmt: skip


async def test_ports_are_shown_and_one_is_set_by_hand(engine: FakeEngine) -> None:
    engine.script[s.GetNetwork] = lambda say: FOUND
    engine.script[s.SetNetwork] = lambda say: FOUND
    async with desk(engine) as here:
        await here.press("a", "n")
        await here.sees("> eno1", "10 Gbit", "10.0.2.15/24", "(by DHCP)", "10.0.2.2", "192.0.2.53", "2 ports")
        await here.press("down")
        await here.sees("eno2           NO", "waits for DHCP")
        await here.press("enter")
        await here.sees("Set eno2", "NO CABLE", "(by DHCP;")
        await here.press(*"192.0.2.10/24", "down", *"192.0.2.1", "tab", *"192.0.2.53", "down", *"7", "enter")
        await here.sees("The port was set.", "Selected: eno2")
    want = s.SetNetwork(
        link="eno2", address="192.0.2.10/24", gateway="192.0.2.1", servers="192.0.2.53", vlan="7"
    )
    assert engine.said(s.SetNetwork) == [want]


async def test_a_wrong_address_is_said_and_what_was_typed_stays(engine: FakeEngine) -> None:
    engine.script[s.GetNetwork] = lambda say: FOUND

    def no(say: m.AnySay) -> m.AnyReply:
        raise Refused(('"10.0.0.1" has no prefix length.', '"x" is no VLAN: a number from 1 to 4094.'))

    engine.script[s.SetNetwork] = no
    async with desk(engine) as here:
        await here.press("a", "n")
        await here.sees("> eno1")
        await here.press("enter", *"10.0.0.1", "enter")
        await here.sees("[X] NOT DONE", "has no prefix length", "is no VLAN")
        await here.press("enter")
        await here.sees("Set eno1", "10.0.0.1")
        await here.press("ctrl+r", "escape")
        await here.sees("Selected: eno1")


async def test_a_lamp_blinks_and_the_proxy_is_set_and_cleared(engine: FakeEngine) -> None:
    engine.script[s.GetNetwork] = lambda say: FOUND
    engine.script[s.SetProxy] = lambda say: s.Network(
        links=FOUND.links, proxy=say.proxy.removeprefix("http://")
    )
    async with desk(engine) as here:
        await here.press("a", "n")
        await here.sees("> eno1")
        await here.press("b")
        await here.sees("The lamp of eno1 blinks for 15 seconds.")
        await here.press("p", *"http://proxy:3128", "enter")
        await here.sees("Proxy: proxy:3128")
        await here.press("p", "ctrl+u", "enter")
        await here.sees("No proxy is used.")
        await here.press("p", "escape", "escape", "escape")
        await here.sees("What this machine can start")
    assert engine.said(s.Blink) == [s.Blink(link="eno1")]
    assert engine.said(s.SetProxy) == [s.SetProxy(proxy="http://proxy:3128"), s.SetProxy()]


async def test_only_the_client_in_control_sets_the_network(engine: FakeEngine) -> None:
    engine.script[s.GetNetwork] = lambda say: FOUND
    engine.status = m.Status(machine=engine.machine, lineage=engine.status.lineage, operator="ttyS0")
    async with desk(engine) as here:
        await here.press("a", "n")
        await here.sees("> eno1")
        await here.press("enter", "enter")
        await here.sees("Nothing was changed")
        assert engine.said(s.SetNetwork) == []
        await here.press(*"10.0.0.9/8", "enter")
        await here.sees("Another terminal is in control", "T take over")
