"""What stands on the disk of a copy of ours (probe/partition_ours.py), as the store writes it."""

from __future__ import annotations

import re
import zlib

from appliance.errors import DamagedData
from appliance.model.codec import to_json
from appliance.probe.partition_ours import HEAD, LENGTH, MAGIC, Record
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.tags import tags_of

_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,60}")


def snapshot_of(record: Record, disk: str) -> Snapshot:
    return Snapshot(disk, record.lv, record.origin, record.run, SnapshotRole(record.role))


def check_words(snapshot: Snapshot) -> None:
    """Raises DamagedData where a name can not be written down."""
    tags_of(snapshot)
    if not _WORD.fullmatch(snapshot.lv):
        raise DamagedData(f"{snapshot.lv!r} can not be the name of a copy.")


def encode(record: Record) -> bytes:
    """One sector. Raises DamagedData where it is too long for that."""
    said = to_json(record)
    if len(said) > LENGTH - HEAD.size:
        raise DamagedData(f"What is to be written down of {record.lv} is too long: {len(said)} bytes.")
    return (HEAD.pack(MAGIC, zlib.crc32(said), len(said)) + said).ljust(LENGTH, b"\0")
