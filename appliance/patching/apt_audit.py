"""What forbids a seal, and which configuration files a patch left beside the old ones."""

from __future__ import annotations

from appliance.errors import PatchFailed
from appliance.patching.apt_text import QUERY, Package, parse_packages, unfinished
from appliance.patching.base import Guest
from appliance.patching.locks import holders, looking

_FILES = "/var/lib/dpkg/lock /var/lib/dpkg/lock-frontend /var/lib/apt/lists/lock /var/cache/apt/archives/lock"
_LOCKS = f"""
{looking(_FILES)}
echo audit
dpkg --audit
exit 0
"""

_STATE = f"""
dpkg-query -W '{QUERY}' || exit 1
echo leftovers
find /etc -xdev -type f \\( -name '*.dpkg-dist' -o -name '*.dpkg-new' -o -name '*.ucf-dist' \\) \\
    -printf '%C@\\t%p\\n'
exit 0
"""


def audit(guest: Guest, packages: tuple[Package, ...]) -> tuple[str, ...]:
    """Sentences on held package locks (fcntl locks, from /proc/locks) and packages not fully installed."""
    out = guest.exec(("sh", "-c", _LOCKS), timeout=120).stdout.decode(errors="replace")
    head, _, audited = out.partition("\naudit\n")
    found = [*holders(head), *unfinished(packages)]
    if not found and audited.strip():
        found.append(f"dpkg --audit says: {audited.strip().splitlines()[0]}")
    return tuple(found)


def state(guest: Guest) -> tuple[tuple[Package, ...], tuple[tuple[str, str], ...]]:
    """The packages, and (time of change, path) of each new configuration file that was not installed."""
    out = guest.exec(("sh", "-c", _STATE), timeout=300)
    if out.status != 0:
        raise PatchFailed("The twin's package database cannot be read.")
    packages, _, leftovers = out.stdout.decode(errors="replace").partition("\nleftovers\n")
    rows = (line.split("\t", 1) for line in leftovers.splitlines())
    return parse_packages(packages), tuple(sorted((row[0], row[1]) for row in rows if len(row) == 2))
