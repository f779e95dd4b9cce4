"""The guest's own package sources, as its own apt reads them: the proxy's allow-list comes from here."""

from __future__ import annotations

from urllib.parse import urlsplit

from appliance.patching.base import Sources

# apt itself parses its files (one-line and deb822, options, architectures); --no-release-info names the
# sources whose lists were never fetched as well.
SITES = """
apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u
for k in http https; do
    v=$(apt-config dump --format '%v%n' Acquire::$k::Proxy 2>/dev/null | head -n 1); echo "proxy $v"
done
exit 0
"""


def parse_sources(text: str) -> Sources:
    """Output of SITES. Hosts are sorted and lower case; a port stands only where the entry names one."""
    hosts: set[str] = set()
    unreachable: list[str] = []
    upstream = ""
    for line in text.splitlines():
        if line.startswith("proxy "):
            upstream = upstream or line[6:].strip()
        elif line.strip():
            _sort_in(line.strip(), hosts, unreachable)
    return Sources(tuple(sorted(hosts)), upstream, tuple(unreachable))


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
    elif kind not in ("file", "copy"):
        unreachable.append(f"{uri} cannot be reached from a rehearsal.")
