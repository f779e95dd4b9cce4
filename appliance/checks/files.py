"""Changed files of the system volume, sorted: by a package, expected at run time, or unexplained."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from appliance.checks.walk import Difference, differences
from appliance.model.plain import plain
from appliance.model.verdict import ChangeKind, FileChange, PackageChange

MOST_UNEXPLAINED = 1000

# Written by package tools and their triggers for whatever is installed: (path, who).
_BY_PACKAGING = tuple(
    (re.compile(pattern), who)
    for pattern, who in (
        (r"/var/lib/(dpkg|apt)(/|$)", "package database"),
        (r"/var/cache/(apt|debconf|man|ldconfig|fontconfig|dictionaries-common)(/|$)", "package caches"),
        (r"/var/log/(apt(/|$)|dpkg\.log|alternatives\.log|unattended-upgrades(/|$))", "package logs"),
        (r"/etc/ld\.so\.cache$", "ldconfig"),
        (r"/etc/alternatives(/|$)", "update-alternatives"),
        (r"/var/lib/ucf(/|$)", "ucf"),
        (r".*\.(dpkg-dist|dpkg-new|dpkg-old|ucf-dist|ucf-old)$", "configuration file of a package"),
        (r"/usr/lib/modules/[^/]+/modules\.", "depmod"),
        (r"/var/lib/initramfs-tools(/|$)|/boot/initrd\.img-[^/]+$", "update-initramfs"),
        (r"/boot/grub/(grub\.cfg|grubenv|unicode\.pf2)$", "update-grub"),
        (r"/usr/(lib|share)/.*/__pycache__(/|$)", "compiled Python of a package"),
        (r"/usr/(lib/[^/]+/gconv/gconv-modules\.cache|lib/locale/locale-archive)$", "libc"),
        (r"/usr/share/(mime|icons/[^/]+|applications|info)/.*(cache|mime\.cache|dir(\.old)?)$", "trigger"),
        (r"/usr/share/glib-2\.0/schemas/gschemas\.compiled$", "trigger"),
        (r"/etc/ssl/certs(/|$)", "update-ca-certificates"),
        (r"/(vmlinuz|initrd\.img)(\.old)?$", "kernel links"),
        (r"/var/lib/(systemd/deb-systemd-(user-)?helper-|systemd/catalog)", "package scripts"),
    )
)

# What any boot writes: (path, why).
_EXPECTED = tuple(
    (re.compile(pattern), why)
    for pattern, why in (
        (r"/var/log(/|$)", "log"),
        (r"/(run|tmp|var/tmp)(/|$)", "temporary"),
        (r"/var/lib/systemd(/|$)", "systemd's own state"),
        (r"/var/lib/(dhcp|dhcpcd|NetworkManager|ntp|ntpsec|chrony)(/|$)", "leases and clocks"),
        (r"/var/lib/(logrotate|private|polkit-1|dbus|misc|sudo|ieee-data)(/|$)", "run-time state"),
        (r"/var/lib/(lastlog|wtmpdb)(/|$)", "who was logged in"),
        (r"/var/spool(/|$)", "queues"),
        (r"/etc/lvm/(backup|archive|devices|cache)(/|$)", "LVM's copies"),
        (r"/etc/(mtab|adjtime|resolv\.conf|\.updated)$", "run-time state"),
        (r"/var/(\.updated|backups(/|$)|cache/private(/|$))", "run-time state"),
        (r"/root/\.(bash_history|lesshst)$", "work at the twin's console"),
    )
)

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def changed_files(before: Path, after: Path, changes: Iterable[PackageChange]) -> tuple[FileChange, ...]:
    """What differs between two mounts of the system volume (read-only): base and sealed.

    `changes` are the package changes that explain files. A path that ends with "/" stands for a whole new or
    removed folder of one kind. Sorted by kind (unexplained first), then path.
    """
    owners = _owners((before, after), {c.name for c in changes})
    found = [_sorted_in(d, owners) for d in differences(before, after)]
    unexplained = [f for f in found if f.kind is ChangeKind.UNEXPLAINED]
    if unexplained:
        everyone = _owners((before, after), None)
        unexplained = [_with_owner(f, everyone) for f in unexplained]
    explained = _fold([f for f in found if f.kind is not ChangeKind.UNEXPLAINED])
    return (*_capped(sorted(unexplained, key=lambda f: f.path)), *explained)


def lasting(before: Path, after: Path) -> tuple[Difference, ...]:
    """Files that differ between two states of a system that ran meanwhile, without what any boot writes."""
    return tuple(
        found
        for found in differences(before, after)
        if not found.folder and not any(pattern.match(found.path) for pattern, _ in _EXPECTED)
    )


def _sorted_in(found: Difference, owners: dict[str, str]) -> FileChange:
    kind, by = ChangeKind.UNEXPLAINED, ""
    if owner := owners.get(found.path):
        kind, by = ChangeKind.PACKAGE, owner
    elif rule := next((who for pattern, who in _BY_PACKAGING if pattern.match(found.path)), ""):
        kind, by = ChangeKind.PACKAGE, rule
    elif rule := next((why for pattern, why in _EXPECTED if pattern.match(found.path)), ""):
        kind, by = ChangeKind.EXPECTED, rule
    path = plain(found.path) + ("/" if found.folder and found.act != "changed" else "")
    return FileChange(path=path, act=found.act, kind=kind, by=by)


def _owners(roots: tuple[Path, Path], names: set[str] | None) -> dict[str, str]:
    """path → package from dpkg's file lists in both states; only of `names` where given."""
    found: dict[str, str] = {}
    for root in roots:
        info = root / "var/lib/dpkg/info"
        merged = {m for m in _MERGED if (root / m).is_symlink()}
        for listing in info.glob("*.list"):
            name = listing.name.removesuffix(".list")
            package = name.partition(":")[0]
            if names is not None and name not in names and package not in names:
                continue
            for path in listing.read_text(errors="replace").splitlines():
                top, slash, rest = path[1:].partition("/")
                if top in merged and slash:
                    path = f"/usr/{top}/{rest}"
                found[path] = package
    return found


