"""What both loaders lay down in /boot and look up again: the files of the old system and of the new one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from appliance.boot import env
from appliance.boot.entries import FOLDER
from appliance.boot.flip import replace
from appliance.boot.manifest import Manifest
from appliance.boot.place import SECTOR_PATH, Boot, BootPlace
from appliance.boot.shapes import BootFile, BootState, Entry, LoaderView, StagedSystem
from appliance.errors import BootConfigFailed, Refused
from appliance.model.codec import from_json

OLD_BOOTS = "The old system boots; the next start of the appliance finishes or removes the rest."
"""What a cut at any write but the deciding one leaves."""

BESIDE = ".twinboot"
"""Ends the name of a file while it takes another's place; keep.sh uses it as well. A cut leaves it, and
update-grub would take it for a kernel; systemd-boot passes over what does not end in .conf."""

SPARE = 8 << 20
"""Bytes that keep and the machine's own next kernel update still need in /boot."""


def named_sector(place: BootPlace) -> str:
    """What a person calls the file with the sector that decides."""
    at = place.sector
    return f"{at.target}/{at.path}" if at else f"{place.target}/{SECTOR_PATH}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def text_of(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def set_file(boot: Boot, path: str, data: bytes, keep: str) -> None:
    """Make `data` the file `path`, whether there is one or not: a loader reads all of it, or what was before.

    `keep` as in `replace`. Raises BootConfigFailed where it does not read back.
    """
    if boot.disk.is_file(path):
        replace(boot, path, data, keep)
        return
    boot.disk.create(path + BESIDE, data)
    boot.disk.settle()
    boot.disk.rename(path + BESIDE, path)
    boot.disk.settle()
    if boot.raw.read(path) != data:
        raise BootConfigFailed(f"/boot/{path} does not read back as written.")


def manifest_of(boot: Boot, run: str) -> Manifest | None:
    data = boot.raw.read(f"{FOLDER}/{run}/manifest.json")
    return from_json(data, Manifest, f"/boot/{FOLDER}/{run}/manifest.json") if data else None


def needed(boot: Boot, run: str) -> Manifest:
    manifest = manifest_of(boot, run)
    if manifest is None:
        raise Refused((f"/boot holds nothing of run {run}.",))
    return manifest


def in_state(found: LoaderView, run: str, *states: BootState) -> None:
    if found.run != run or found.state not in states:
        raise Refused((f"The loader's state is {found.state.value} of run {found.run or 'none'}.",))


def same(boot: Boot, file: BootFile) -> bool:
    """Whether /boot holds this very file already, so that a hard link is enough."""
    data = boot.disk.read(file.name)
    return data is not None and len(data) == file.size and sha256(data) == file.sha256


def put(boot: Boot, file: BootFile, to: str) -> None:
    if same(boot, file):
        boot.disk.link(file.name, to)
    else:
        boot.disk.copy(Path(file.source), to)


def not_as_written(boot: Boot, folder: str, files: tuple[BootFile, ...]) -> list[str]:
    """Files in `folder` that the loader does not read as they were written."""
    paths = ((f"{folder}/{file.name}", file.sha256) for file in files)
    return [path for path, wanted in paths if boot.raw.sha256(path) != wanted]


def files_lost(boot: Boot, manifest: Manifest) -> list[str]:
    """Files of a run, the new system's and the old one's, that the loader does not read as written."""
    base = f"{FOLDER}/{manifest.run}"
    wrong = not_as_written(boot, f"{base}/files", manifest.files)
    return wrong + not_as_written(boot, f"{base}/old", manifest.old)


def is_of(manifest: Manifest, wanted: StagedSystem, files: tuple[BootFile, ...]) -> bool:
    """Whether the manifest is of this very system, with these very files."""
    there, here = ({(f.name, f.sha256) for f in each} for each in (manifest.files, files))
    return manifest.root == wanted.root and there == here


def sector(boot: Boot, run: str, state: BootState, of: str = "", *, keep: bool = False) -> bytes:
    """The sector for `state` of `run`, with what the stick needs to hand over as run `of` was staged with."""
    known = env.values_of(boot.raw.read(f"{FOLDER}/{of or run}/env.kept"))
    block = env.block(state, run, known.get("tb_esp", ""), known.get("tb_loader", ""), keep)
    return block[: env.SECTOR]


def as_it_is(boot: Boot, now: Entry) -> Entry:
    """The entry without initrds that are gone: of a system that had to be repaired, the way back is no better
    than it was. Its kernel must be there."""
    return msgspec.structs.replace(now, initrds=tuple(p for p in now.initrds if boot.disk.is_file(p)))


def pin_old(boot: Boot, base: str, now: Entry) -> tuple[BootFile, ...]:
    """Names of ours for what the machine boots so far, so that no package manager can take it away: hard
    links, or copies where the file system has none."""
    out: list[BootFile] = []
    for path in (now.kernel, *now.initrds):
        data = boot.disk.read(path)
        name = path.rpartition("/")[2]
        if data is None:
            raise Refused((f"/boot/{path}, which the machine boots from, is not there.",))
        boot.disk.link(path, f"{base}/old/{name}")
        out.append(BootFile(name=name, source=path, sha256=sha256(data), size=len(data)))
    return tuple(out)
