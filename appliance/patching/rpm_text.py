"""What rpm says of its own database, as values. Pure; hostile text gives less, never an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.model.verdict import PackageChange
from appliance.patching.base import outside_the_snapshot

LOADER = re.compile(r"^(grub(?!by)|shim|systemd-boot|sdubby)")
LOADER_GLOBS = ("grub", "grub-*", "grub2*", "shim*", "systemd-boot*", "sdubby*")
# What holds vmlinuz: kernel-core on Fedora and RHEL 8 and later, kernel-default on SUSE, kernel on RHEL 7.
_KERNEL = re.compile(r"kernel(-(default|preempt|azure|rt|64k|64kb|uek|lt|ml|longterm|debug))*(-core)?")

# The first signature tag that there is: over the header alone, then over header and content (older rpm).
_SIGNED = "%|DSAHEADER?{signed}:{%|RSAHEADER?{signed}:{%|SIGGPG?{signed}:{%|SIGPGP?{signed}:{-}|}|}|}|"
QUERY = "%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t" + _SIGNED + "\\n"
_KEYS = "gpg-pubkey"  # a key is kept as if it were a package


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the database. `version` as dnf and zypper write it: EPOCH:VERSION-RELEASE."""

    name: str
    version: str
    architecture: str
    signed: bool


def parse_packages(text: str) -> tuple[Package, ...]:
    """`rpm -qa --qf QUERY`, without the keys."""
    rows = (line.split("\t") for line in text.splitlines())
    return tuple(
        Package(r[0], r[2] if r[1] in ("0", "") else f"{r[1]}:{r[2]}", r[3], r[4] == "signed")
        for r in rows
        if len(r) == 5 and r[0] and r[0] != _KEYS
    )


def versions(packages: Iterable[Package]) -> tuple[tuple[str, str], ...]:
    """(name, version), sorted; a name carries its architecture only where it is installed for several.

    A name stands once for each of its versions: kernels are installed beside each other.
    """
    several: dict[str, set[str]] = {}
    packages = tuple(packages)
    for package in packages:
        several.setdefault(package.name, set()).add(package.architecture)
    return tuple(
        sorted(
            (p.name if len(several[p.name]) == 1 else f"{p.name}.{p.architecture}", p.version)
            for p in packages
        )
    )


def between(
    before: tuple[tuple[str, str], ...],
    after: tuple[tuple[str, str], ...],
    security: frozenset[str] = frozenset(),
) -> tuple[PackageChange, ...]:
    """What changed from one package list to another; `security` are names that came as security updates.

    One version gone and one come is an update; else each stands for itself, as a kernel beside the old one.
    """
    old, new = _by_name(before), _by_name(after)
    found: list[PackageChange] = []
    for name in sorted(old.keys() | new.keys()):
        gone = sorted(old.get(name, set()) - new.get(name, set()))
        come = sorted(new.get(name, set()) - old.get(name, set()))
        pairs = [(gone[0], come[0])] if len(gone) == len(come) == 1 else []
        pairs = pairs or [*((was, "") for was in gone), *(("", now) for now in come)]
        found += [change(name, was, now, security) for was, now in pairs]
    return tuple(found)


def change(name: str, before: str, after: str, security: frozenset[str]) -> PackageChange:
    """One change, marked: `security` holds bare names."""
    return PackageChange(
        name=name,
        before=before,
        after=after,
        security=bool(after) and bare(name, security) in security,
        new_kernel=bool(after) and bool(_KERNEL.fullmatch(name)),
    )


def bare(name: str, known: Iterable[str]) -> str:
    """`name` without its architecture, where only that is among `known` (a name may hold dots itself)."""
    stem = name.rpartition(".")[0]
    return stem if name not in known and stem in known else name


def _by_name(rows: tuple[tuple[str, str], ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in rows:
        found.setdefault(name, set()).add(version)
    return found


def twice(packages: Iterable[Package], side_by_side: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each package there in two versions that is none of `side_by_side` (kernels).

    rpm writes the new version before it takes the old one away: one cut off in between leaves both.
    """
    seen: dict[tuple[str, str], list[str]] = {}
    for package in packages:
        seen.setdefault((package.name, package.architecture), []).append(package.version)
    allowed = frozenset(side_by_side)
    return tuple(
        f"Package {name} is installed in {len(found)} versions ({', '.join(sorted(found))}):"
        " an update of it was not finished."
        for (name, _), found in sorted(seen.items())
        if len(found) > 1 and name not in allowed and not _KERNEL.match(name)
    )


def not_signed(packages: Iterable[Package], changes: Iterable[PackageChange]) -> tuple[str, ...]:
    """A sentence for each package that came without a signature."""
    came = {(c.name, c.after) for c in changes if c.after}
    return tuple(
        f"signature check: {p.name} {p.version} is not signed"
        for p in sorted(packages, key=lambda p: p.name)
        if not p.signed and {(p.name, p.version), (f"{p.name}.{p.architecture}", p.version)} & came
    )


def why_loader(names: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each of `names` that a rehearsal does not touch."""
    return outside_the_snapshot(names, LOADER)


def split_version(wanted: str) -> tuple[str, str]:
    """NAME[=VERSION] in two."""
    name, _, version = wanted.partition("=")
    return name, version


SCRIPTLET = re.compile(r"%(\w+)\(([^()\s]+)\) scriptlet failed, exit status (\d+)")


def scriptlets(lines: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each "%post(ledger-1.4-1.noarch) scriptlet failed, exit status 1" of rpm.

    rpm remembers no such failure: the package counts as installed and only the output tells.
    """
    found = (match for line in lines if (match := SCRIPTLET.search(line)))
    return tuple(dict.fromkeys(f"The %{m[1]} script of {m[2]} failed with status {m[3]}." for m in found))
