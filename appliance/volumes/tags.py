"""What our volumes carry on the disk: tags say whose they are, of which run, and what for (lvm(8), TAGS)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from appliance.errors import DamagedData
from appliance.volumes.base import Snapshot, SnapshotRole

OURS = "twinboot"
_RUN = "twinboot.run="
_ROLE = "twinboot.role="
_ORIGIN = "twinboot.origin="
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,100}")


def tags_of(snapshot: Snapshot) -> tuple[str, ...]:
    """The tags `snapshot` carries. Raises DamagedData where a name does not fit a tag."""
    for word in (snapshot.run, snapshot.origin):
        if word and not _WORD.fullmatch(word):
            raise DamagedData(f"{word!r} can not be a tag of a volume.")
    tags = [OURS, f"{_ROLE}{snapshot.role.value}"]
    tags += [f"{_RUN}{snapshot.run}"] if snapshot.run else []
    tags += [f"{_ORIGIN}{snapshot.origin}"] if snapshot.origin else []
    return tuple(tags)


def add_tags(snapshot: Snapshot) -> list[str]:
    """The tags of `snapshot` as arguments for lvcreate(8) and lvchange(8)."""
    return [word for tag in tags_of(snapshot) for word in ("--addtag", tag)]


def is_ours(tag: str) -> bool:
    """Whether we have put this tag on a volume."""
    return tag == OURS or tag.startswith((_RUN, _ROLE, _ORIGIN))


def read_tags(vg: str, lv: str, tags: Iterable[str]) -> Snapshot | None:
    """The snapshot these tags describe; None for a volume that is not ours or whose role we do not know."""
    values = frozenset(tags)
    if OURS not in values:
        return None
    role = _value(values, _ROLE)
    if role not in {known.value for known in SnapshotRole}:
        return None
    return Snapshot(vg, lv, _value(values, _ORIGIN), _value(values, _RUN), SnapshotRole(role))


def _value(tags: frozenset[str], key: str) -> str:
    return next((tag.removeprefix(key) for tag in sorted(tags) if tag.startswith(key)), "")
