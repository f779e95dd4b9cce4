"""Help for the page one comes from: what it is for, every key, the words."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui.look import Line, line, rule
from tui.screens.page import Page, key
from tui.widgets.keyline import key_name
from tui.widgets.pane import Scroll
from tui.words import wrap

EVERYWHERE = (
    ("? F1", "this help"),
    (": Ctrl+P", "every act by its name"),
    ("Esc", "one step back; at last you are home"),
    ("Up Down", "select or scroll; PgUp PgDn Home End go further"),
    ("Tab", "to the next part of the page"),
    ("Ctrl+L F3", "draw the screen again"),
    ("Ctrl+T F4", "rich characters or plain ones"),
    ("Ctrl+Q", "leave the console; a run goes on without it"),
)
WORDS = (
    ("snapshot", "the installed volume as it was at one moment"),
    ("twin", "the VM that boots from the snapshot, on this hardware"),
    ("rehearsal", "snapshot, boot, patch, boot again, checks, seal, proof boot"),
    ("sealed", "tested and never written again"),
    ("trial", "the first boot of this machine from the patched volume"),
    ("arm", "the next boot, and only that one, tries the patched system"),
    ("keep", "make the patched system the one this machine boots"),
    ("roll back", "boot the old system again; nothing is deleted"),
    ("retire", "delete a volume that is no longer wanted"),
    ("NOT TESTED", "could not be tested in the twin; the trial tests it"),
)


class HelpPage(Page):
    """Made from the bindings themselves, so it cannot promise a key that does not work."""

    NAME = "help"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("escape,enter", "back", "back"),
    ]

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.about = page

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def draw(self) -> None:
        width = self.width
        rows: list[Line] = [rule(f"Help: {self.about.NAME}", width)]
        for text in self.about.HELP.rstrip().splitlines():
            rows += [line(row) for row in wrap(text, width - 1, " ")]
        rows += [rule("Keys of this page", width), *_keys(page_keys(self.about))]
        rows += [rule("Keys everywhere", width), *_keys(list(EVERYWHERE))]
        rows += [rule("Words", width), *_keys(list(WORDS))]
        self.pane("main").show(rows)


def page_keys(page: Page) -> list[tuple[str, str]]:
    """The keys a page itself defines, all keys of an act together, F-keys after their letter."""
    acts: dict[str, tuple[list[str], str]] = {}
    for name, bindings in page._bindings.key_to_bindings.items():
        for binding in bindings:
            if binding.description and not binding.action.startswith(("screen.", "app.")):
                keys, _ = acts.setdefault(binding.action, ([], binding.description))
                shown = key_name(name)
                if shown not in keys and shown.removeprefix("Shift+") not in keys:
                    keys.append(shown)
    return [(" ".join(keys), label) for keys, label in acts.values()]


def _keys(pairs: list[tuple[str, str]]) -> list[Line]:
    return [line((f"   {name:<12} ", "key"), label) for name, label in pairs]
