"""The appliance's own network ports: names, cables, speeds and addresses, from ip(8) and /sys/class/net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import DamagedData
from appliance.host.run import Host, read
from appliance.model.service_messages import Port

SYS = Path("/sys/class/net")
RESOLV = Path("/run/systemd/resolve/resolv.conf")
KERNELS = frozenset({"tun", "bridge", "veth", "ifb", "dummy"})
"""Kinds of links that are no port of the machine: those of the twin, and the kernel's own."""


def read_ports(host: Host, sys: Path = SYS) -> tuple[Port, ...]:
    """Every port of the machine and every VLAN on one. Raises CommandFailed and DamagedData."""
    addresses = host.run(read("ip", "-json", "-details", "address", "show", timeout=30)).stdout
    routes = host.run(read("ip", "-json", "route", "show", "default", timeout=30)).stdout
    return parse_ports(addresses, routes, lambda name, what: _attribute(sys / name / what))


def _attribute(path: Path) -> str:
    """Empty where the kernel has no value: `speed` of a port without a cable is EINVAL."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def parse_ports(addresses: str, routes: str, attribute: Callable[[str, str], str]) -> tuple[Port, ...]:
    """Pure. `attribute(name, what)` is a file of /sys/class/net, empty where there is none."""
    try:
        raw: list[dict[str, Any]] = msgspec.json.decode(addresses or "[]", type=list[dict[str, Any]])
        ways: list[dict[str, Any]] = msgspec.json.decode(routes or "[]", type=list[dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DamagedData(f"What ip(8) said does not read: {error}.") from None
    gateways = {str(way.get("dev")): str(way["gateway"]) for way in ways if "gateway" in way}
    return tuple(_port(one, gateways, attribute) for one in raw if _is_port(one))


def _is_port(one: dict[str, Any]) -> bool:
    kind = one.get("linkinfo", {}).get("info_kind", "")
    return one.get("link_type") == "ether" and kind not in KERNELS


def _port(one: dict[str, Any], gateways: dict[str, str], attribute: Callable[[str, str], str]) -> Port:
    name = str(one["ifname"])
    info = one.get("linkinfo", {})
    speed = attribute(name, "speed")
    flags = one.get("flags", [])
    return Port(
        name=name,
        mac=str(one.get("address", "")),
        cable="LOWER_UP" in flags and "NO-CARRIER" not in flags,
        speed=int(speed) if speed.isdigit() else 0,
        addresses=tuple(
            f"{a['local']}/{a['prefixlen']}"
            for a in one.get("addr_info", ())
            if "local" in a and a.get("scope") != "link"
        ),
        dynamic=any(a.get("dynamic") for a in one.get("addr_info", ())),
        gateway=gateways.get(name, ""),
        driver=attribute(name, "device/uevent").partition("DRIVER=")[2].partition("\n")[0],
        parent=str(one.get("link", "")),
        vlan=int(info.get("info_data", {}).get("id", 0)) if info.get("info_kind") == "vlan" else 0,
    )


def name_servers(text: str) -> tuple[str, ...]:
    """The servers of a resolv.conf(5). Pure."""
    words = [line.split() for line in text.splitlines()]
    return tuple(w[1] for w in words if len(w) > 1 and w[0] == "nameserver")
