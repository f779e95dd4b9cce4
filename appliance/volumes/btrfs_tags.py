"""What a subvolume of ours is: a small file beside it, which a read-only snapshot can not carry in itself.

A subvolume is ours if and only if its file names it. The file is there first, so that a cut between the two
leaves a name that stands for nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from appliance.errors import DamagedData
from appliance.host.files import sync_folder, write_atomic
from appliance.model.codec import from_json, to_json
from appliance.model.groups import OURS_AT, is_subvolume_name
from appliance.probe.btrfs_ours import SCHEMA, TAGS, Tag
from appliance.volumes.base import Snapshot, SnapshotRole

FOLDER = OURS_AT
"""At the top level: subvolumes of ours, each under the name the plan gave it."""

_RUN = re.compile(r"[A-Za-z0-9_.+-]{1,100}")


def snapshot_of(vg: str, lv: str, tag: Tag) -> Snapshot:
    return Snapshot(vg, lv, tag.origin, tag.run, SnapshotRole(tag.role))


def tag_of(snapshot: Snapshot) -> Tag:
    """The tag of a subvolume that we make. Raises DamagedData where a name is none."""
    if not _RUN.fullmatch(snapshot.run) or not is_subvolume_name(snapshot.lv):
        raise DamagedData(f"{snapshot.lv!r} of {snapshot.run!r} can not be a subvolume of ours.")
    return Tag(
        run=snapshot.run,
        role=snapshot.role.value,
        origin=snapshot.origin,
        path=f"{FOLDER}/{snapshot.lv}",
    )


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags in the file system mounted at `top`."""

    top: Path

    @property
    def folder(self) -> Path:
        return self.top / FOLDER / TAGS

    def get(self, lv: str) -> Tag | None:
        """None where there is none. Raises DamagedData for one that does not read."""
        try:
            data = self._file(lv).read_bytes()
        except OSError:
            return None
        tag: Tag = from_json(data, Tag, f"the tag of {lv}")
        if tag.schema != SCHEMA or tag.role not in {role.value for role in SnapshotRole}:
            raise DamagedData(f"the tag of {lv} is of a kind that is not understood (role {tag.role!r}).")
        return tag

    def all(self) -> dict[str, Tag]:
        """By the subvolume's name in the plan."""
        names = sorted(unquote(n) for n in _names(self.folder) if not n.startswith("."))
        found = ((lv, self.get(lv)) for lv in names)
        return {lv: tag for lv, tag in found if tag is not None}

    def put(self, lv: str, tag: Tag) -> None:
        """Old or new after any power cut."""
        for folder in (self.top / FOLDER, self.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                sync_folder(folder.parent)
        write_atomic(self._file(lv), to_json(tag))

    def remove(self, lv: str) -> None:
        """Nothing happens where it is gone."""
        if self._file(lv).exists():
            self._file(lv).unlink()
            sync_folder(self.folder)

    def leave(self) -> None:
        """Remove the folders of ours where nothing lies in them any more."""
        for folder in (self.folder, self.folder.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _file(self, lv: str) -> Path:
        return self.folder / quote(lv, safe="@+")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
