"""The LUKS 2 header of a twin's disk: in form the machine's own, with a key of the twin's own.

The twin's content is the snapshot volumes as they are, decrypted. So its header names the cipher that
changes nothing. What the system finds the device by stays: UUID, label, subsystem, flags, and where the
content begins. Nothing that opens the machine's disk goes into a twin: no key slot, no token.
Pure bytes, after the LUKS2 On-Disk Format Specification 1.1.1, chapters 2 and 3.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from appliance.errors import DamagedData
from appliance.twin.tables import Patch

NO_CIPHER = "cipher_null-ecb"
"""dm-crypt's cipher that leaves every sector as it is (crypto/crypto_null.c)."""

MODULES = ("dm_crypt", "crypto_null", "ecb")
"""What the initrd of a twin must hold to open such a device."""

FIRST, SECOND = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
_FIELDS = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_HELD = 64
"""Bytes of the checksum's place, the last of the fields."""

BINARY = 4096
"""Bytes of a header's binary part; its JSON text follows, filled up with zeros."""

LARGEST = 4 << 20
"""Bytes of one header, the largest that the format has."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a header says of its device, but for the keys. `offset` of the content and `sector` are bytes."""

    uuid: str
    label: str
    subsystem: str
    cipher: str
    offset: int
    sector: int
    flags: tuple[str, ...]


def form_of(head: bytes, where: str) -> Form:
    """Of a device that begins with `head`, both copies of its header in it.

    Raises DamagedData, naming `where`, for a header that is not as it should be.
    """
    size = _size(head, where)
    text, _ = (_read(head[at : at + size], magic, at, where) for at, magic in ((0, FIRST), (size, SECOND)))
    fields = _FIELDS.unpack_from(head)
    (segment,) = text["segments"].values()
    try:
        return Form(
            uuid=_word(fields[7]),
            label=_word(fields[4]),
            subsystem=_word(fields[8]),
            cipher=str(segment["encryption"]),
            offset=int(segment["offset"]),
            sector=int(segment["sector_size"]),
            flags=tuple(str(flag) for flag in text.get("config", {}).get("flags", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedData(f"The LUKS header of {where} does not say where its content begins.") from None


def in_form_only(made: bytes, flags: tuple[str, ...], where: str) -> tuple[Patch, ...]:
    """What to write over the beginning of the twin's device. `made` is the beginning of a device that was
    made like the machine's, with one key of its own; an offset counts from there. Raises DamagedData.
    """
    size = _size(made, where)
    text = _read(made[:size], FIRST, 0, where)
    areas = [slot["area"] for slot in text["keyslots"].values()]
    slots = tuple(Patch(at := int(a["offset"]), made[at : at + int(a["size"])]) for a in areas)
    copies = ((0, FIRST), (size, SECOND))
    return (
        tuple(
            Patch(at, _without_cipher(made[at : at + size], magic, at, flags, where)) for at, magic in copies
        )
        + slots
    )


def _size(head: bytes, where: str) -> int:
    if len(head) < BINARY:
        raise DamagedData(f"The LUKS header of {where} is cut short.")
    size: int = _FIELDS.unpack_from(head)[2]
    if not BINARY < size <= LARGEST or len(head) < 2 * size:
        raise DamagedData(f"The LUKS header of {where} has an odd size ({size} bytes).")
    return size


def _read(copy: bytes, magic: bytes, at: int, where: str) -> dict[str, Any]:
    """The text of one copy."""
    fields = _FIELDS.unpack_from(copy)
    found, version, kind, offset, held = fields[0], fields[1], fields[5], fields[9], fields[11]
    if (found, version, offset) != (magic, 2, at) or kind.rstrip(b"\0") != b"sha256":
        raise DamagedData(f"The LUKS header of {where} is not of a kind that is known.")
    if _checksum(copy) != held[:32]:
        raise DamagedData(f"The LUKS header of {where} is damaged: its checksum does not fit.")
    return _one_segment(copy[BINARY:], where)


def _without_cipher(copy: bytes, magic: bytes, at: int, flags: tuple[str, ...], where: str) -> bytes:
    changed = _read(copy, magic, at, where)
    (segment,) = changed["segments"].values()
    segment["encryption"] = NO_CIPHER
    if flags:
        changed["config"]["flags"] = list(flags)
    text = json.dumps(changed, separators=(",", ":")).encode()
    room = len(copy) - BINARY
    if len(text) >= room:
        raise DamagedData(f"The LUKS header of {where} has no room for what the twin's must say.")
    bare = copy[:BINARY] + text.ljust(room, b"\0")
    start = _FIELDS.size - _HELD
    return bare[:start] + _checksum(bare).ljust(_HELD, b"\0") + bare[start + _HELD :]


def _word(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")


def _checksum(copy: bytes) -> bytes:
    """SHA-256 over the whole copy, the checksum's own place taken as zeros."""
    start = _FIELDS.size - _HELD
    return hashlib.sha256(copy[:start] + bytes(_HELD) + copy[start + _HELD :]).digest()


def _one_segment(area: bytes, where: str) -> dict[str, Any]:
    try:
        text: dict[str, Any] = json.loads(area.partition(b"\0")[0])
        (segment,) = text["segments"].values()
        plain = segment["type"] == "crypt" and "integrity" not in segment and "encryption" in segment
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedData(f"The LUKS header of {where} does not describe one encrypted segment.") from None
    if not plain:
        raise DamagedData(f"The LUKS header of {where} describes content of a kind that is not known.")
    return text
