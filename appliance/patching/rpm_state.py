"""rpm's database in the twin: what is installed, what forbids a seal, which configuration files were left."""

from __future__ import annotations

from appliance.errors import PatchFailed
from appliance.patching.base import Guest
from appliance.patching.locks import holders, looking
from appliance.patching.rpm_text import QUERY, Package, parse_packages, twice

_STATE = """
rpm -qa --qf "$1" || exit 1
echo leftovers
find /etc -xdev -type f \\( -name '*.rpmnew' -o -name '*.rpmsave' -o -name '*.rpmorig' \\) \\
    -printf '%C@\\t%p\\n'
exit 0
"""

# dnf and zypper write their process id into a file, rpm locks one beside its database.
_AUDIT = f"""
{looking('"$(rpm -E %_dbpath)/.rpm.lock"')}
for f in /run/zypp.pid /var/cache/dnf/*.pid /var/lib/dnf/*.pid /run/dnf/*.pid; do
    pid=; read -r pid 2>/dev/null <"$f" && [ -n "$pid" ] && [ -d "/proc/$pid" ] || continue
    name=; read -r name 2>/dev/null <"/proc/$pid/comm"
    echo "pid $f $pid $name"
done
echo packages
rpm -qa --qf "$1" || echo unreadable
echo beside
rpm -q --whatprovides 'installonlypkg(kernel)' 'installonlypkg(kernel-module)' 'multiversion(kernel)' \\
    --qf '%{{NAME}}\\n' 2>/dev/null
exit 0
"""


def packages_of(guest: Guest) -> tuple[Package, ...]:
    """Every package. Raises PatchFailed where rpm's database cannot be read."""
    return state(guest)[0]


def state(guest: Guest) -> tuple[tuple[Package, ...], tuple[tuple[str, str], ...]]:
    """The packages, and (time of change, path) of each file that rpm left beside a configuration file."""
    out = guest.exec(("sh", "-c", _STATE, "twinboot", QUERY), timeout=300)
    if out.status != 0:
        raise PatchFailed("The twin's package database cannot be read.")
    packages, _, leftovers = ("\n" + out.stdout.decode(errors="replace")).partition("\nleftovers\n")
    rows = (line.split("\t", 1) for line in leftovers.splitlines())
    return parse_packages(packages), tuple(sorted((row[0], row[1]) for row in rows if len(row) == 2))


def audit(guest: Guest) -> tuple[str, ...]:
    """Sentences on held locks, a database that cannot be read, packages that are there twice."""
    out = guest.exec(("sh", "-c", _AUDIT, "twinboot", QUERY), timeout=300).stdout.decode(errors="replace")
    locks, _, rest = out.partition("packages\n")
    listed, _, beside = rest.partition("beside\n")
    found = holders(locks)
    for line in locks.splitlines():
        word, _, rest = line.partition(" ")
        parts = rest.split(" ", 2)
        if word == "pid" and len(parts) == 3:
            found.append(f"{parts[0]} is held by {parts[2] or 'a program'} (process {parts[1]}).")
    if listed.endswith("unreadable\n"):
        found.append("rpm's database cannot be read.")
    return (*found, *twice(parse_packages(listed), beside.split()))
