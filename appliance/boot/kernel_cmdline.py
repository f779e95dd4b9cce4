"""/etc/kernel/cmdline: what kernel-install puts on the command line of every entry it makes.

Without that file it takes the command line of the running system, a trial's own words among it. So a trial
volume gets one, and the kept system's file is turned back once its volume has its first name again.
Source: kernel-install(8); 90-loaderentry.install.
"""

from __future__ import annotations

from pathlib import Path

from appliance.boot import entries
from appliance.errors import BootConfigFailed
from appliance.host.attributes import changeable, take
from appliance.host.files import write_atomic

FILE = "etc/kernel/cmdline"
FIRST = "cmdline.first"
"""In the run's folder: the file before the metal's edit; empty where there was none."""


def point_root(root: Path, options: str, device: str, home: str) -> tuple[str, ...]:
    """Make the file name `device` as the root: the one that is there, else `options`, the machine's own
    command line. Returns what was written, relative to `root`. Safe to repeat."""
    file, first = _at(root), root / home / FIRST
    if not first.exists():
        first.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(first, file.read_bytes() if file.is_file() else b"")
    said = " ".join(first.read_text(errors="replace").split()) or options
    file.parent.mkdir(parents=True, exist_ok=True)
    _put(file, entries.with_root(said, device))
    return (FILE, f"{home}/{FIRST}")


def turn_back(root: Path, home: str) -> None:
    """Give the root back the name it had in the first file; one that was ours alone goes.

    What an admin wrote into it since stays. Safe to repeat, and nothing where there is no first file.
    """
    file, first = _at(root), root / home / FIRST
    if not first.is_file() or not file.is_file():
        return
    was = first.read_text(errors="replace")
    if not was.strip():
        take(file)
        file.unlink()
        return
    old = next((word[5:] for word in was.split() if word.startswith("root=")), "")
    if old:
        _put(file, entries.with_root(file.read_text(errors="replace"), old))


def _put(file: Path, words: str) -> None:
    with changeable(file):
        write_atomic(file, f"{words}\n".encode())


def _at(root: Path) -> Path:
    """Refuses a symbolic link: it could lead out of the volume."""
    file = root / FILE
    for place in (root / "etc", file.parent, file):
        if place.is_symlink():
            raise BootConfigFailed(f"/{place.relative_to(root)} is a symbolic link; it is not edited.")
    return file
