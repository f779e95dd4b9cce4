"""A bundle on the stick, as the guest sees it: a signed repository, an unsigned one, or plain .debs.

Signatures are judged by the guest's own apt with the guest's own keyrings; plain .debs carry none, so
they count as signed only where the guest's own (signed) package lists name their sha256.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from appliance.errors import Refused
from appliance.patching.base import Guest
from appliance.patching.job import FOLDER

_LOOK = r"""
cd "$1" || exit 1
for f in InRelease Release.gpg Release Packages Packages.gz Packages.xz
do [ -e "$f" ] && echo "flat $f"; done
for f in dists/*/InRelease dists/*/Release.gpg dists/*/Release; do [ -e "$f" ] && echo "suite $f"; done
for f in *.deb; do [ -f "$f" ] && echo "deb $f"; done
exit 0
"""

_NAMES = r"""
cd "$1" || exit 1
for f in *.deb; do
    [ -f "$f" ] || continue
    sum=$(sha256sum "./$f") || exit 1
    dpkg-deb -W --showformat="${sum%% *}"'\t${Package}\t${Version}\t' "./$f" || exit 1
    echo "$f"
done
"""

# The keyrings this guest trusts: apt's folder, and every file that one of its sources names.
_KEYS = rf"""
mkdir -p {FOLDER}/keys && cd {FOLDER}/keys || exit 1
n=0
sources="/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources"
named=$(cat $sources 2>/dev/null | sed -n -e 's/^[^#]*[[ ]signed-by=\(\/[^] ,]*\).*/\1/p' \
    -e 's/^[Ss]igned-[Bb]y:[ ]*\(\/[^ ]*\).*/\1/p' | sort -u)
for f in /etc/apt/trusted.gpg.d/*.gpg /etc/apt/trusted.gpg.d/*.asc $named
do [ -r "$f" ] && n=$((n + 1)) && cp "$f" "$n-${{f##*/}}"; done
chmod 644 ./* 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True)
class Deb:
    file: str
    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """What lies at `path` in the guest. `suites` is () for a flat repository; `debs` only for plain files."""

    path: str
    flat: bool = False
    suites: tuple[tuple[str, str], ...] = ()
    signed: bool = False
    debs: tuple[Deb, ...] = ()

    @property
    def repository(self) -> bool:
        return self.flat or bool(self.suites)

    def sources_file(self, trusted: bool) -> bytes:
        """A deb822 sources file for this bundle; `trusted` skips the signature check, said by the caller."""
        uri = "file:" + quote(self.path.rstrip("/"))
        trust = "Trusted: yes\n" if trusted else ""
        if self.flat:
            return f"Types: deb\nURIs: {uri}/\nSuites: ./\n{trust}".encode()
        return "\n".join(
            f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\n{trust}"
            for suite, components in self.suites
        ).encode()


def look(guest: Guest, path: str) -> Bundle:
    """Find out what the bundle is. Raises Refused where there is nothing that apt could install."""
    out = guest.exec(("sh", "-c", _LOOK, "twinboot", path), timeout=60)
    if out.status != 0:
        raise Refused((f"The bundle is not there: {path} cannot be opened in the twin.",))
    rows = [line.partition(" ") for line in out.stdout.decode(errors="replace").splitlines()]
    flat = {rest for word, _, rest in rows if word == "flat"}
    suite_files = [rest for word, _, rest in rows if word == "suite"]
    if suite_files:
        return _with_suites(guest, path, suite_files)
    if flat:
        if not flat & {"Packages", "Packages.gz", "Packages.xz"}:
            raise Refused(("The bundle has a Release file but no Packages file.",))
        return Bundle(path, flat=True, signed=bool(flat & {"InRelease", "Release.gpg"}))
    if any(word == "deb" for word, _, _ in rows):
        return _plain_debs(guest, path)
    raise Refused(("The bundle holds neither a repository (dists/ or Packages) nor a .deb file.",))


def _with_suites(guest: Guest, path: str, files: list[str]) -> Bundle:
    suites: dict[str, str] = {}
    signed = True
    for suite in sorted({name.split("/")[1] for name in files}):
        here = [f.rpartition("/")[2] for f in files if f.split("/")[1] == suite]
        signed = signed and bool({"InRelease", "Release.gpg"} & set(here))
        release = "InRelease" if "InRelease" in here else "Release"
        text = guest.read_file(f"{path}/dists/{suite}/{release}").decode(errors="replace")
        match = re.search(r"^Components:[ \t]*([A-Za-z0-9 ._/-]+)$", text, re.M)
        if not re.fullmatch(r"[A-Za-z0-9._+-]+", suite) or not match:
            raise Refused((f"The bundle's suite {suite!r} names no components.",))
        suites[suite] = match[1].strip()
    return Bundle(path, suites=tuple(suites.items()), signed=signed)


def _plain_debs(guest: Guest, path: str) -> Bundle:
    out = guest.exec(("sh", "-c", _NAMES, "twinboot", path), timeout=600)
    if out.status != 0:
        said = out.stderr.decode(errors="replace").strip() or "no message"
        raise Refused((f"A .deb of the bundle cannot be read ({said}).",))
    rows = [line.split("\t", 3) for line in out.stdout.decode(errors="replace").splitlines()]
    debs = tuple(Deb(r[3], r[1], r[2], r[0]) for r in rows if len(r) == 4)
    names = [d.name for d in debs]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise Refused(
            tuple(f"The bundle holds {n} more than once: leave only the one to install." for n in twice)
        )
    return Bundle(path, debs=debs, signed=_known(guest, debs))


def _known(guest: Guest, debs: tuple[Deb, ...]) -> bool:
    """Whether the guest's own signed lists name each of these files by its sha256."""
    wanted = tuple(f"{d.name}={d.version}" for d in debs)
    shown = guest.exec(("apt-cache", "show", "--", *wanted), timeout=120).stdout.decode(errors="replace")
    sums = set(re.findall(r"^SHA256: ([0-9a-f]{64})$", shown, re.M))
    return all(d.sha256 in sums for d in debs)


def gather_keys(guest: Guest) -> str:
    """Copy the guest's own keyrings into one folder below /run and return it."""
    guest.exec(("sh", "-c", _KEYS), timeout=60)
    return f"{FOLDER}/keys"
