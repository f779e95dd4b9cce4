"""Every act by its name: what the page offers, what home offers, and each act on each run. Opens pages only:
whatever changes the machine is still shown and typed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.screens.page import Page
from tui.screens.services import OFFERS, ServicesPage
from tui.standing import possible
from tui.widgets.keyline import key_name

if TYPE_CHECKING:
    from tui.console import Console

NO_ACTS = ("back", "choose", "enter", "look", "view", "commands")
"""Bindings that only make sense with the page under one's eyes."""

ON_RUNS = (
    ("promote", "promote", "let the next boot try it, once"),
    ("rollback", "roll back", "boot the old system again; nothing is deleted"),
    ("keep", "keep", "make it permanent"),
    ("retire", "retire", "delete what is no longer wanted"),
)


@dataclass(frozen=True)
class Command:
    """`about` stands beside the name; `key` is the key that does the same, where there is one."""

    name: str
    about: str
    run: Callable[[], None]
    key: str = ""


def commands(desk: Console, page: Page) -> list[Command]:
    """What can be done now, the page's own acts first; each name once."""
    found: dict[str, Command] = {}
    home = desk.screen_stack[0]
    sources = [
        *_of_page(desk, page, "here"),
        *(_of_page(desk, home, "home") if isinstance(home, Page) else []),
    ]
    for command in (*sources, *_services(desk), *_on_runs(desk), *_everywhere(desk)):
        found.setdefault(command.name, command)
    return list(found.values())


def matching(found: list[Command], wanted: str) -> list[Command]:
    """Those whose name or words hold every word that was typed, names before words."""
    words = wanted.casefold().split()
    inside = [c for c in found if all(w in f"{c.name} {c.about}".casefold() for w in words)]
    return sorted(inside, key=lambda c: not all(w in c.name.casefold() for w in words))


def _of_page(desk: Console, page: Page, where: str) -> Iterator[Command]:
    """The acts of `page` that are possible; the page is gone back to first."""
    seen: set[str] = set()
    for name, bindings in page._bindings.key_to_bindings.items():
        for binding in bindings:
            action = binding.action.partition("(")[0]
            bound = action.startswith(("screen.", "app.")) or not hasattr(page, f"action_{action}")
            if action in NO_ACTS or bound or action in seen or not binding.description:
                continue
            seen.add(action)
            if page.check_action(action, ()):
                yield Command(
                    binding.description,
                    page.ABOUT.get(action, f"on this page, {page.NAME}"),
                    _run(desk, page, binding.action, where),
                    key_name(name),
                )


def _run(desk: Console, page: Page, action: str, where: str) -> Callable[[], None]:
    def run() -> None:
        if where == "home":
            desk.home()
        desk.run_worker(page.run_action(action))

    return run


def _services(desk: Console) -> Iterator[Command]:
    def opener(name: str) -> Callable[[], None]:
        def open_it() -> None:
            desk.home()
            desk.open_services()
            if isinstance(desk.screen, ServicesPage):
                desk.screen.call_after_refresh(desk.screen.action_open, name)

        return open_it

    for name, letter, title, words in OFFERS:
        yield Command(title.casefold(), words, opener(name), f"A {letter}")


def _on_runs(desk: Console) -> Iterator[Command]:
    nodes = desk.board.status.lineage.nodes if desk.board.status else ()
    for node in reversed(nodes):
        if not node.run:
            continue
        yield Command(f"verdict {node.run}", "what the rehearsal found", _bound(desk.open_verdict, node.run))
        for verb, name, about in ON_RUNS:
            if possible(verb, node):
                yield Command(f"{name} {node.run}", about, _bound(desk.open_act, verb, node.run))


def _everywhere(desk: Console) -> Iterator[Command]:
    if any(possible("undo", n) for n in (desk.board.status.lineage.nodes if desk.board.status else ())):
        yield Command(
            "undo everything", "delete all that Twinboot made here", _bound(desk.open_act, "undo", "")
        )
    yield Command("home", "the first page", desk.home)
    yield Command("help", "what this page is for, and its keys", desk.action_help, "?")
    yield Command("draw again", "paint the screen anew", desk.action_redraw, "Ctrl+L")
    yield Command("rich or plain characters", "lines and colours, or ASCII", desk.action_mode, "Ctrl+T")


def _bound(act: Callable[..., None], *words: str) -> Callable[[], None]:
    return lambda: act(*words)
