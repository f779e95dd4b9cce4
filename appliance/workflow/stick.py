"""What a rehearsal can take from the stick: bundles, scripts, the site's own checks. Reads only."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from appliance.errors import Refused
from appliance.model.plan import PatchKind, Request
from appliance.model.service_messages import OnStick

BUNDLES, SCRIPTS, CHECKS = "bundles", "scripts", "checks"
LISTS = 32 << 20
"""Bytes of what else lies on the tools disk: lists of packages (Debian main has 9 MiB), the agent."""
MOST = 500
"""Names of each kind; a stick with more is no stick of ours."""


def on_stick(data: Path) -> OnStick:
    """The names a person may choose from, sorted; a script's name is its path on the stick."""
    scripts = [f"{SCRIPTS}/{name}" for name in _names(data / SCRIPTS, folders=False)]
    scripts += [name for name in _names(data, folders=False) if name.endswith(".sh")]
    return OnStick(
        bundles=_names(data / BUNDLES, folders=True),
        scripts=tuple(scripts),
        checks=checks(data),
    )


def checks(data: Path) -> tuple[str, ...]:
    """The site's checks: every executable file of the folder, as the fact collector runs them."""
    folder = data / CHECKS
    return tuple(name for name in _names(folder, folders=False) if os.access(folder / name, os.X_OK))


def _names(folder: Path, *, folders: bool) -> tuple[str, ...]:
    try:
        found = sorted(p.name for p in folder.iterdir() if (p.is_dir() if folders else p.is_file()))
    except OSError:
        return ()
    return tuple(name for name in found if not name.startswith(".") and name.isprintable())[:MOST]


def why_not(data: Path, request: Request) -> tuple[str, ...]:
    """Sentences on what the request names and the stick has not, with what there is instead."""
    there, patch = on_stick(data), request.patch
    reasons = []
    if patch.bundle and not (bundle := bundle_folder(data, patch.bundle)).is_dir():
        reasons.append(f"There is no folder {BUNDLES}/{bundle.name} on the stick{_or(there.bundles)}")
    if patch.kind is PatchKind.SCRIPT and patch.script and _inside(data, patch.script) is None:
        reasons.append(f"There is no script {patch.script} on the stick{_or(there.scripts)}")
    unknown = [name for name in request.skip_checks if name not in there.checks]
    if unknown:
        reasons.append(f"There is no check {', '.join(unknown)} on the stick to leave out{_or(there.checks)}")
    return tuple(reasons)


def free_bytes(data: Path) -> int:
    """Bytes that are free on the stick; 0 where there is none: the folder is then one in memory."""
    return shutil.disk_usage(data).free if os.path.ismount(data) else 0


def bundle_folder(data: Path, name: str) -> Path:
    """Where the bundle `name` is on the stick, whether it is there or not."""
    return data / BUNDLES / Path(name).name


def bundle_files(data: Path, name: str, spare: frozenset[str] = frozenset()) -> dict[str, Path]:
    """Every file of the bundle `name` by its path in it, but those in `spare`; none where there is none.

    Indexes are never spare: their signatures are good for the whole of them, and apt looks for a package's
    file only when it takes it.
    """
    top = bundle_folder(data, name)
    found = {}
    for folder, _, files in os.walk(top) if name else ():
        for file in files:
            at = Path(folder, file)
            found[str(at.relative_to(top))] = at
    return {path: found[path] for path in sorted(found.keys() - spare)}


def bundle_bytes(data: Path, name: str, spare: frozenset[str] = frozenset()) -> int:
    """The sum of the sizes of all .debs in the bundle `name`, in bytes, but those in `spare`; 0 where there
    is none.

    A repository has them in folders (pool/); what cannot be read is left out.
    """
    found = 0
    for path, file in bundle_files(data, name, spare).items():
        if path.endswith(".deb"):
            with contextlib.suppress(OSError):
                found += file.stat().st_size
    return found


def why_too_large(
    data: Path, name: str, memory: Path, spare: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """A sentence where `memory` cannot take the bundle `name` without `spare` twice, as files and as a disk
    made of them.

    `memory` is a folder of the file system that the twin's tools disk is made in.
    """
    need = 2 * (bundle_bytes(data, name, spare) + LISTS)
    try:
        free = shutil.disk_usage(memory).free
    except OSError:
        return ()
    if not name or need <= free:
        return ()
    return (
        f"The bundle {Path(name).name} takes {need >> 20} MiB of the appliance's memory, which has"
        f" {free >> 20} MiB for it: make one for this machine alone, or for fewer packages.",
    )


def _or(names: tuple[str, ...]) -> str:
    return f"; it has: {', '.join(names[:8])}." if names else "; it has none."


def _inside(data: Path, name: str) -> Path | None:
    """The file `name` on the stick; None where it is not there or its path leads elsewhere."""
    file = (data / name).resolve()
    return file if file.is_relative_to(data.resolve()) and file.is_file() else None


def read_script(data: Path, name: str) -> bytes:
    """The script's bytes. Raises Refused where it is not there or cannot be read."""
    file = _inside(data, name)
    try:
        if file is not None:
            return file.read_bytes()
        said = "it is not there"
    except OSError as error:
        said = error.strerror or "unknown"
    raise Refused((f"The script {name} on the stick could not be read: {said}.",))


def chosen_checks(data: Path, skipped: tuple[str, ...]) -> dict[str, bytes | Path]:
    """What goes on the tools disk under "checks": the folder, or all in it but the skipped ones."""
    folder = data / CHECKS
    if not checks(data):
        return {}
    if not skipped:
        return {CHECKS: folder}
    return {f"{CHECKS}/{entry.name}": entry for entry in folder.iterdir() if entry.name not in skipped}
