"""Names of network cards against network files in each manager's documented forms, and what a name loses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.checks import network_netplan
from appliance.checks.network_names import NAME, Network, judge_names, read_setups, why_unreachable
from appliance.checks.network_setup import Named, any_glob, ini
from appliance.model.metal import Card, DeviceFate, Fate
from appliance.model.verdict import Outcome
from appliance.probe.tree import Tree

INTERFACES = (Path(__file__).parents[2] / "lab/system/etc/network/interfaces").read_text()
CARD = Card(
    link="eth0", mac="52:54:00:7b:00:01", place="0000:00:10.0", driver="e1000e", path="pci-0000:00:10.0"
)
OTHER = Card(
    link="eth1", mac="52:54:00:7b:00:02", place="0000:00:11.0", driver="tg3", path="pci-0000:00:11.0"
)
NETWORKD = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
MANAGER = "etc/systemd/system/multi-user.target.wants/NetworkManager.service"


def system(root: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        at = root / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
    return Tree(root)


def network(tree: Tree, name: str, *others: str, card: Card = CARD) -> Network:
    return Network({card.link: Named(card, name, others)}, read_setups(tree))


def file_for(root: Path, files: dict[str, str], name: str, *others: str) -> str:
    return network(system(root, files), name, *others).file_for(CARD)


IFUPDOWN = "etc/network/interfaces"
UNIT = "etc/systemd/network/10-lan.network"
KEYFILE = "etc/NetworkManager/system-connections/lan.nmconnection"
PLAN = "etc/netplan/50-cloud-init.yaml"

# Each says that the card called enp0s16 has an address; under the other name that it has none.
BY_NAME = {
    "the lab's own interfaces": {IFUPDOWN: INTERFACES},
    "static": {IFUPDOWN: "auto enp0s16\niface enp0s16 inet static\n  address 192.0.2.2/24\n"},
    "sourced": {
        IFUPDOWN: "source interfaces.d/*\n",
        "etc/network/interfaces.d/lan": "auto enp0s16\niface enp0s16 inet6 auto\n",
    },
    "a folder": {
        IFUPDOWN: "source-directory /etc/network/interfaces.d\n",
        "etc/network/interfaces.d/lan": "auto enp0s16\niface enp0s16 inet dhcp\n",
    },
    "a bridge": {IFUPDOWN: "iface br0 inet dhcp\n  bridge_ports enp0s16 enp0s17\n"},
    "a bond": {
        IFUPDOWN: "iface enp0s16 inet manual\n bond-master bond0\niface bond0 inet dhcp\n bond-slaves none\n"
    },
    "a VLAN": {IFUPDOWN: "iface enp0s16.7 inet dhcp\n"},
    "a VLAN of another name": {IFUPDOWN: "iface lan7 inet dhcp\n  vlan-raw-device enp0s16\n"},
    "a bridge on a VLAN on a bond": {
        IFUPDOWN: "iface bond0 inet manual\n bond-slaves enp0s16\n"
        "iface br7 inet static\n address 192.0.2.2/24\n bridge-ports bond0.7\n"
    },
    "networkd": {UNIT: "[Match]\nName=enp0s16\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "networkd, static": {
        UNIT: "[Match]\nName=lo* enp0s1[0-9]\n[Address]\nAddress=192.0.2.2/24\n",
        NETWORKD: "",
    },
    "networkd, a bridge's": {UNIT: "[Match]\nName=enp0s16\n[Network]\nBridge=br0\n", NETWORKD: ""},
    "networkd, by a drop-in": {
        UNIT: "[Match]\nName=enp0s16\n",
        f"{UNIT}.d/dhcp.conf": "[Network]\nDHCP=ipv4\n",
        NETWORKD: "",
    },
    "NetworkManager": {
        KEYFILE: "[connection]\ntype=ethernet\ninterface-name=enp0s16\n[ipv4]\nmethod=auto\n",
        MANAGER: "",
    },
    "NetworkManager, a bond's": {
        KEYFILE: "[connection]\ntype=ethernet\ninterface-name=enp0s16\nmaster=bond0\n",
        MANAGER: "",
    },
    "netplan": {PLAN: "network:\n  version: 2\n  ethernets:\n    enp0s16:\n      dhcp4: true\n"},
    "netplan, static": {
        PLAN: "network:\n  ethernets:\n    enp0s16:\n      addresses: [192.0.2.2/24]\n      routes:\n"
        "        - to: default\n          via: 192.0.2.1\n"
    },
    "netplan, a bond's": {
        PLAN: "network:\n  ethernets: {enp0s16: {}}\n"
        "  bonds:\n    bond0:\n      interfaces: [enp0s16]\n      dhcp4: yes\n"
    },
}


@pytest.mark.parametrize("files", BY_NAME.values(), ids=BY_NAME)
def test_a_card_is_given_an_address_by_its_name(tmp_path: Path, files: dict[str, str]) -> None:
    said = file_for(tmp_path, files, "enp0s16")
    assert said.lstrip("/") in files
    assert file_for(tmp_path, files, "lan9") == ""


# Whatever it is called.
BY_OTHER = {
    "ifupdown takes whatever a bridge finds": {IFUPDOWN: "iface br0 inet dhcp\n bridge_ports all\n"},
    "a glob": {UNIT: "[Match]\nName=e* lan*\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "its MAC": {UNIT: "[Match]\nMACAddress=52-54-00-7B-00-01\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "its place": {UNIT: "[Match]\nPath=pci-0000:00:10.*\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "its driver": {UNIT: "[Match]\nType=ether\nDriver=e1000e\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "what it is not": {UNIT: "[Match]\nName=!wl*\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "a keyfile's MAC": {
        KEYFILE: "[connection]\ntype=ethernet\n[ethernet]\nmac-address=52:54:00:7B:00:01\n"
        "[ipv4]\nmethod=manual\n",
        MANAGER: "",
    },
    "any card of a keyfile": {KEYFILE: "[connection]\ntype=ethernet\n[ipv4]\nmethod=auto\n", MANAGER: ""},
    "a match of netplan": {
        PLAN: "network:\n  ethernets:\n    lan:\n"
        "      match: {macaddress: 52:54:00:7b:00:01}\n      dhcp4: true\n"
    },
}


@pytest.mark.parametrize("files", BY_OTHER.values(), ids=BY_OTHER)
def test_a_card_keeps_its_address_whatever_it_is_called(tmp_path: Path, files: dict[str, str]) -> None:
    assert file_for(tmp_path, files, "enp0s16") == file_for(tmp_path, files, "lan9") != ""


NONE = {
    "manual": {IFUPDOWN: "auto enp0s16\niface enp0s16 inet manual\n"},
    "a bridge without an address": {IFUPDOWN: "iface br0 inet manual\n bridge_ports enp0s16\n"},
    "a note": {IFUPDOWN: "# iface enp0s16 inet dhcp\n"},
    "networkd that is not started": {UNIT: "[Match]\nName=enp0s16\n[Network]\nDHCP=yes\n"},
    "a file before it": {
        "etc/systemd/network/05-off.network": "[Match]\nName=en*\n[Network]\nDHCP=no\n",
        UNIT: "[Match]\nName=enp0s16\n[Network]\nDHCP=yes\n",
        NETWORKD: "",
    },
    "a masked file": {
        UNIT: "",
        "usr/lib/systemd/network/10-lan.network": "[Match]\nName=enp0s16\n[Network]\nDHCP=yes\n",
        NETWORKD: "",
    },
    "another kind of link": {UNIT: "[Match]\nKind=veth\nName=e*\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "wireless": {UNIT: "[Match]\nType=wlan\nName=e*\n[Network]\nDHCP=yes\n", NETWORKD: ""},
    "a connection by hand only": {
        KEYFILE: "[connection]\ntype=ethernet\nautoconnect=false\n[ipv4]\nmethod=auto\n",
        MANAGER: "",
    },
    "a connection without an address": {
        KEYFILE: "[connection]\ntype=ethernet\n[ipv4]\nmethod=disabled\n[ipv6]\nmethod=ignore\n",
        MANAGER: "",
    },
    "no YAML": {PLAN: "network: [\n"},
    "YAML without end": {PLAN: "a: &a [1]\nnetwork: *a\n"},
    "YAML of another shape": {PLAN: "network:\n  ethernets: [enp0s16]\n  bonds: 7\n"},
    "nothing": {},
}


@pytest.mark.parametrize("files", NONE.values(), ids=NONE)
def test_what_gives_no_address_is_not_taken_for_one(tmp_path: Path, files: dict[str, str]) -> None:
    assert file_for(tmp_path, files, "enp0s16") == ""


def test_networkd_takes_an_alternative_name_and_ifupdown_does_not(tmp_path: Path) -> None:
    """Debian 13's udev says ens16 for enp0s16 where the slot has a number, and keeps that name beside it."""
    for number, (files, kept) in enumerate(
        (
            (BY_NAME["networkd"], True),
            (BY_NAME["netplan"], True),
            (BY_NAME["the lab's own interfaces"], False),
        )
    ):
        assert bool(file_for(tmp_path / str(number), files, "ens16", "enp0s16")) is kept


