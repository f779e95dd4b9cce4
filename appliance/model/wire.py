"""The bases of what clients and the engine say to each other."""

from __future__ import annotations

import msgspec


class Say(msgspec.Struct, frozen=True, kw_only=True, tag_field="say"):
    """Base of all requests."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="reply"):
    """Base of all answers."""
