"""Addresses of package sources as the proxy's allow-list wants them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from appliance.patching.base import Sources


def allowed(uris: Iterable[str], upstream: str = "", unreachable: Iterable[str] = ()) -> Sources:
    """Hosts are sorted and lower case; a port stands only where the address names one."""
    hosts: set[str] = set()
    bad = list(unreachable)
    for uri in uris:
        _sort_in(uri, hosts, bad)
    return Sources(tuple(sorted(hosts)), upstream, tuple(bad))


def _sort_in(uri: str, hosts: set[str], unreachable: list[str]) -> None:
    try:
        parts = urlsplit(uri)
        host, port, scheme = parts.hostname or "", parts.port, parts.scheme
    except ValueError:
        unreachable.append(f"{uri} is not an address.")
        return
    # apt's wrappers keep the transport last: mirror+https, tor+http.
    kind = scheme.rpartition("+")[2]
    if kind in ("http", "https", "mirror") and host:
        hosts.add(f"{host}:{port}" if port else host)
    elif kind not in ("file", "copy", "dir"):
        unreachable.append(f"{uri} cannot be reached from a rehearsal.")
