"""What pages share that ask for a line of text now and then, in a field that is hidden meanwhile."""

from __future__ import annotations

from textual.widgets import Input

from tui.screens.page import Page


class FieldPage(Page):
    """`FIELD` is the id of the field, `BEHIND` that of what has the keys while it is hidden."""

    FIELD = ""
    BEHIND = ""

    @property
    def field(self) -> Input:
        return self.query_one(f"#{self.FIELD}", Input)

    @property
    def asks(self) -> bool:
        return self.field.display

    def open_field(self, value: str) -> None:
        """Ask, with `value` to begin with."""
        field = self.field
        field.value = value
        field.cursor_position = len(value)
        field.display = True
        field.focus()
        self.redraw()

    def leave_field(self) -> None:
        self.field.display = False
        self.query_one(f"#{self.BEHIND}").focus()
        self.redraw()

    def action_back(self) -> None:
        if self.asks:
            self.leave_field()
            return
        super().action_back()
