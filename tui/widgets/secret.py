"""A field for a passphrase: what is typed is not shown, and every printable character belongs to it."""

from __future__ import annotations

from typing import Any

from tui.widgets.field import Field


class Secret(Field):
    """Takes "?" as well: help is F1 meanwhile."""

    def __init__(self, **options: Any) -> None:
        super().__init__(password=True, max_length=512, **options)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character.isprintable()
