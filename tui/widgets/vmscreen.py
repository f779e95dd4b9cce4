"""The VM's terminal on this one: read-only, or every key goes to the VM."""

from __future__ import annotations

from textual.events import Key, Paste
from textual.message import Message

from tui.vmkeys import bytes_of
from tui.vmview import LINES, VmView
from tui.widgets.pane import Scroll

GIVE_BACK = ("ctrl+right_square_bracket", "f12")
"""As in virsh(1) console; F12 for keyboards and BMCs that have no Ctrl+]."""


class VmScreen(Scroll):
    """Follows the guest's cursor until one scrolls up. While `typing`, it says `Typed` and `GivenBack`."""

    class Typed(Message):
        """`data` is for the VM."""

        def __init__(self, data: bytes) -> None:
            super().__init__()
            self.data = data

    class GivenBack(Message):
        """The key that ends typing was pressed."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, follow=True)
        self.typing = False
        self._follow_top = 0

    @property
    def last_top(self) -> int:
        """Following, the cursor's row is in view, not the blank rows below it."""
        last = super().last_top
        return min(last, self._follow_top) if self.follow else last

    def update_view(self, view: VmView, found: int = -1) -> None:
        height = max(1, self.size.height)
        bottom = LINES if height >= LINES else max(view.cursor_row + 1, height)
        self._follow_top = max(0, len(view.older) + bottom - height)
        self.show(view.lines(found))

    def action_by(self, count: int) -> None:
        super().action_by(count)
        if count > 0 and self.top >= self._follow_top:
            self.action_end(True)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """While typing no key is anybody else's; so the key line names the one that ends it, and no other."""
        return self.typing and key not in GIVE_BACK

    def on_key(self, event: Key) -> None:
        if not self.typing:
            return
        event.stop()
        event.prevent_default()
        if event.key in GIVE_BACK:
            self.post_message(self.GivenBack())
        elif data := bytes_of(event.key, event.character):
            self.post_message(self.Typed(data))

    def on_paste(self, event: Paste) -> None:
        if self.typing:
            event.stop()
            self.post_message(self.Typed(event.text.replace("\n", "\r").encode()))
