"""A field to type into that leaves every Ctrl key to the page: those are acts, and promised on the screen."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.widgets import Input


class Field(Input, inherit_bindings=False):
    """Takes printable characters but "?" (that stays help); Left, Right, Home, End move in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor_left", show=False),
        Binding("right", "cursor_right", show=False),
        Binding("home", "home", show=False),
        Binding("end", "end", show=False),
        Binding("backspace,ctrl+h", "delete_left", show=False),
        Binding("delete", "delete_right", show=False),
        Binding("ctrl+u", "delete_left_all", show=False),
        Binding("enter", "submit", show=False),
    ]

    def __init__(self, value: str = "", **options: Any) -> None:
        super().__init__(value, compact=True, select_on_focus=False, **options)
        self.cursor_blink = False

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character.isprintable() and character != "?"

    def on_key(self, event: Key) -> None:
        """Characters that are not for this field go on to the page's keys."""
        if event.is_printable and not self.check_consume_key(event.key, event.character):
            event.prevent_default()
