"""What is installed, as much of it as somebody who looks for a name can read. Pure."""

from __future__ import annotations

from appliance.model.service_messages import MOST_PACKAGES, PackageList, PackageRow
from appliance.patching.apt_text import why_loader
from appliance.probe.packages import Package, PackageTable


def listing(table: PackageTable, find: str) -> PackageList:
    """The answer to `GetPackages`. Boot loader packages are left out: no rehearsal touches them."""
    offered = [p for p in table.packages if not why_loader((p.name,))]
    words = find.casefold().split()
    found = sorted((p for p in offered if all(word in p.name for word in words)), key=_urgency)
    return PackageList(
        rows=tuple(
            PackageRow(name=p.name, version=p.version, newer=p.newer, security=p.security, held=p.held)
            for p in found[:MOST_PACKAGES]
        ),
        found=len(found),
        installed=len(table.packages),
        newer=sum(1 for p in offered if p.newer),
        security=sum(1 for p in offered if p.security),
        lists_at=table.lists_at,
        unread=table.unread,
    )


def sizes(table: PackageTable) -> dict[str, int]:
    """What each package takes unpacked, in bytes, by the name a request has for it."""
    return {p.name: p.size for p in table.packages}


def _urgency(package: Package) -> tuple[int, str]:
    return (0 if package.security else 1 if package.newer else 2), package.name
