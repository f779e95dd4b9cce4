"""Subvolumes of ours in a btrfs: a small file beside each says what it is (volumes/btrfs_tags.py)."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.model.btrfs import Ours
from appliance.model.codec import from_json
from appliance.model.groups import OURS_AT
from appliance.probe.tree import Tree

TAGS = ".tags"
SCHEMA = 1
LIMIT = 16384
"""Bytes of one such file: it has five words."""


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is where the subvolume lies, from the top level; `uuid` is its own, once that matters."""

    schema: int = SCHEMA
    run: str
    role: str
    origin: str
    path: str
    uuid: str = ""

    def at(self, path: str) -> Tag:
        return replace(self, path=path)


def read_ours(top: Tree) -> tuple[Ours, ...]:
    """All of them, by name, in the file system mounted at its top level. Raises DamagedData."""
    folder = f"/{OURS_AT}/{TAGS}"
    found = []
    for file in sorted(name for name in top.names(folder) if not name.startswith(".")):
        name, data = unquote(file), top.data(f"{folder}/{file}", LIMIT)
        if data is None:
            continue
        tag: Tag = from_json(data, Tag, f"the tag of {name}")
        if tag.schema != SCHEMA:
            raise DamagedData(f"the tag of {name} is of a kind that is not understood.")
        found.append(Ours(name=name, path=tag.path, role=tag.role, run=tag.run, origin=tag.origin))
    return tuple(found)
