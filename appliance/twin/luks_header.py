"""The LUKS 2 header of a twin's disk: the machine's own, but for what encrypts the content behind it.

The twin's content is the snapshot volumes as they are, decrypted. So its header names the cipher that
changes nothing, and all else stays: UUID, key slots (the same passphrase opens it), digests, tokens, flags.
Pure bytes, after the LUKS2 On-Disk Format Specification 1.1.1, chapters 2 and 3.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

from appliance.errors import DamagedData
from appliance.twin.tables import Patch

NO_CIPHER = "cipher_null-ecb"
"""dm-crypt's cipher that leaves every sector as it is (crypto/crypto_null.c)."""

MODULES = ("dm_crypt", "crypto_null", "ecb")
"""What the initrd of a twin must hold to open such a device."""

FIRST, SECOND = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
_FIELDS = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
BINARY = 4096
"""Bytes of a header's binary part; its JSON text follows, filled up with zeros."""

LARGEST = 4 << 20
"""Bytes of one header, the largest that the format has."""


def in_form_only(head: bytes, where: str) -> tuple[Patch, ...]:
    """What to write over both copies of the header. `head` is the device's beginning, both copies in it, and
    an offset counts from there. Raises DamagedData, naming `where`, for a header that is not as it should be.
    """
    size = _size(head, where)
    return tuple(
        Patch(at, _without_cipher(head[at : at + size], magic, at, where))
        for at, magic in ((0, FIRST), (size, SECOND))
    )


def _size(head: bytes, where: str) -> int:
    if len(head) < BINARY:
        raise DamagedData(f"The LUKS header of {where} is cut short.")
    size: int = _FIELDS.unpack_from(head)[2]
    if not BINARY < size <= LARGEST or len(head) < 2 * size:
        raise DamagedData(f"The LUKS header of {where} has an odd size ({size} bytes).")
    return size


def _without_cipher(copy: bytes, magic: bytes, at: int, where: str) -> bytes:
    fields = _FIELDS.unpack_from(copy)
    found, version, kind, offset, held = fields[0], fields[1], fields[5], fields[9], fields[11]
    if (found, version, offset) != (magic, 2, at) or kind.rstrip(b"\0") != b"sha256":
        raise DamagedData(f"The LUKS header of {where} is not of a kind that is known.")
    if _checksum(copy) != held[:32]:
        raise DamagedData(f"The LUKS header of {where} is damaged: its checksum does not fit.")
    text = json.dumps(_changed(copy[BINARY:], where), separators=(",", ":")).encode()
    room = len(copy) - BINARY
    if len(text) >= room:
        raise DamagedData(f"The LUKS header of {where} has no room for what the twin's must say.")
    changed = copy[:BINARY] + text.ljust(room, b"\0")
    start = _FIELDS.size - len(held)
    return changed[:start] + _checksum(changed).ljust(len(held), b"\0") + changed[start + len(held) :]


def _checksum(copy: bytes) -> bytes:
    """SHA-256 over the whole copy, the checksum's own place taken as zeros."""
    start = _FIELDS.size - 64
    return hashlib.sha256(copy[:start] + bytes(64) + copy[start + 64 :]).digest()


def _changed(area: bytes, where: str) -> dict[str, Any]:
    try:
        text: dict[str, Any] = json.loads(area.partition(b"\0")[0])
        (segment,) = text["segments"].values()
        plain = segment["type"] == "crypt" and "integrity" not in segment and "encryption" in segment
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedData(f"The LUKS header of {where} does not describe one encrypted segment.") from None
    if not plain:
        raise DamagedData(f"The LUKS header of {where} describes content of a kind that is not known.")
    segment["encryption"] = NO_CIPHER
    return text
