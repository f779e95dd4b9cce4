"""What changed inside configuration files: a unified diff for each, with secrets hidden before comparing."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.model.plain import plain
from appliance.model.verdict import ChangeKind, ConfigDiff, FileChange

MOST_BYTES = 128 * 1024
MOST_LINES = 400
MOST_FILES = 200
MOST_IN_ALL = 3000

_OURS = ("/etc/",)
# Made by tools from other files that are shown themselves, or a link for each of many entries.
_MADE = re.compile(r"/etc/(ld\.so\.cache$|ssl/certs/|alternatives/|rc[0-6S]\.d/|lvm/(backup|archive|cache)/)")
# Nothing of these is ever shown, not even masked.
_SECRET = re.compile(
    r"/etc/((g?shadow|passwd|group|security/opasswd)-?$|ssl/private/|ssh/ssh_host_[^/]*_key$"
    r"|NetworkManager/system-connections/|wireguard/|ipsec\.secrets|krb5\.keytab|ppp/(chap|pap)-secrets"
    r"|apt/auth\.conf|mysql/debian\.cnf$|.*(passwd|secrets?)(\.db)?$|.*\.(key|p12|pfx|jks|keytab)$)"
)
_BESIDE = re.compile(r"\.(dpkg-dist|dpkg-new|ucf-dist|ucf-new)$")

Hide = Callable[[str], tuple[str, int]]
"""A text without its secrets, and how many were hidden."""


def config_diffs(
    before: Path, after: Path, changes: Iterable[FileChange], kept: Iterable[str], hide: Hide
) -> tuple[ConfigDiff, ...]:
    """Diffs of the files below /etc that differ between two read-only mounts of the system volume.

    `kept` names the new versions that lie beside a file the site changed ("/etc/x.conf.dpkg-dist"): each is
    compared with the site's own. At most MOST_FILES files and MOST_IN_ALL lines; what is left out is said.
    """
    kept = tuple(path for path in kept if _BESIDE.search(path))
    found: list[ConfigDiff] = [
        _compared(_BESIDE.sub("", path), "kept", after, after, hide, newer=path) for path in kept
    ]
    room = MOST_IN_ALL - sum(diff.text.count("\n") for diff in found)
    for path, act in _paths(before, after, changes):
        if path in kept:
            continue
        if len(found) >= MOST_FILES or room <= 0:
            found.append(ConfigDiff(path=path, act=act, text="", note="left out: too much has changed"))
            break
        found.append(_compared(path, act, before, after, hide))
        room -= found[-1].text.count("\n")
    return tuple(found)


def _paths(before: Path, after: Path, changes: Iterable[FileChange]) -> Iterator[tuple[str, str]]:
    """(path, act) of every file; what stands for a whole new or removed folder is spread out."""
    for change in changes:
        if not change.path.startswith(_OURS) or change.kind is ChangeKind.EXPECTED:
            continue
        if not change.path.endswith("/"):
            names = [change.path]
        else:
            root = before if change.act == "removed" else after
            names = [p for p in _below(root, change.path) if len(p) < 4096]
        yield from ((name, change.act) for name in names if not _MADE.match(name))


def _below(root: Path, folder: str) -> list[str]:
    found = []
    for at, _, files in os.walk(root / folder.strip("/")):  # follows no link
        inside = Path(at).relative_to(root)
        found += [f"/{inside}/{name}" for name in files]
    return sorted(found)


@dataclass(frozen=True, slots=True)
class _Content:
    """`lines` is None where there is nothing to compare line by line; `note` says why."""

    lines: tuple[str, ...] | None
    hidden: int = 0
    note: str = ""


def _compared(path: str, act: str, before: Path, after: Path, hide: Hide, newer: str = "") -> ConfigDiff:
    shown = plain(path)
    if _SECRET.match(path):
        return ConfigDiff(path=shown, act=act, text="", note="not shown: it holds secrets")
    old, new = _content(before, path, hide), _content(after, newer or path, hide)
    if note := old.note or new.note:
        return ConfigDiff(path=shown, act=act, text="", note=note)
    lines = list(
        difflib.unified_diff(
            old.lines or (), new.lines or (), f"{shown} before", f"{plain(newer) or shown} after", lineterm=""
        )
    )
    hidden = old.hidden + new.hidden
    note = "" if lines else "only hidden places differ" if hidden else "owner, rights or line ends differ"
    if len(lines) > MOST_LINES:
        note = f"{len(lines) - MOST_LINES} more lines left out"
        lines = lines[:MOST_LINES]
    return ConfigDiff(path=shown, act=act, text="".join(f"{x}\n" for x in lines), hidden=hidden, note=note)


def _content(root: Path, path: str, hide: Hide) -> _Content:
    """Lines of a regular file or of where a link points to; no lines of a file that is not there."""
    file = root / path.strip("/")
    try:
        if not file.parent.resolve().is_relative_to(root.resolve()):
            return _Content(None, note="not shown: a link in its path leads elsewhere")
        found = file.lstat()
        if stat.S_ISLNK(found.st_mode):
            return _Content((f"link to {plain(os.readlink(file))}",))
        if not stat.S_ISREG(found.st_mode):
            return _Content(None, note="not a file")
        if found.st_size > MOST_BYTES:
            return _Content(None, note=f"not shown: {found.st_size >> 10} KiB")
        data = file.read_bytes()
    except FileNotFoundError:
        return _Content(())
    except OSError as error:
        return _Content(None, note=f"could not be read: {error.strerror}")
    if b"\0" in data:
        return _Content(None, note="not shown: not text")
    text, hidden = hide(data.decode(errors="replace"))
    return _Content(tuple(plain(line) for line in text.splitlines()), hidden)
