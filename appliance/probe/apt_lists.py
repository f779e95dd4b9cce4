"""What the system's own apt lists (/var/lib/apt/lists) offer for packages that are installed.

Read as a stream: they may be larger than the memory there is. They are what apt knew when it last read them,
and its pins are not asked: in the twin apt decides anew, by fresh lists.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import IO, Any

from appliance.errors import DamagedData
from appliance.model.wanted import ReadRelease
from appliance.probe.tree import Tree

FOLDER = "/var/lib/apt/lists"
MOST_BYTES = 1 << 28
"""Of one list, unpacked: all of Debian is a fifth of it."""

_LIST = re.compile(r"(?P<stem>.+_)Packages(?P<packed>\.(?:gz|xz|bz2|lzma|lz4|zst))?")
_RELEASE = re.compile(r"(?P<stem>.+_)(?:In)?Release")
_ARCHIVE = re.compile(
    r"^(Origin|Suite|Codename|NotAutomatic|Date|Valid-Until|Components|Architectures): *(\S.*?) *$",
    re.MULTILINE,
)
_HEAD = 1 << 16
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One version of a package in an archive."""

    name: str
    arch: str
    version: str
    security: bool


@dataclass(slots=True)
class Lists:
    """`at` is when the newest was read, in seconds since 1970; `unread` counts those nobody could read."""

    at: float = 0.0
    unread: int = 0


def offers(tree: Tree, wanted: frozenset[str], seen: Lists) -> Iterator[Offer]:
    """Every version of the packages named `wanted`; what is to be said of the lists goes into `seen`.

    Archives that apt takes nothing from by itself (NotAutomatic, as backports) are left out.
    """
    names = tree.names(FOLDER)
    archives = {m["stem"]: _archive(tree, name) for name in names if (m := _RELEASE.fullmatch(name))}
    for name in names:
        found = _LIST.fullmatch(name)
        if found is None:
            continue
        stems = [stem for stem in archives if found["stem"].startswith(stem)]
        archive = archives[max(stems, key=len)] if stems else {}
        if archive.get("NotAutomatic", "no") == "yes":
            continue
        security = any(archive.get(k, "").endswith("-security") for k in ("Suite", "Codename"))
        try:
            with _opened(tree, f"{FOLDER}/{name}", found["packed"] or "", seen) as lines:
                yield from _parse(lines, wanted, security)
        except (OSError, EOFError, lzma.LZMAError, DamagedData):
            seen.unread += 1


def _archive(tree: Tree, name: str) -> dict[str, str]:
    """What the archive says of itself, above its list of files."""
    found = tree.resolve(f"{FOLDER}/{name}")
    if found is None or not tree.is_file(f"{FOLDER}/{name}"):
        return {}
    try:
        with open(found, "rb") as file:
            head = file.read(_HEAD).decode(errors="replace")
    except OSError:
        return {}
    return release_fields(head)


def release_fields(text: str) -> dict[str, str]:
    """What a Release or InRelease file says of itself, above its list of files. Pure."""
    return dict(
        _ARCHIVE.findall(re.split(r"^(?:MD5Sum|SHA1|SHA256|SHA512):", text, maxsplit=1, flags=re.M)[0])
    )


def release_time(fields: dict[str, str], name: str = "Date") -> int:
    """A date of a Release file in seconds since 1970; 0 where there is none, or none that is a date."""
    try:
        return max(0, int(parsedate_to_datetime(fields.get(name, "")).timestamp()))
    except (ValueError, TypeError, OverflowError):
        return 0


def read_releases(tree: Tree) -> tuple[ReadRelease, ...]:
    """The signed indexes that this system's apt has read."""
    archives = [_archive(tree, name) for name in tree.names(FOLDER) if _RELEASE.fullmatch(name)]
    return tuple(
        ReadRelease(
            origin=fields.get("Origin", ""),
            suite=fields.get("Suite", ""),
            codename=fields.get("Codename", ""),
            date=release_time(fields),
        )
        for fields in archives
        if fields
    )


@contextlib.contextmanager
def _opened(tree: Tree, path: str, packed: str, seen: Lists) -> Iterator[IO[bytes]]:
    """Raises DamagedData for what is no file, or is packed in a way that Python does not know (lz4, zstd)."""
    found = tree.resolve(path)
    if found is None or not tree.is_file(path) or packed not in ("", *_OPENERS):
        raise DamagedData(f"{path} can not be read.")
    with open(found, "rb") as file:
        seen.at = max(seen.at, os.fstat(file.fileno()).st_mtime)
        if packed:
            with _OPENERS[packed](file) as unpacked:
                yield unpacked
        else:
            yield file


def _parse(lines: IO[bytes], wanted: frozenset[str], security: bool) -> Iterator[Offer]:
    """Package is the first field of every paragraph in apt's lists. Raises DamagedData past MOST_BYTES."""
    name = arch = version = ""
    length = 0
    while line := lines.readline(_HEAD):
        length += len(line)
        if length > MOST_BYTES:
            raise DamagedData("A package list is larger than any is.")
        if line.startswith(b"Package: "):
            if name and version:
                yield Offer(name, arch, version, security)
            name, arch, version = line[9:].decode(errors="replace").strip(), "", ""
            name = name if name in wanted else ""
        elif name and line.startswith(b"Version: "):
            version = line[9:].decode(errors="replace").strip()
        elif name and line.startswith(b"Architecture: "):
            arch = line[14:].decode(errors="replace").strip()
    if name and version:
        yield Offer(name, arch, version, security)
