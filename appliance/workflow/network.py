"""The appliance's own network, set for this start only: files below /run for systemd-networkd, a site proxy.

systemd.network(5): /run/systemd/network is read like /etc/systemd/network, and of all files in name order the
first that matches a port is used; ours sort before the image's 80-twinboot.network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from appliance.errors import ApplianceError, CommandFailed, Refused
from appliance.host.files import write_atomic
from appliance.host.run import Host, read
from appliance.model.service_messages import Network, Port, SetNetwork
from appliance.probe.ports import RESOLV, name_servers, read_ports

FOLDER = Path("/run/systemd/network")
PREFIX = "10-twinboot-"
BLINK = 15
"""Seconds."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checked `SetNetwork`."""

    link: str
    address: str = ""
    gateway: str = ""
    servers: tuple[str, ...] = ()
    vlan: int = 0

    @property
    def vlan_name(self) -> str:
        """Interface names hold 15 characters; a number alone always fits."""
        return f"vlan{self.vlan}"


def check(say: SetNetwork, links: tuple[Port, ...]) -> Wanted:
    """Raises Refused with every reason at once. Pure."""
    reasons: list[str] = []
    names = [link.name for link in links if not link.vlan]
    if say.link not in names:
        reasons.append(f"There is no port {say.link or '(none named)'}; there are: {', '.join(names)}.")
    vlan = _vlan(say.vlan.strip(), reasons)
    address = _interface(say.address.strip(), reasons)
    gateway = _address("gateway", say.gateway.strip(), reasons)
    servers = [_address("name server", word, reasons) for word in re.split(r"[\s,]+", say.servers) if word]
    if gateway is not None and not say.address.strip():
        reasons.append("By DHCP the gateway comes with the address: leave it empty.")
    elif gateway is not None and address is not None:
        reasons += _why_not_gateway(gateway, address)
    if reasons:
        raise Refused(tuple(reasons))
    return Wanted(
        link=say.link,
        address=str(address or ""),
        gateway=str(gateway or ""),
        servers=tuple(str(server) for server in servers),
        vlan=vlan,
    )


def _vlan(text: str, reasons: list[str]) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= 4094:
        reasons.append(f'"{text}" is no VLAN: a number from 1 to 4094.')
        return 0
    return int(text)


def _interface(text: str, reasons: list[str]) -> Interface | None:
    if not text:
        return None
    example = "Write the address with its prefix length, as 192.0.2.10/24."
    if "/" not in text:
        reasons.append(f'"{text}" has no prefix length. {example}')
        return None
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        reasons.append(f'"{text}" is no address. {example}')
        return None
    if found.is_multicast or found.is_loopback or found.is_unspecified:
        reasons.append(f"{found.ip} can not be the address of a port.")
    elif found.version == 4 and found.network.prefixlen < 31:
        edges = (found.network.network_address, found.network.broadcast_address)
        if found.ip in edges:
            reasons.append(f"{found.ip} is the network's own or its broadcast address, not one of a port.")
    return found


def _address(what: str, text: str, reasons: list[str]) -> Address | None:
    if not text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        reasons.append(f'"{text}" is no address of a {what}: numbers only, as 192.0.2.1.')
        return None
    if found.is_multicast or found.is_unspecified:
        reasons.append(f"{found} can not be a {what}.")
    return found


def _why_not_gateway(gateway: Address, address: Interface) -> list[str]:
    if gateway == address.ip:
        return ["The gateway is the address itself: it must be the router's."]
    if gateway.version == address.version and (gateway in address.network or gateway.is_link_local):
        return []
    return [f"The gateway {gateway} is not in {address.network}: this port can not reach it."]


def files_for(wanted: Wanted) -> dict[str, str]:
    """systemd.network(5) and systemd.netdev(5) files by name. Pure."""
    ours = f"{PREFIX}{wanted.link}"
    if not wanted.vlan:
        return {f"{ours}.network": _network_file(wanted.link, wanted)}
    name = wanted.vlan_name
    carrier = f"[Match]\nName={wanted.link}\n\n[Network]\nVLAN={name}\nLinkLocalAddressing=no\nLLDP=no\n"
    return {
        f"{ours}.network": carrier,
        f"{ours}-{name}.netdev": f"[NetDev]\nName={name}\nKind=vlan\n\n[VLAN]\nId={wanted.vlan}\n",
        f"{ours}-{name}.network": _network_file(name, wanted),
    }