def test_a_link_to_the_appliance_s_own_file_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(INTERFACES)
    (tmp_path / "a/etc/network").mkdir(parents=True)
    (tmp_path / "a" / IFUPDOWN).symlink_to(outside)
    assert file_for(tmp_path / "a", {}, "enp0s16") == ""


def test_files_that_source_each_other_end(tmp_path: Path) -> None:
    text = "source /etc/network/interfaces\niface a.1 inet dhcp\niface a inet manual\n bridge_ports a b\n"
    assert file_for(tmp_path, {IFUPDOWN: text}, "b") != ""


# The gate.


def scene(root: Path, now: str, *, after: dict[str, str] | None = None) -> tuple[Network, Network]:
    old = system(root / "old", {IFUPDOWN: INTERFACES})
    new = system(root / "new", {IFUPDOWN: INTERFACES} if after is None else after)
    return network(old, "enp0s16"), network(new, now)


def test_the_same_name_is_the_same(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "enp0s16")
    assert why_unreachable((CARD,), before, after, ()) == ()
    check = judge_names((CARD,), before, after, ())
    assert (check.name, check.outcome, check.before, check.after) == (
        NAME,
        Outcome.SAME,
        "enp0s16",
        "enp0s16",
    )


def test_a_new_name_of_the_card_with_the_address_refuses(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "lan9")
    (why,) = why_unreachable((CARD,), before, after, ())
    assert why == (
        "The network card 52:54:00:7b:00:01, which carries this machine's address as enp0s16 "
        "(/etc/network/interfaces), is called lan9 by the patched system's udev on this hardware, and no "
        "network file of it gives that an address: the machine would not be reached."
    )
    check = judge_names((CARD,), before, after, (why,))
    assert (check.outcome, check.before, check.after, check.why) == (Outcome.WORSE, "enp0s16", "lan9", why)
    assert "Rehearse again." in check.fix


