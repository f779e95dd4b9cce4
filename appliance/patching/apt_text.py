"""What apt-get, apt-cache and dpkg print, as values. Pure; hostile text gives less, never an error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.model.verdict import PackageChange
from appliance.patching.base import outside_the_snapshot

LOADER = re.compile(r"^(grub|shim|systemd-boot)")
UPGRADE = ("upgrade", "--with-new-pkgs")
"""All that is pending, new kernels included, and nothing removed."""
LOADER_GLOBS = "grub* shim* systemd-boot*"
_KERNEL = re.compile(r"^linux-image-(unsigned-)?\d")
_INST = re.compile(
    r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]*)\] )?\((?P<new>\S+) (?P<origins>[^()\[]*?)\s*\[[^\]]*\]\)"
)
_REMV = re.compile(r"^(?:Remv|Purg) (?P<name>\S+) \[(?P<old>[^\]]*)\]")
_URI = re.compile(r"^'[^']*' \S+ (\d+)")


def why_loader(names: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each of `names` that a rehearsal does not touch."""
    return outside_the_snapshot(names, LOADER)


def bare(name: str) -> str:
    """A package name without its architecture: libc6:amd64 is libc6."""
    return name.partition(":")[0]


def is_security(origins: str) -> bool:
    """Whether one of "Debian-Security:12/stable-security, Debian:12.5/stable" is a security archive."""
    suites = (o.strip().rpartition("/")[2] for o in origins.split(","))
    return any(suite.endswith("-security") for suite in suites)


def parse_simulation(text: str) -> tuple[PackageChange, ...]:
    """The Inst and Remv lines of `apt-get -s`, each package once, sorted by name."""
    found: dict[str, PackageChange] = {}
    for line in text.splitlines():
        if match := _INST.match(line):
            found[match["name"]] = PackageChange(
                name=match["name"],
                before=match["old"] or "",
                after=match["new"],
                security=is_security(match["origins"]),
                new_kernel=bool(_KERNEL.match(match["name"])),
            )
        elif match := _REMV.match(line):
            found[match["name"]] = PackageChange(name=match["name"], before=match["old"], after="")
    return tuple(found[name] for name in sorted(found))


def parse_kept_back(text: str) -> tuple[str, ...]:
    """The indented names below "The following packages have been kept back:" (LC_ALL=C.UTF-8)."""
    names: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("The following packages have been kept back"):
            inside = True
        elif inside and line.startswith("  "):
            names += line.split()
        else:
            inside = False
    return tuple(sorted(names))


def parse_download(text: str) -> int:
    """Sum of the sizes that `apt-get --print-uris` names, in bytes."""
    return sum(int(match[1]) for line in text.splitlines() if (match := _URI.match(line)))


def parse_policy(text: str) -> dict[str, tuple[str, str]]:
    """`apt-cache policy NAMES`: name → (installed, candidate), empty strings for "(none)"."""
    found: dict[str, tuple[str, str]] = {}
    name = installed = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and line.endswith(":"):
            name, installed = line[:-1], ""
        elif line.startswith("  Installed: "):
            installed = _version(line)
        elif line.startswith("  Candidate: ") and name:
            found[name] = (installed, _version(line))
    return found


def _version(line: str) -> str:
    version = line.partition(": ")[2].strip()
    return "" if version == "(none)" else version


@dataclass(frozen=True, slots=True)
class Package:
    """One line of dpkg-query: `state` is dpkg's three letters ("ii ", "iF ", "rc ")."""

    name: str
    architecture: str
    version: str
    state: str

    @property
    def present(self) -> bool:
        return self.state[1:2] not in ("", "n", "c")

    @property
    def whole(self) -> bool:
        return self.state[1:2] == "i" and self.state[2:3] in ("", " ")


QUERY = "-f=${db:Status-Abbrev}\\t${Package}\\t${Architecture}\\t${Version}\\n"


def parse_packages(text: str) -> tuple[Package, ...]:
    """`dpkg-query -W` in the QUERY format; only packages that have files on the disk."""
    rows = (line.split("\t") for line in text.splitlines())
    all_of_them = (Package(r[1], r[2], r[3], r[0]) for r in rows if len(r) == 4)
    return tuple(p for p in all_of_them if p.present)


def versions(packages: tuple[Package, ...]) -> tuple[tuple[str, str], ...]:
    """(name, version), sorted; a name carries its architecture only where it is installed for several."""
    count: dict[str, int] = {}
    for package in packages:
        count[package.name] = count.get(package.name, 0) + 1
    named = ((p.name if count[p.name] == 1 else f"{p.name}:{p.architecture}", p.version) for p in packages)
    return tuple(sorted(named))


def between(
    before: tuple[tuple[str, str], ...],
    after: tuple[tuple[str, str], ...],
    security: frozenset[str] = frozenset(),
) -> tuple[PackageChange, ...]:
    """What changed from one package list to another; `security` are names that came as security updates."""
    old, new = dict(before), dict(after)
    return tuple(
        PackageChange(
            name=name,
            before=old.get(name, ""),
            after=new.get(name, ""),
            security=bare(name) in security and name in new,
            new_kernel=bool(_KERNEL.match(name)) and name in new,
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


STATE_WORDS = {
    "U": "unpacked, not set up",
    "F": "half configured",
    "H": "half installed",
    "W": "waiting for a trigger",
    "t": "has a trigger pending",
}


def unfinished(packages: tuple[Package, ...]) -> tuple[str, ...]:
    """A sentence for each package that is not fully installed."""
    return tuple(
        f"Package {p.name} is {STATE_WORDS.get(p.state[1:2], 'broken and wants a reinstall')}."
        for p in packages
        if not p.whole
    )
