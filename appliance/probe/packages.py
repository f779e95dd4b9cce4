"""What one installed system has installed, and what its own apt lists know that is newer. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.wanted import AptSetup
from appliance.probe import dpkg
from appliance.probe.apt_lists import Lists, offers
from appliance.probe.apt_setup import read_setup
from appliance.probe.debversion import compare, version_key
from appliance.probe.inside import looked_into
from appliance.probe.tree import Tree


@dataclass(frozen=True, slots=True)
class Package:
    """As apt names it: with ":arch" where that is not the system's own. `size` in bytes, unpacked.

    `newer` is the newest version on offer where it is newer; `security`: one of those from a security archive
    is newer.
    """

    name: str
    version: str
    size: int
    newer: str = ""
    security: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class PackageTable:
    """Sorted by name. `lists_at` is when apt last read its lists, in seconds since 1970; 0 where it has none.

    `unread` counts the lists that could not be read. `setup` is what decides what apt would fetch.
    """

    packages: tuple[Package, ...]
    lists_at: float = 0.0
    unread: int = 0
    setup: AptSetup = field(default_factory=AptSetup)


def read_packages(
    host: Host, machine: Machine, system: InstalledSystem, root: Path = Path("/")
) -> PackageTable:
    """Raises as `looked_into` does."""
    with looked_into(host, machine, system, root) as inside:
        return table(inside.tree)


def table(tree: Tree) -> PackageTable:
    """What the mounted root `tree` has installed."""
    installed = dpkg.parse_status(tree.text(dpkg.STATUS) or "")
    native = next((p.arch for p in installed if p.name == "dpkg"), "")
    lists = Lists()
    newer = _newer(tree, installed, native, lists)
    packages = tuple(
        Package(
            name=p.name if p.arch in (native, "all", "") else f"{p.name}:{p.arch}",
            version=p.version,
            size=p.size,
            newer=newer.get(p, ("", False))[0],
            security=newer.get(p, ("", False))[1],
            held=p.held,
        )
        for p in installed
    )
    setup = read_setup(tree, lists, time.time())
    return PackageTable(tuple(sorted(packages, key=lambda p: p.name)), lists.at, lists.unread, setup)


def _newer(
    tree: Tree, installed: tuple[dpkg.Installed, ...], native: str, lists: Lists
) -> dict[dpkg.Installed, tuple[str, bool]]:
    """For each package with a newer version on offer: the newest, and whether security offers a newer one."""
    by_name: dict[str, list[dpkg.Installed]] = {}
    for package in installed:
        by_name.setdefault(package.name, []).append(package)
    found: dict[dpkg.Installed, tuple[str, bool]] = {}
    for offer in offers(tree, frozenset(by_name), lists):
        for package in _same(by_name[offer.name], offer.arch, native):
            best, security = found.get(package, (package.version, False))
            if compare(offer.version, package.version) > 0:
                newest = max(best, offer.version, key=version_key)
                found[package] = (newest, security or offer.security)
    return found


def _same(packages: list[dpkg.Installed], arch: str, native: str) -> Iterator[dpkg.Installed]:
    """Those that an offer for `arch` is for: a package may come to be of one architecture, or of all."""
    for package in packages:
        if arch in ("all", package.arch) or (package.arch == "all" and arch == native):
            yield package