def test_a_patch_that_brings_files_for_the_new_name_is_told_only(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "lan9", after={IFUPDOWN: INTERFACES.replace("enp0s16", "lan9")})
    assert why_unreachable((CARD,), before, after, ()) == ()
    check = judge_names((CARD,), before, after, ())
    assert check.outcome is Outcome.NOT_TESTED and "enp0s16 is lan9 (52:54:00:7b:00:01)" in check.why


def test_a_patch_that_takes_the_file_away_refuses_under_the_same_name(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "enp0s16", after={})
    (why,) = why_unreachable((CARD,), before, after, ())
    assert "(enp0s16), which carries this machine's address by /etc/network/interfaces, has none" in why


def test_a_card_without_an_address_may_be_called_anything(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "lan9")
    named = ({"eth1": Named(OTHER, name)} for name in ("enp0s17", "ens17"))
    before, after = (Network(names, n.setups) for names, n in zip(named, (before, after), strict=True))
    assert why_unreachable((OTHER,), before, after, ()) == ()
    assert judge_names((OTHER,), before, after, ()).outcome is Outcome.NOT_TESTED


def test_no_driver_for_the_card_with_the_address_refuses(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "enp0s16")
    gone = DeviceFate(
        place=CARD.place, name="x", fate=Fate.NONE, before="e1000e", after="", why="It is gone."
    )
    (why,) = why_unreachable((CARD,), before, after, (gone,))
    assert why == (
        "The network card 52:54:00:7b:00:01, which carries this machine's address as enp0s16, has no driver "
        "in the patched system: It is gone."
    )
    elsewhere = DeviceFate(place=OTHER.place, name="x", fate=Fate.NONE, before="tg3", after="")
    assert why_unreachable((CARD,), before, after, (elsewhere,)) == ()


def test_a_name_that_could_not_be_asked_refuses_nothing_and_is_not_tested(tmp_path: Path) -> None:
    before, after = scene(tmp_path, "enp0s16")
    for one, two in ((Network({}, before.setups), after), (before, Network({}, after.setups))):
        assert why_unreachable((CARD,), one, two, ()) == ()
        check = judge_names((CARD,), one, two, ())
        assert check.outcome is Outcome.NOT_TESTED and "52:54:00:7b:00:01 could not be asked" in check.why


def test_a_machine_without_cards_is_the_same() -> None:
    check = judge_names((), Network({}, ()), Network({}, ()), ())
    assert (check.outcome, check.before) == (Outcome.SAME, "none")


# Hostile input.


@given(st.text(max_size=400))
def test_any_text_is_read_by_every_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("any")
    names = (IFUPDOWN, UNIT, KEYFILE, PLAN)
    tree = system(root, {**dict.fromkeys(names, text.replace("\ud800", "")), NETWORKD: "", MANAGER: ""})
    for setup in read_setups(tree):
        setup.fits(Named(CARD, "enp0s16"))


@given(st.text(max_size=300))
def test_any_text_is_yaml_or_none(text: str) -> None:
    assert isinstance(network_netplan.parse(text), dict)


def test_an_address_of_digits_is_no_number_to_the_base_of_sixty() -> None:
    assert network_netplan.parse("macaddress: 52:54:00:12:34:56") == {"macaddress": "52:54:00:12:34:56"}


def test_yaml_as_deep_as_it_is_long_is_none() -> None:
    assert network_netplan.parse("network: " + "[" * 60000) == {}
    assert network_netplan.parse("a" * (1 << 17)) == {}


@given(st.text(max_size=200))
def test_any_text_has_lines_or_none(text: str) -> None:
    assert all(key == key.strip() for _, key, _ in ini(text))


def test_globs_with_and_without_exclamation_marks() -> None:
    assert any_glob((), ("a",)) and any_glob(("!b*",), ("a",)) and any_glob(("a", "!b"), ("a",))
    assert not any_glob(("!a*",), ("ab",)) and not any_glob(("b", "!a"), ("c",))
