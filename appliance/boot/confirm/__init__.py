"""The metal's edits in a trial volume: the confirm unit, its deadline, and what tells an admin the way back.

The sh file is made of the fact collector (checks/health.sh) and our `parts()`; the caller joins them, since
siblings do not see each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.confirm.limits import DEADLINE, MKCONFIG
from appliance.boot.entries import FOLDER
from appliance.boot.place import SECTOR_PATH, SectorPlace
from appliance.errors import BootConfigFailed
from appliance.host.files import write_atomic
from appliance.model.machine import LoaderKind

_HERE = Path(__file__).parent
_UNITS = ("twinboot-confirm.service", "twinboot-deadline.service")
_SYSTEM = "etc/systemd/system"
SCRIPT = "usr/lib/twinboot/health.sh"
KEEP = "usr/sbin/twinboot-keep"
NOTE = "root/TWINBOOT.txt"
NOTES = {
    LoaderKind.GRUB.value: "TWINBOOT.txt",
    LoaderKind.SYSTEMD_BOOT.value: "TWINBOOT-systemd-boot.txt",
}
"""The way back without the stick, in each loader's words."""
NOTE_INSIDE = "TWINBOOT-inside.txt"
"""The same where /boot lies inside the root."""
BY_DEFAULT = """
  This machine starts its file system's default subvolume: from keep on, this system's. On the old system, for
  good: btrfs subvolume set-default {id} /"""

FACTS = "/run/twinboot/facts"
"""In the trial's system: what the confirm unit saw (judge.sh)."""

FIRST_FSTAB = "fstab.first"
"""In the run's folder: /etc/fstab before the metal's edit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the confirm unit must know. `deadline` is seconds since the system itself began; `manual` leaves
    keep to a person; `folder`, `prefix` and `boot` (its target) are the loader's, as in BootPlace, `loader`
    its kind in its own words; `tries` looks, 15 s apart; `mkconfig` seconds are given to grub-mkconfig or
    kernel-install. `default` is the id of the default subvolume of the machine so far, where its starts name
    none: the trial's is made the default one at keep; else 0. `sector` is where the sector lies that decides,
    where that is not `boot`. `old_fs` is the UUID of the old root's file system where the loader's own files
    lie in that; else empty."""

    run: str
    root: str
    old_root: str
    folder: str = "grub"
    prefix: str = ""
    loader: str = LoaderKind.GRUB.value
    boot: str = "/boot"
    deadline: int = DEADLINE
    mkconfig: int = MKCONFIG
    manual: bool = False
    tries: int = 4
    default: int = 0
    sector: SectorPlace | None = None
    old_fs: str = ""

    @property
    def env(self) -> str:
        """The file with the sector that decides."""
        at = self.sector
        return f"{at.target}/{at.path}" if at else f"{self.boot}/{SECTOR_PATH}"

    @property
    def note(self) -> str:
        return NOTE_INSIDE if self.old_fs else NOTES.get(self.loader, NOTES[LoaderKind.GRUB.value])


def parts() -> tuple[str, ...]:
    """Our functions for the one sh file, verbs confirm, keep and deadline among them."""
    return tuple(
        (_HERE / name).read_text() for name in ("judge.sh", "keep.sh", "keep-bls.sh", "keep-systemd-boot.sh")
    )


def home(run: str) -> str:
    """The run's folder inside the trial volume, relative to its root."""
    return f"var/lib/twinboot/{run}"


def result(run: str) -> str:
    """Where the confirm unit says what became of the trial, relative to /boot (judge.sh)."""
    return f"{FOLDER}/{run}/result"


def files(run: str) -> tuple[str, ...]:
    """Every path that install makes, relative to the root of the trial volume."""
    wants = tuple(f"{_SYSTEM}/sysinit.target.wants/{unit}" for unit in _UNITS)
    units = tuple(f"{_SYSTEM}/{unit}" for unit in _UNITS)
    return (SCRIPT, KEEP, *units, *wants, f"{home(run)}/expected", f"{home(run)}/conf", NOTE)


def install(root: Path, trial: Trial, script: bytes, expected: str) -> tuple[str, ...]:
    """Put the confirm part into the volume mounted at `root`; returns what was written, relative to it.

    `script` is the joined sh file, `expected` the demands (checks.expected.render). Safe to repeat.
    """
    words = {
        "@RUN@": trial.run,
        "@ROOT@": trial.root,
        "@OLD_ROOT@": trial.old_root,
        "@FOLDER@": trial.folder,
        "@BOOT@": trial.boot,
        "@ENV@": trial.env,
        "@DEFAULT@": BY_DEFAULT.format(id=trial.default) if trial.default else "",
        "@FILES@": "\n".join(f"  /{path}" for path in (*files(trial.run), "etc/fstab (one line)")),
    }
    _put(root, SCRIPT, script)
    _put(root, KEEP, f"#!/bin/sh\nexec sh /{SCRIPT} keep {trial.run}\n".encode(), 0o755)
    for unit in _UNITS:
        _put(root, f"{_SYSTEM}/{unit}", _filled(unit, words))
        _link(root, f"{_SYSTEM}/sysinit.target.wants/{unit}", f"../{unit}")
    _put(root, f"{home(trial.run)}/expected", expected.encode())
    _put(root, f"{home(trial.run)}/conf", _conf(trial).encode())
    _put(root, NOTE, _filled(trial.note, words))
    return files(trial.run)


def remove(root: Path, run: str) -> None:
    """Take everything out again. Safe to repeat and half-done."""
    for path in files(run):
        at = _at(root, path)
        if at.is_symlink() or at.is_file():
            at.unlink()
    for folder in ("usr/lib/twinboot", f"{_SYSTEM}/sysinit.target.wants"):
        at = _at(root, folder)
        if at.is_dir() and not os.listdir(at):
            at.rmdir()


def _conf(trial: Trial) -> str:
    mode = "manual" if trial.manual else "auto"
    pairs = {
        "mode": mode,
        "deadline": str(trial.deadline),
        "mkconfig": str(trial.mkconfig),
        "tries": str(trial.tries),
        "root": trial.root,
        "folder": trial.folder,
        "prefix": trial.prefix,
        "loader": trial.loader,
        "boot": trial.boot,
        "default": str(trial.default),
        "oldfs": trial.old_fs,
    }
    if trial.sector:
        pairs |= {"sector": trial.sector.target, "env": trial.env}
    return "".join(f"{key} {value}\n" for key, value in pairs.items())


def _filled(name: str, words: dict[str, str]) -> bytes:
    text = (_HERE / name).read_text()
    for mark, value in words.items():
        text = text.replace(mark, value)
    return text.encode()


def _at(root: Path, path: str) -> Path:
    """Refuses a folder that is a symbolic link: it could lead out of the volume."""
    folder = root
    for part in Path(path).parent.parts:
        folder = folder / part
        if folder.is_symlink():
            raise BootConfigFailed(f"/{folder.relative_to(root)} is a symbolic link; nothing is put there.")
    return folder / Path(path).name


def _put(root: Path, path: str, data: bytes, mode: int = 0o644) -> None:
    at = _at(root, path)
    at.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(at, data, mode)


def _link(root: Path, path: str, to: str) -> None:
    at = _at(root, path)
    at.parent.mkdir(parents=True, exist_ok=True)
    if at.is_symlink() and os.readlink(at) == to:
        return
    if at.is_symlink() or at.exists():
        at.unlink()
    at.symlink_to(to)
