"""The cards that systemd-networkd and NetworkManager give an address.

systemd.network(5), nm-settings-keyfile(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.checks.network_setup import Setup, ini
from appliance.probe.tree import Tree

NETWORKD = "systemd-networkd.service"
NETWORK_MANAGER = "NetworkManager.service"
FOLDERS = (
    *("/etc/systemd/network", "/usr/local/lib/systemd/network"),
    *("/usr/lib/systemd/network", "/lib/systemd/network"),
)
KEYFILES = (
    "/etc/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
)
_WANTS = ("multi-user.target.wants", "network-online.target.wants", "sockets.target.wants")
# A link of the machine's own hardware is none of these.
_NO_CARD = frozenset({"Kind", "WLANInterfaceType", "SSID", "BSSID", "Host", "Virtualization"})
_STACKED = frozenset({"Bridge", "Bond", "VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "VRF"})
_ADDRESS = ("Address", "Address")
_OFF = frozenset({"no", "false", "off", "0", "n", "f", "none", ""})


def enabled(tree: Tree, unit: str) -> bool:
    """Whether a target of /etc wants it, which is what `systemctl enable` does."""
    return any(tree.present(f"/etc/systemd/system/{wants}/{unit}") for wants in _WANTS)


def read_networkd(tree: Tree) -> Iterator[Setup]:
    """One for each .network file, in the order in which networkd takes the first that fits."""
    if not enabled(tree, NETWORKD):
        return
    seen: dict[str, str] = {}
    for folder in FOLDERS:
        for name in tree.names(folder):
            if name.endswith(".network"):
                seen.setdefault(name, f"{folder}/{name}")
    for name, path in sorted(seen.items()):
        dropped = [f"{at}/{name}.d/{part}" for at in FOLDERS for part in tree.names(f"{at}/{name}.d")]
        lines = [line for at in (path, *dropped) for line in ini(tree.text(at) or "")]
        setup = _networkd(path, lines)
        if setup is not None:
            yield setup


def _networkd(path: str, lines: list[tuple[str, str, str]]) -> Setup | None:
    """None for a file that is for no card, and for one that says nothing: it is masked."""
    match: dict[str, tuple[str, ...]] = {}
    addressed = False
    for section, key, value in lines:
        if section == "Match":
            match[key] = (*match.get(key, ()), *value.split())
        elif (section == "Network" and key in _STACKED | {"Address"}) or (section, key) == _ADDRESS:
            addressed |= bool(value)
        elif section == "Network" and key == "DHCP":
            addressed |= value.lower() not in _OFF
    kind = match.get("Type", ())
    if not match or _NO_CARD & match.keys() or (kind and "ether" not in kind):
        return None
    return Setup(
        file=path,
        names=match.get("Name", ()),
        macs=(*match.get("MACAddress", ()), *match.get("PermanentMACAddress", ())),
        paths=match.get("Path", ()),
        drivers=match.get("Driver", ()),
        others_too=True,
        addressed=addressed,
    )


def read_keyfiles(tree: Tree) -> Iterator[Setup]:
    """One for each connection that comes up by itself and has, or leads to, an address."""
    if not enabled(tree, NETWORK_MANAGER):
        return
    for folder in KEYFILES:
        for name in tree.names(folder):
            path = f"{folder}/{name}"
            said = {(s, k): v for s, k, v in ini(tree.text(path) or "")}
            setup = _keyfile(path, said)
            if setup is not None:
                yield setup


def _keyfile(path: str, said: dict[tuple[str, str], str]) -> Setup | None:
    kind = said.get(("connection", "type"), "")
    if kind not in ("ethernet", "802-3-ethernet", "vlan"):
        return None  # a bridge's or a bond's own: what is below them names them as theirs
    if said.get(("connection", "autoconnect"), "true").lower() in _OFF:
        return None
    above = said.get(("connection", "master"), "") or said.get(("connection", "controller"), "")
    methods = {said.get((family, "method"), "disabled") for family in ("ipv4", "ipv6")}
    if not above and not methods & {"auto", "manual", "dhcp"}:
        return None
    named = said.get(("vlan", "parent") if kind == "vlan" else ("connection", "interface-name"), "")
    matched = said.get(("match", "interface-name"), "").replace(";", " ").split()
    macs = [said.get((section, "mac-address"), "") for section in ("ethernet", "802-3-ethernet")]
    return Setup(
        file=path,
        names=tuple(filter(None, (named, *matched))),
        macs=tuple(filter(None, macs)),
        paths=tuple(said.get(("match", "path"), "").replace(";", " ").split()),
        drivers=tuple(said.get(("match", "driver"), "").replace(";", " ").split()),
    )
