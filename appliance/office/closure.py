"""What all machines together need from the archives, as files with an address, a size and a hash.

Pure but for reading what apt has read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from appliance.model.bundle import archive_folder
from appliance.model.plain import plain
from appliance.office.apt import Deb, Index
from appliance.probe.apt_lists import release_fields, release_time

MOST_OF_FAT = (1 << 32) - 1
"""Bytes of the largest file that FAT takes."""
RELEASES = ("InRelease", "Release", "Release.gpg")
_ENDINGS = (".xz", ".gz", ".bz2", "")
_NOT_ON_FAT = re.compile(r'[<>:"\\|?*\x00-\x1f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.I)


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the bundle that is to be fetched; `path` is relative to the bundle's folder."""

    uri: str
    path: str
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class Release:
    """The signed index of one suite as the archive made it: `files` by name."""

    folder: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def text(self) -> str:
        named = dict(self.files)
        return (named.get("InRelease") or named.get("Release") or b"").decode(errors="replace")

    @property
    def date(self) -> int:
        return release_time(release_fields(self.text))


def suite_folder(index: Index) -> str:
    """Where the suite's signed index lies; a flat repository (sources.list(5)) has it beside its packages."""
    suite, archive = index.source.suite, archive_folder(index.source.uri)
    if suite.endswith("/"):
        return str(PurePosixPath(archive) / suite.strip("/"))
    return f"{archive}/dists/{suite}"


def release_of(index: Index) -> Release:
    """What apt has read and, where it is signed, checked."""
    found = [(name, Path(index.lists + name)) for name in RELEASES]
    files = tuple((name, path.read_bytes()) for name, path in found if path.is_file())
    return Release(suite_folder(index), files)


def index_item(index: Index, release: Release) -> Item | None:
    """The list of packages in the packing that apt takes first, by the hash that the signed index names."""
    hashes = hashes_of(release.text)
    for ending in _ENDINGS:
        name = index.key + ending
        if name in hashes:
            digest, size = hashes[name]
            uri = index.base + name
            if "\nAcquire-By-Hash: yes" in release.text:
                uri = f"{index.base}{name.rpartition('/')[0]}/by-hash/SHA256/{digest}"
            return Item(uri, f"{release.folder}/{name}", size, f"SHA256:{digest}")
    return None


def hashes_of(text: str) -> dict[str, tuple[str, int]]:
    """path → (sha256, size in bytes) of a Release file."""
    section = re.search(r"^SHA256:[ ]*\n((?: .*\n?)*)", text, re.M)
    rows = re.findall(r"^ +([0-9a-f]{64}) +(\d{1,15}) +(\S+)$", section[1] if section else "", re.M)
    return {path: (digest, int(size)) for digest, size, path in rows}


def deb_item(deb: Deb, indexes: Iterable[Index]) -> Item | str:
    """Where the package goes, which is where the signed list says; or a sentence on why it cannot."""
    homes = [i for i in indexes if deb.uri.startswith(i.repository)]
    if not homes:
        return f"{plain(deb.uri)} comes from no archive that was read."
    home = max(homes, key=lambda i: len(i.repository))
    name = unquote(deb.uri[len(home.repository) :])
    path = f"{archive_folder(home.source.uri)}/{name}"
    if not deb.hash:
        return f"{plain(name)}: its archive names no hash for it that can be trusted."
    if why := why_not_on_a_stick(name, deb.size):
        return why
    return Item(deb.uri, path, deb.size, deb.hash)


def why_not_on_a_stick(path: str, size: int) -> str:
    """A sentence where a FAT stick, or a careful reader, does not take that path or size; else empty."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return f"{plain(path)} is a path that leads elsewhere."
    for part in parts:
        if (
            _NOT_ON_FAT.search(part)
            or part[-1] in ". "
            or _RESERVED.fullmatch(part)
            or not part.isprintable()
        ):
            return f"{plain(path)} is a name that a FAT stick does not take; its archive's lists name it so."
        if len(part.encode()) > 240:
            return f"{plain(path)} is too long a name for a stick."
    if size > MOST_OF_FAT:
        return f"{plain(path)} has {size >> 20} MiB: a FAT stick takes files of at most 4 GiB."
    return ""


def same_to_fat(paths: Iterable[str]) -> tuple[str, ...]:
    """Sentences on paths that differ in capitals only, which FAT takes for one."""
    seen: dict[str, str] = {}
    clash = [(seen[p.casefold()], p) for p in paths if seen.setdefault(p.casefold(), p) != p]
    return tuple(f"{plain(one)} and {plain(other)} are one name to a FAT stick." for one, other in clash)
