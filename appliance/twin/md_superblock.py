"""The super blocks of a twin's mirror: the machine's own, but in step, without a bitmap, as long as it is.

Both legs of a twin's mirror are one content, so they can not differ. What the machine's array counts goes on
while the twin is at work: the twin's super blocks are therefore set at one moment, not read through. Pure
bytes, after struct mdp_superblock_1 of the kernel's md_p.h and calc_sb_1_csum of its md.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from appliance.errors import DamagedData
from appliance.twin.segments import SECTOR
from appliance.twin.tables import Patch

PLACES = (0, 8 * SECTOR)
"""Bytes from a member's beginning: metadata 1.1 and 1.2. That of 1.0 lies behind the content."""

HEAD = PLACES[-1] + 4096
"""Bytes of a member that hold its super block: it is one page at most (super_1_load)."""

MAGIC = 0xA92B4EFC
WITH_BITMAP = 0x1
IN_STEP = (1 << 64) - 1
"""What resync_offset says where all of the array is in step (MaxSector)."""

AHEAD = 1 << 32
"""Added to the count of events: a member that the twin does not have, such as a spare, is never newer."""

_FIXED = 256
_MOST_ROLES = (4096 - _FIXED) // 2
_START = struct.Struct("<III4x")
_SIZE, _DATA, _SUPER_AT, _EVENTS, _CHECKSUM = 0x50, 0x80, 0x90, 0xC8, 0xD8


def in_form(heads: Sequence[bytes], names: Sequence[str], header: int, size: int) -> tuple[Patch, ...]:
    """What to write over the super block of each member; an offset counts from that member's beginning.

    `heads` are the members' first HEAD bytes, `names` what they are called in errors, `header` the sectors
    before their content and `size` those that the twin's array has. Raises DamagedData.
    """
    found = [_found(head, name) for head, name in zip(heads, names, strict=True)]
    events = max(struct.unpack_from("<Q", raw, _EVENTS)[0] for _, raw in found)
    patches = []
    for (at, raw), name in zip(found, names, strict=True):
        if struct.unpack_from("<Q", raw, _DATA)[0] != header:
            raise DamagedData(f"The content of {name} does not begin where the array's does.")
        patches.append(Patch(at, _changed(raw, events + AHEAD, size)))
    return tuple(patches)


def _found(head: bytes, name: str) -> tuple[int, bytes]:
    """Where the super block is, and its bytes with the roles of all devices."""
    for at in PLACES:
        if len(head) < at + 4096 or _START.unpack_from(head, at)[:2] != (MAGIC, 1):
            continue
        roles = struct.unpack_from("<I", head, at + _CHECKSUM + 4)[0]
        if struct.unpack_from("<Q", head, at + _SUPER_AT)[0] * SECTOR != at or roles > _MOST_ROLES:
            continue
        raw = head[at : at + _FIXED + 2 * roles]
        if checksum(raw) != struct.unpack_from("<I", raw, _CHECKSUM)[0]:
            raise DamagedData(f"The array's super block on {name} is damaged: its checksum does not fit.")
        return at, raw
    raise DamagedData(f"The array's super block on {name} is not where it should be.")


def checksum(raw: bytes) -> int:
    """The sum of its words, their carry added, its own place taken as zero."""
    bare = raw[:_CHECKSUM] + bytes(4) + raw[_CHECKSUM + 4 :]
    whole = len(bare) // 4
    total: int = sum(struct.unpack_from(f"<{whole}I", bare)) + int.from_bytes(bare[whole * 4 :], "little")
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF


def _changed(raw: bytes, events: int, size: int) -> bytes:
    magic, major, features = _START.unpack_from(raw)
    longer = struct.unpack_from("<Q", raw, _SIZE)[0] < size
    made = bytearray(raw)
    _START.pack_into(made, 0, magic, major, features & ~WITH_BITMAP)
    struct.pack_into("<QQ", made, _EVENTS, events, IN_STEP)
    if longer:
        struct.pack_into("<Q", made, _SIZE, size)
        struct.pack_into("<Q", made, _DATA + 8, size)
    struct.pack_into("<I", made, _CHECKSUM, checksum(bytes(made)))
    return bytes(made)