def _with_owner(change: FileChange, everyone: dict[str, str]) -> FileChange:
    owner = everyone.get(change.path.rstrip("/"))
    if not owner:
        return change
    by = f"belongs to {owner}, which was not changed"
    return FileChange(path=change.path, act=change.act, kind=change.kind, by=by)


def _fold(found: list[FileChange]) -> list[FileChange]:
    """Leave out what lies below a new or removed folder and is of the same kind, act and owner."""
    kept: dict[str, FileChange] = {}
    for change in sorted(found, key=lambda f: f.path):
        above = _above(change.path, kept)
        if above is None or (above.act, above.kind, above.by) != (change.act, change.kind, change.by):
            kept[change.path] = change
    order = {ChangeKind.UNEXPLAINED: 0, ChangeKind.PACKAGE: 1, ChangeKind.EXPECTED: 2}
    return sorted(kept.values(), key=lambda f: (order[f.kind], f.path))


def _above(path: str, kept: dict[str, FileChange]) -> FileChange | None:
    parent = path.rstrip("/").rpartition("/")[0]
    while parent:
        if found := kept.get(parent + "/"):
            return found
        parent = parent.rpartition("/")[0]
    return None


def _capped(found: list[FileChange]) -> list[FileChange]:
    if len(found) <= MOST_UNEXPLAINED:
        return found
    more = FileChange(
        path=f"(and {len(found) - MOST_UNEXPLAINED} more paths)",
        act="changed",
        kind=ChangeKind.UNEXPLAINED,
        by="too many to list",
    )
    return [*found[:MOST_UNEXPLAINED], more]
