"""A bundle on the stick, as the guest sees it: a signed repository, an unsigned one, or plain .debs.

Signatures are judged by the guest's own apt with the guest's own keyrings; plain .debs carry none, so
they count as signed only where the guest's own (signed) package lists name their sha256.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from appliance.errors import Refused
from appliance.model.bundle import suite_key
from appliance.model.wanted import without_secrets
from appliance.patching.base import Guest
from appliance.patching.job import FOLDER

_LOOK = r"""
cd "$1" || exit 1
for a in $(dpkg --print-architecture) $(dpkg --print-foreign-architectures); do echo "arch $a"; done
apt-get indextargets --no-release-info --format 'own $(REPO_URI)|$(RELEASE)' \
    'Created-By: Packages' 2>/dev/null | sort -u
find . -name pool -prune -o -type f \( -name InRelease -o -name Release.gpg -o -name Release \
    -o -name Packages -o -name 'Packages.*' \) -print | sed 's/^\.\//file /'
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
rm -rf {FOLDER}/keys; mkdir -p {FOLDER}/keys && cd {FOLDER}/keys || exit 1
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
class Suite:
    """One signed or unsigned index. `base` is the repository's folder below the bundle's, "" for the latter.

    `components` has pairs of a component and its architectures, () for a flat repository.
    """

    base: str
    name: str
    components: tuple[tuple[str, tuple[str, ...]], ...] = ()
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """What lies at `path` in the guest: `suites` of one or many repositories, or `debs` for plain files."""

    path: str
    suites: tuple[Suite, ...] = ()
    signed: bool = False
    debs: tuple[Deb, ...] = ()

    @property
    def repository(self) -> bool:
        return bool(self.suites)

    def sources_file(self, trusted: bool) -> bytes:
        """A deb822 sources file for this bundle; `trusted` skips the signature check, said by the caller.

        What was fetched for a site without internet is older when it gets there: its age is said while
        planning, and does not make apt refuse it here.
        """
        more = ("Check-Valid-Until: no", "By-Hash: no", *(("Trusted: yes",) if trusted else ()))
        stanzas = []
        for suite in self.suites:
            uri = "file:" + quote(f"{self.path.rstrip('/')}/{suite.base}")
            head = ("Types: deb", f"URIs: {uri}", f"Suites: {suite.name}")
            parts: list[tuple[str, ...]] = [
                (f"Components: {name}", f"Architectures: {' '.join(archs)}")
                for name, archs in suite.components
            ]
            stanzas += ["\n".join((*head, *part, *more)) + "\n" for part in parts or [()]]
        return "\n".join(stanzas).encode()


def look(guest: Guest, path: str) -> Bundle:
    """Find out what the bundle is. Raises Refused where there is nothing that apt could install."""
    out = guest.exec(("sh", "-c", _LOOK, "twinboot", path), timeout=60)
    if out.status != 0:
        raise Refused((f"The bundle is not there: {path} cannot be opened in the twin.",))
    rows = [line.partition(" ") for line in out.stdout.decode(errors="replace").splitlines()]
    files = [rest for word, _, rest in rows if word == "file"]
    own = frozenset(own_suite(rest) for word, _, rest in rows if word == "own")
    if suites := suites_of(files, tuple(rest for word, _, rest in rows if word == "arch"), own):
        return Bundle(path, suites, signed=all(suite.signed for suite in suites))
    if any(word == "deb" for word, _, _ in rows):
        return _plain_debs(guest, path)
    raise Refused(("The bundle holds neither a repository (dists/ or Packages) nor a .deb file.",))


_BASE = r"(?P<base>(?:archives/[^/]+/)?)"
_IN_DISTS = re.compile(_BASE + r"dists/(?P<suite>[^/]+(?:/[^/]+)?)/(?P<file>InRelease|Release|Release\.gpg)")
_LIST = re.compile(_BASE + r"dists/(?P<path>.+)/binary-(?P<arch>[a-z0-9-]+)/Packages(?:\.(?:gz|xz|bz2|zst))?")
_FLAT = re.compile(
    r"(?P<base>archives/[^/]+/|)(?P<suite>(?:(?<=/)(?!dists/)[^/]+/)*)"
    r"(?P<file>InRelease|Release|Release\.gpg|Packages|Packages\.[a-z0-9]+)"
)
_WORD = re.compile(r"[A-Za-z0-9._+~/-]+")


def own_suite(row: str) -> tuple[str, str]:
    """A source of the guest, as apt names it, by what it is known by in a bundle for many machines."""
    uri, _, suite = row.partition("|")
    return suite_key(without_secrets(uri)[0], suite)


def suites_of(
    files: Iterable[str], architectures: tuple[str, ...], own: frozenset[tuple[str, str]]
) -> tuple[Suite, ...]:
    """The suites that index `files`, paths below the bundle, make up, with the components that are there.

    `architectures` are the guest's, its own first. Of a bundle made for many machines only suites in `own`,
    the guest's sources, count. Raises Refused where none is, or one has no list of packages. Pure.
    """
    releases: dict[tuple[str, str], set[str]] = {}
    lists: dict[tuple[str, str], set[str]] = {}
    flat: dict[tuple[str, str], set[str]] = {}
    for file in files:
        if match := _LIST.fullmatch(file):
            lists.setdefault((match["base"], match["path"]), set()).add(match["arch"])
        elif match := _IN_DISTS.fullmatch(file):
            releases.setdefault((match["base"], match["suite"]), set()).add(match["file"])
        elif match := _FLAT.fullmatch(file):
            flat.setdefault((match["base"], match["suite"]), set()).add(match["file"])
    if releases:
        flat = {place: found for place, found in flat.items() if place[0]}
    many = bool(releases or flat)
    releases = {place: found for place, found in releases.items() if _counts(place, own)}
    flat = {place: found for place, found in flat.items() if _counts(place, own)}
    if many and not releases and not flat:
        raise Refused(("None of the bundle's archives is a source of this system: it was made for others.",))
    return (
        *(_suite(*place, named, lists, architectures) for place, named in sorted(releases.items())),
        *(_flat(*place, named) for place, named in sorted(flat.items())),
    )


def _counts(place: tuple[str, str], own: frozenset[tuple[str, str]]) -> bool:
    base, suite = place
    return not base or (base.rstrip("/"), suite.strip("/") or ".") in own


def _suite(
    base: str,
    name: str,
    files: set[str],
    lists: dict[tuple[str, str], set[str]],
    architectures: tuple[str, ...],
) -> Suite:
    components = []
    for (where, path), there in sorted(lists.items()):
        if where == base and path.startswith(f"{name}/"):
            usable = tuple(a for a in architectures if a in there) or tuple(there & {"all"})
            components += [(path.removeprefix(f"{name}/"), usable)] if usable else []
    if not components or not all(_WORD.fullmatch(word) for word in (name, *(c for c, _ in components))):
        own = architectures[0] if architectures else "this system"
        raise Refused((f"The bundle's suite {name!r} has no list of packages for {own}.",))
    return Suite(base, name, tuple(components), bool({"InRelease", "Release.gpg"} & files))


def _flat(base: str, name: str, files: set[str]) -> Suite:
    if not files - {"InRelease", "Release", "Release.gpg"}:
        raise Refused(("The bundle has a Release file but no Packages file.",))
    if name and not _WORD.fullmatch(name):
        raise Refused((f"The bundle's suite {name!r} is no name of a suite.",))
    return Suite(base, name or "./", (), bool({"InRelease", "Release.gpg"} & files))


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
