"""The last lines of every page: the keys that work here and now."""

from __future__ import annotations

from textual.keys import key_to_character
from textual.screen import Screen

from tui.look import Line, line
from tui.widgets.pane import Pane

NAMES = {
    "escape": "Esc",
    "question_mark": "?",
    "enter": "Enter",
    "tab": "Tab",
    "slash": "/",
    "space": "Space",
    "ctrl+right_square_bracket": "Ctrl+]",
}


def key_name(key: str) -> str:
    """How a key is written on the screen: letters as capitals, "f5" as "F5", "ctrl+l" as "Ctrl+L".

    A capital alone is another key than its letter: "N" is written "Shift+N".
    """
    if key in NAMES:
        return NAMES[key]
    if key.startswith("ctrl+"):
        return "Ctrl+" + key[5:].upper()
    if len(key) == 1 and key.isupper():
        return f"Shift+{key}"
    return key.upper() if len(key) == 1 or (key[:1] == "f" and key[1:].isdigit()) else key.capitalize()


def working_keys(screen: Screen[object]) -> list[tuple[str, str]]:
    """(key, label) of each act a key reaches now: the page's own, Esc, then those that work everywhere.

    Letters that the focused field takes for itself are left out; an F-key or Ctrl key stands in, if any.
    """
    eater = screen.focused
    own: dict[str, tuple[str, str]] = {}
    last: dict[str, tuple[str, str]] = {}
    taken = {key for key, _ in screen._bindings}
    for node in (screen, screen.app):
        for key, binding in node._bindings:
            action = binding.action.partition("(")[0]
            if node is not screen and key in taken:
                continue  # the page has given that key another meaning
            if not binding.show or not binding.description or action in own or action in last:
                continue
            if not node.check_action(action, ()):
                continue
            if eater is not None and eater.check_consume_key(key, key_to_character(key)):
                continue
            found = last if key == "escape" or node is not screen else own
            found[action] = (key_name(key), binding.description)
    return [*own.values(), *last.values()]


def key_lines(keys: list[tuple[str, str]], width: int, rows: int) -> list[Line]:
    """The keys in at most `rows` lines; what does not fit is left to the help page."""
    result: list[list[tuple[str, str]]] = [[]]
    used = 1
    for key, label in keys:
        need = len(key) + 1 + len(label) + 2
        if used + need > width:
            if len(result) == rows:
                break
            result.append([])
            used = 1
        result[-1] += [(key, "key"), (f" {label}  ", "")]
        used += need
    return [line(" ", *spans) for spans in result]


class KeyLine(Pane):
    """Follows focus and the acts that are possible at the moment."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.draw()

    def _changed(self, screen: Screen[object]) -> None:
        if screen.is_current:
            self.draw()

    def draw(self) -> None:
        self.show(key_lines(working_keys(self.screen), self.app.size.width, 2))
