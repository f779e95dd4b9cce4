"""Setting the appliance's own network: refused in sentences, written below /run, undone when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, CommandFailed, Refused
from appliance.host.run import Command, Effect, Output
from appliance.model.service_messages import Port, SetNetwork
from appliance.workflow.network import NetworkDesk, Wanted, check, check_proxy, files_for, site_proxy

PORTS = (
    Port(name="eno1", mac="x", cable=True),
    Port(name="vlan7", mac="x", cable=True, parent="eno1", vlan=7),
)
SAID = json.dumps(
    [{"ifname": "eno1", "flags": ["UP", "LOWER_UP"], "link_type": "ether", "address": "x", "addr_info": []}]
)


class Machine:
    """Answers ip(8); `fails` names a program that fails, `ran` what changed something."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fails = ""

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ, "the appliance's own memory is no write to the machine"
        if command.argv[:2] == ("ip", "-json"):
            return Output(0, SAID if "address" in command.argv else "[]")
        self.ran.append(str(command))
        if command.argv[0] == self.fails:
            raise CommandFailed(f"{command} ended with status 1: Operation not supported")
        return Output(0, "")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def desk(tmp_path: Path, machine: Machine) -> NetworkDesk:
    return NetworkDesk(machine, tmp_path, tmp_path / "network", tmp_path / "resolv.conf")


BY_HAND = SetNetwork(
    link="eno1", address="192.0.2.10/24", gateway="192.0.2.1", servers="192.0.2.53, 192.0.2.54"
)


def test_by_hand_is_exactly_what_was_typed(desk: NetworkDesk, machine: Machine) -> None:
    found = desk.set(BY_HAND)
    assert (desk.folder / "10-twinboot-eno1.network").read_text() == (
        "[Match]\nName=eno1\n\n[Network]\nLLMNR=no\nMulticastDNS=no\nLLDP=no\nDHCP=no\nIPv6AcceptRA=no\n"
        "Address=192.0.2.10/24\nGateway=192.0.2.1\nDNS=192.0.2.53\nDNS=192.0.2.54\n"
    )
    assert machine.ran == ["systemctl restart systemd-networkd.service"]
    assert found.by_hand == ("eno1",)


def test_a_vlan_carries_the_address_and_goes_when_it_is_no_longer_wanted(
    desk: NetworkDesk, machine: Machine
) -> None:
    desk.set(SetNetwork(link="eno1", vlan="100"))
    files = {path.name: path.read_text() for path in desk.folder.iterdir()}
    assert sorted(files) == [
        "10-twinboot-eno1-vlan100.netdev", "10-twinboot-eno1-vlan100.network", "10-twinboot-eno1.network",
    ]  # fmt: skip
    assert (
        "VLAN=vlan100" in files["10-twinboot-eno1.network"]
        and "DHCP" not in files["10-twinboot-eno1.network"]
    )
    assert "Kind=vlan\n\n[VLAN]\nId=100" in files["10-twinboot-eno1-vlan100.netdev"]
    assert "DHCP=yes" in files["10-twinboot-eno1-vlan100.network"]
    assert "SendHostname=no" in files["10-twinboot-eno1-vlan100.network"]
    desk.set(BY_HAND)
    assert [path.name for path in desk.folder.iterdir()] == ["10-twinboot-eno1.network"]
    assert machine.ran[1:] == ["ip link delete vlan100", "systemctl restart systemd-networkd.service"]


def test_what_networkd_does_not_take_is_put_back(desk: NetworkDesk, machine: Machine) -> None:
    desk.set(BY_HAND)
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir()}
    machine.fails = "systemctl"
    with pytest.raises(CommandFailed):
        desk.set(SetNetwork(link="eno1", address="198.51.100.7/24", vlan="5"))
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (SetNetwork(link="eno9"), "There is no port eno9; there are: eno1."),
        (SetNetwork(link="vlan7"), "There is no port vlan7"),
        (SetNetwork(link="eno1", address="192.0.2.10"), "has no prefix length"),
        (SetNetwork(link="eno1", address="192.0.2.300/24"), "is no address"),
        (SetNetwork(link="eno1", address="192.0.2.010/24"), "is no address"),
        (SetNetwork(link="eno1", address="192.0.2.0/24"), "the network's own or its broadcast"),
        (SetNetwork(link="eno1", address="224.0.0.5/24"), "can not be the address of a port"),
        (SetNetwork(link="eno1", address="192.0.2.10/24", gateway="198.51.100.1"), "is not in 192.0.2.0/24"),
        (SetNetwork(link="eno1", address="192.0.2.10/24", gateway="192.0.2.10"), "is the address itself"),
        (SetNetwork(link="eno1", address="2001:db8::5/64", gateway="192.0.2.1"), "is not in 2001:db8::/64"),
        (SetNetwork(link="eno1", gateway="192.0.2.1"), "By DHCP the gateway comes with the address"),
        (SetNetwork(link="eno1", servers="dns.example"), "numbers only"),
        (SetNetwork(link="eno1", vlan="4095"), "a number from 1 to 4094"),
        (SetNetwork(link="eno1", vlan="1\nDHCP=yes"), "a number from 1 to 4094"),
        (SetNetwork(link="eno1", address="192.0.2.10/24\n[Link]"), "is no address"),
    ],
)
def test_wrong_input_is_a_sentence_and_nothing_is_written(
    desk: NetworkDesk, say: SetNetwork, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        desk.set(say)
    assert said in " ".join(refused.value.reasons)
    assert not desk.folder.exists()


def test_every_reason_is_said_at_once() -> None:
    with pytest.raises(Refused) as refused:
        check(SetNetwork(link="", address="x", gateway="y", servers="z", vlan="0"), PORTS)
    assert len(refused.value.reasons) == 5


def test_both_families_and_a_router_by_link_local_address() -> None:
    wanted = check(SetNetwork(link="eno1", address="2001:db8::5/64", gateway="fe80::1"), PORTS)
    assert wanted == Wanted("eno1", "2001:db8::5/64", "fe80::1")
    assert "Gateway=fe80::1" in files_for(wanted)["10-twinboot-eno1.network"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", ""),
        ("http://proxy.example:3128", "proxy.example:3128"),
        (" http://10.0.0.1:8080/ ", "10.0.0.1:8080"),
    ],
)
def test_a_proxy_is_kept_for_this_start(desk: NetworkDesk, text: str, want: str) -> None:
    desk.set_proxy("http://old:1")
    assert desk.set_proxy(text).proxy == want == site_proxy(desk.runtime)


@pytest.mark.parametrize(
    "text",
    ["proxy:3128", "https://p:1", "http://p", "http://:3128", "http://p:99999", "http://u:p@p:1", "http://p:1/x",
     "http://a..b:1", "http://p:1\nAllow 0.0.0.0/0"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        check_proxy(text)
    assert all(reason.endswith(".") for reason in refused.value.reasons)


def test_a_lamp_blinks_for_fifteen_seconds_or_says_why_not(desk: NetworkDesk, machine: Machine) -> None:
    desk.blink("eno1")
    assert machine.ran == ["ethtool --identify eno1 15"]
    machine.fails = "ethtool"
    with pytest.raises(Refused, match=r"can not blink: .*Operation not supported"):
        desk.blink("eno1")
    with pytest.raises(ApplianceError, match="no port eno1; reboot"):
        desk.blink("eno1; reboot")
