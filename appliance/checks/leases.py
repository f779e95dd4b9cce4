"""The default gateway that a DHCP lease on the disk names, in the forms that the clients of systems keep it.

dhclient and NetworkManager write text; dhcpcd keeps the server's message as it came (RFC 2131, 2132, 3442).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("var/lib/dhcp", "var/lib/NetworkManager", "var/lib/dhcpcd", "var/lib/dhclient")
_NAMED = re.compile(r"^\s*option routers\s+([0-9.]+)|^ROUTER=([0-9.]+)", re.M)
_HEADER, _COOKIE = 236, b"\x63\x82\x53\x63"
_ROUTERS, _ROUTES = 3, 121


def leased_gateways(root: Path) -> Iterator[str]:
    """One of each lease file of the system mounted at `root`; of several leases in a file the last."""
    for folder in FOLDERS:
        for file in sorted((root / folder).glob("*.lease*")):
            try:
                raw = file.read_bytes() if file.is_file() else b""
            except OSError:
                continue
            if raw[_HEADER:].startswith(_COOKIE):
                yield from filter(None, (_of_message(raw),))
            else:
                found = _NAMED.findall(raw.decode(errors="replace"))
                yield from (one or other for one, other in found[-1:])


def _of_message(raw: bytes) -> str:
    options = dict(_options(raw[_HEADER + len(_COOKIE) :]))
    # A client that is told routes does not look at the routers (RFC 3442).
    return _default_route(options[_ROUTES]) if _ROUTES in options else _address(options.get(_ROUTERS, b""))


def _options(rest: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 1 < len(rest) and rest[at] != 255:
        if rest[at] == 0:
            at += 1
            continue
        length = rest[at + 1]
        yield rest[at], rest[at + 2 : at + 2 + length]
        at += 2 + length


def _default_route(routes: bytes) -> str:
    """Each is a width in bits, as many bytes of the destination as that takes, and the router."""
    at = 0
    while at < len(routes):
        width, begin = routes[at], at + 1 + (routes[at] + 7) // 8
        if width == 0:
            return _address(routes[begin:])
        at = begin + 4
    return ""


def _address(data: bytes) -> str:
    return str(ipaddress.IPv4Address(data[:4])) if len(data) >= 4 else ""
