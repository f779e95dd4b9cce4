"""A field for one typed answer: the only way to any act that changes something."""

from __future__ import annotations

from typing import Any

from textual.message import Message

from tui.widgets.field import Field


class Typed(Field):
    """Takes printable ASCII but "?" (that stays help). Says `Right` or `Wrong` on Enter."""

    class Right(Message):
        def __init__(self, typed: Typed, text: str) -> None:
            super().__init__()
            self.typed, self.text = typed, text

    class Wrong(Message):
        def __init__(self, typed: Typed, text: str) -> None:
            super().__init__()
            self.typed, self.text = typed, text

    def __init__(self, expected: str, **options: Any) -> None:
        super().__init__(max_length=16, **options)
        self.expected = expected

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return character is not None and character.isascii() and character.isprintable() and character != "?"

    def action_submit_typed(self) -> None:
        """Compare what was typed, letters of either case; a wrong answer empties the field."""
        text = self.value.strip()
        if self.expected and text.casefold() == self.expected.casefold():
            self.value = ""
            self.post_message(self.Right(self, self.expected))
            return
        self.value = ""
        self.post_message(self.Wrong(self, text))

    async def action_submit(self) -> None:
        self.action_submit_typed()