def _network_file(name: str, wanted: Wanted) -> str:
    rows = ["[Match]", f"Name={name}", "", "[Network]", "LLMNR=no", "MulticastDNS=no", "LLDP=no"]
    rows += ["DHCP=no", "IPv6AcceptRA=no"] if wanted.address else ["DHCP=yes", "LinkLocalAddressing=ipv6"]
    rows += [f"Address={wanted.address}"] if wanted.address else []
    rows += [f"Gateway={wanted.gateway}"] if wanted.gateway else []
    rows += [f"DNS={server}" for server in wanted.servers]
    if not wanted.address:
        # Who sends its name or takes one by DHCP is another machine to the site; DNS by hand comes first.
        dns = ["UseDNS=no"] if wanted.servers else []
        rows += ["", "[DHCPv4]", "UseHostname=no", "SendHostname=no", "UseNTP=no", *dns]
        rows += ["", "[DHCPv6]", "UseHostname=no", "UseNTP=no", *dns]
    return "\n".join(rows) + "\n"


def site_proxy(runtime: Path) -> str:
    """ "host:port" of the site's proxy as set here; empty for none."""
    try:
        return (runtime / "site-proxy").read_text().strip()
    except OSError:
        return ""


def check_proxy(text: str) -> str:
    """ "host:port" of http://host:port; empty for empty. Raises Refused. Pure."""
    if not text.strip():
        return ""
    example = "Write it as http://proxy.example:3128."
    try:
        parts = urlsplit(text.strip())
        port, name = parts.port, parts.hostname or ""
    except ValueError:
        raise Refused((f'"{text}" is no proxy. {example}',)) from None
    reasons = []
    if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
        reasons.append(f'"{text}" is no proxy. {example}')
    elif not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name) or ".." in name:
        reasons.append(f"The proxy's name does not read. {example}")
    elif not port:
        reasons.append(f"The proxy's port is missing. {example}")
    if parts.username or parts.password:
        reasons.append("A proxy that wants a name and password is not supported: bring a bundle instead.")
    if reasons:
        raise Refused(tuple(reasons))
    return f"{name}:{port}"


@dataclass(frozen=True, slots=True)
class NetworkDesk:
    """Shows and sets. Commands are READ: they change the appliance's own memory, not the machine."""

    host: Host
    runtime: Path
    folder: Path = FOLDER
    resolv: Path = RESOLV

    def show(self) -> Network:
        try:
            servers = name_servers(self.resolv.read_text(errors="replace"))
        except OSError:
            servers = ()
        found = [path.stem.removeprefix(PREFIX) for path in self.folder.glob(f"{PREFIX}*.network")]
        return Network(
            links=read_ports(self.host),
            servers=servers,
            proxy=site_proxy(self.runtime),
            by_hand=tuple(sorted(found)),
        )

    def set(self, say: SetNetwork) -> Network:
        """Write the port's files and have them read; on failure the old ones return. Raises Refused."""
        wanted = check(say, read_ports(self.host))
        self.folder.mkdir(parents=True, exist_ok=True)
        before = {path: path.read_bytes() for path in self._files_of(wanted.link)}
        try:
            self._put({self.folder / name: text.encode() for name, text in files_for(wanted).items()}, before)
        except ApplianceError:
            with contextlib.suppress(ApplianceError):
                self._put(before, dict.fromkeys(self._files_of(wanted.link), b""))
            raise
        return self.show()

    def _files_of(self, link: str) -> list[Path]:
        found = [self.folder / f"{PREFIX}{link}.network", *self.folder.glob(f"{PREFIX}{link}-vlan*")]
        return [path for path in found if path.exists()]

    def _put(self, files: dict[Path, bytes], before: dict[Path, bytes]) -> None:
        """Replace one port's files; VLANs no longer wanted go at once, networkd leaves them standing."""
        for path in before:
            path.unlink(missing_ok=True)
        for path, content in files.items():
            write_atomic(path, content)
        gone = {p.stem for p in before if p.suffix == ".netdev"} - {p.stem for p in files}
        for stem in sorted(gone):
            # 1: there is no such link (ip(8)).
            name = stem.rpartition("-")[2]
            self.host.run(read("ip", "link", "delete", name, timeout=30, ok=frozenset({0, 1})))
        self.host.run(read("systemctl", "restart", "systemd-networkd.service", timeout=60))

    def set_proxy(self, text: str) -> Network:
        proxy = check_proxy(text)
        if proxy:
            write_atomic(self.runtime / "site-proxy", proxy.encode() + b"\n")
        else:
            (self.runtime / "site-proxy").unlink(missing_ok=True)
        return self.show()

    def blink(self, link: str) -> None:
        """Start blinking and return; ethtool(8) itself ends it. Raises Refused where the port has no lamp."""
        if link not in [found.name for found in read_ports(self.host) if not found.vlan]:
            raise Refused((f"There is no port {link}.",))
        failed: list[CommandFailed] = []
        command = read("ethtool", "--identify", link, str(BLINK), timeout=BLINK + 10)

        def run() -> None:
            try:
                self.host.run(command)
            except CommandFailed as error:
                failed.append(error)

        thread = threading.Thread(target=run, name="blink", daemon=True)
        thread.start()
        thread.join(1.0)  # a port without a lamp says so at once
        if failed:
            raise Refused((f"The port {link} can not blink: {failed[0].what}",))
