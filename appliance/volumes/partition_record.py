"""What stands on the disk of a copy of ours: one sector, the first MiB in front of the copy is for it.

So the copy says of itself what it is, whether the partition table lists it or not, and one write of one
sector changes it. It holds as long as what it says of its own place is so.
"""

from __future__ import annotations

import re
import struct
import zlib

import msgspec

from appliance.errors import DamagedData
from appliance.model.codec import from_json, to_json
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.table import MIB
from appliance.volumes.tags import tags_of

MAGIC = b"TWINBOOT"
HEAD = struct.Struct("<8sII")
LENGTH = 512
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,60}")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at` is where it stands, `size` the length of the copy behind it, in bytes.

    `base` and `witness` say what the origin was when the run began (partition_fs.py). `old` is the origin's
    partition by number and place, `previous` what became of it: "" as it was, "previous" let go, "emptied".
    `label` is the origin's, which the copy gets back once it is alone. `gone`: there is no copy any more.
    """

    lv: str
    run: str
    role: str
    origin: str
    at: int
    size: int
    uuid: str
    base: str = ""
    witness: str = ""
    old: int = 0
    old_at: int = 0
    previous: str = ""
    label: str = ""
    gone: bool = False

    @property
    def start(self) -> int:
        """Where the copy begins."""
        return self.at + MIB

    @property
    def end(self) -> int:
        return self.start + self.size

    def snapshot(self, disk: str) -> Snapshot:
        return Snapshot(disk, self.lv, self.origin, self.run, SnapshotRole(self.role))


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


def decode(raw: bytes, at: int) -> Record | None:
    """What stands at `at`; None where that is nothing of ours, or was copied there from elsewhere."""
    magic, checksum, length = HEAD.unpack_from(raw)
    said = raw[HEAD.size : HEAD.size + length]
    if magic != MAGIC or length > LENGTH - HEAD.size or zlib.crc32(said) != checksum:
        return None
    found: Record = from_json(said, Record, "what stands on the disk of a copy")
    if found.role not in {role.value for role in SnapshotRole}:
        return None
    return found if found.at == at else None
