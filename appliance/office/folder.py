"""Where a bundle lies: a folder of its own, or bundles/NAME on a stick that is mounted here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import DamagedData, OutOfSpace, Refused
from appliance.host.run import Host, read
from appliance.model.bundle import MANIFEST, Manifest, read_manifest
from appliance.office.closure import Item, why_not_on_a_stick

LABEL = "TWINBOOT"
PARTIAL = "partial"
"""Folder of a bundle for what is half fetched; gone when it is whole."""
SLACK = 4 << 20
"""Bytes a file system may need for names and tables."""
CHUNK = 1 << 20


def on_the_stick(host: Host, name: str) -> Path:
    """bundles/NAME on the stick. Raises Refused where there is no stick of ours, or more than one."""
    if why_not_on_a_stick(name, 0) or "/" in name:
        raise Refused((f"{name!r} is no name for a bundle: letters, digits, . _ and - only.",))
    asked = read("findmnt", "-rn", "-o", "TARGET", "-S", f"LABEL={LABEL}", timeout=30, ok=frozenset({0, 1}))
    found = sorted(set(host.run(asked).stdout.splitlines()))
    if len(found) != 1:
        there = f"there are {len(found)} mounted: {', '.join(found)}" if found else "none is mounted"
        raise Refused(
            (f"--stick needs one data partition {LABEL}; {there}. Mount it, or name a folder with --output.",)
        )
    return Path(found[0]) / "bundles" / name


def open_folder(folder: Path) -> Manifest | None:
    """What an earlier run left there, None for a folder that is new or empty.

    Raises Refused for a folder with anything in it that is no bundle of ours.
    """
    try:
        names = os.listdir(folder)
        if MANIFEST in names:
            return read_manifest((folder / MANIFEST).read_bytes(), MANIFEST)
    except FileNotFoundError:
        return None
    except DamagedData as error:
        raise Refused(
            (f"{folder} is a bundle that does not read: {error.what} Delete it, or choose another.",)
        ) from None
    except OSError as error:
        raise Refused((f"{folder} cannot be used: {error.strerror}.",)) from None
    if names:
        raise Refused((f"{folder} is not empty and no bundle of ours: choose a new folder.",))
    return None


def is_there(folder: Path, item: Item) -> bool:
    """Whether the file is there to the last byte, by its hash."""
    path = folder / item.path
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != item.size:
            return False
        kind, _, wanted = item.hash.partition(":")
        found = hashlib.new(kind.lower())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
    except OSError:
        return False
    return found.hexdigest() == wanted


def check_room(folder: Path, missing: Iterable[Item]) -> None:
    """Raises OutOfSpace before the first byte, with both numbers."""
    items = tuple(missing)
    need = sum(item.size for item in items) + 4096 * len(items) + SLACK
    need -= sum(p.stat().st_size for p in (folder / PARTIAL).glob("*")) if (folder / PARTIAL).is_dir() else 0
    free = free_bytes(folder)
    if free < need:
        raise OutOfSpace(
            f"The bundle needs {-(-need // (1 << 20))} MiB more; {folder} has {free >> 20} MiB free.",
            safe="Nothing was written there.",
            next_actions=("Free room there, or choose another stick or folder.", "Give fewer lists at once."),
        )


def free_bytes(folder: Path) -> int:
    """Of the file system that `folder` is, or will be, on."""
    while not folder.exists():
        folder = folder.parent
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def remove(folder: Path, paths: Iterable[str]) -> None:
    """Delete files of an earlier bundle and the folders that are empty then; nothing outside of `folder`."""
    for path in paths:
        target = folder / path
        if why_not_on_a_stick(path, 0) or not target.resolve().is_relative_to(folder.resolve()):
            continue
        target.unlink(missing_ok=True)
        for parent in target.relative_to(folder).parents:
            if str(parent) != "." and (folder / parent).is_dir() and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
