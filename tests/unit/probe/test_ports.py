"""The appliance's own ports, out of what ip(8) said (iproute2 6.1), shortened."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.model.service_messages import Port
from appliance.probe.ports import name_servers, parse_ports

FLAGS = ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"]


def ether(name: str, mac: str, *addresses: tuple[str, int, str], **more: object) -> dict[str, object]:
    """One element as `ip -json -details address show` prints it for a card."""
    info = [{"family": "inet", "local": a, "prefixlen": p, "scope": s} for a, p, s in addresses]
    said = {"ifname": name, "flags": FLAGS, "link_type": "ether", "address": mac, "addr_info": info}
    return {**said, **more}


DHCP = [
    {"family": "inet", "local": "10.0.2.15", "prefixlen": 24, "scope": "global", "dynamic": True},
    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
]
NO_CABLE = ["NO-CARRIER", "BROADCAST", "MULTICAST", "UP"]
VLAN = {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 100, "flags": ["REORDER_HDR"]}}
SAID = json.dumps(
    [
        {"ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "link_type": "loopback", "addr_info": []},
        ether("eno1", "52:54:00:00:00:01", addr_info=DHCP),
        ether("eno2", "52:54:00:00:00:02", flags=NO_CABLE),
        ether("vlan100", "52:54:00:00:00:01", ("192.0.2.10", 24, "global"), link="eno1", linkinfo=VLAN),
        ether("virbr0", "52:54:00:00:00:03", linkinfo={"info_kind": "bridge"}),
        ether("vnet0", "fe:54:00:00:00:03", linkinfo={"info_kind": "tun"}),
    ]
)
ROUTES = '[{"dst":"default","gateway":"10.0.2.2","dev":"eno1","protocol":"dhcp","flags":[]}]'
SYS = {
    ("eno1", "speed"): "10000",
    ("eno1", "device/uevent"): "DRIVER=ixgbe\nPCI_CLASS=20000",
    ("eno2", "speed"): "-1",
}


def test_ports_and_vlans_and_nothing_of_the_twin() -> None:
    found = parse_ports(SAID, ROUTES, lambda name, what: SYS.get((name, what), ""))
    assert found == (
        Port(
            name="eno1", mac="52:54:00:00:00:01", cable=True, speed=10000, addresses=("10.0.2.15/24",),
            dynamic=True, gateway="10.0.2.2", driver="ixgbe",
        ),
        Port(name="eno2", mac="52:54:00:00:00:02", cable=False),
        Port(
            name="vlan100", mac="52:54:00:00:00:01", cable=True, addresses=("192.0.2.10/24",), parent="eno1",
            vlan=100,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("said", ["", "[]"])
def test_no_port_is_an_empty_list(said: str) -> None:
    assert parse_ports(said, said, lambda *_: "") == ()


@given(st.text(max_size=40))
def test_anything_else_is_one_error_or_no_port(said: str) -> None:
    try:
        assert parse_ports(said, "[]", lambda *_: "") == ()
    except DamagedData as error:
        assert "does not read" in error.what


def test_name_servers_of_a_resolv_conf() -> None:
    text = "# resolved\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch .\nnameserver\n"
    assert name_servers(text) == ("192.0.2.53", "2001:db8::53")
