"""Strict, versioned JSON for every frozen type: one way out, one way in."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from appliance.errors import DamagedData


def to_json(value: Any) -> bytes:
    """Canonical bytes: keys sorted, so equal values have equal digests."""
    return msgspec.json.encode(value, order="sorted")


def to_pretty_json(value: Any) -> str:
    return msgspec.json.format(to_json(value), indent=2).decode()


def from_json(data: bytes | str, kind: Any, source: str) -> Any:
    """Decode `data` as `kind`, a Struct type or a union of them.

    Raises DamagedData naming `source` and the key that is wrong.
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=True)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DamagedData(
            f"{source} does not read as {getattr(kind, '__name__', 'a message')}: {error}."
        ) from None


def digest(value: Any) -> str:
    """sha256 (64 hex digits) of the canonical JSON."""
    return hashlib.sha256(to_json(value)).hexdigest()
