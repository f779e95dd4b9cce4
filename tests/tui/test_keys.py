"""Keys as promised: a letter for every F-key, no act on a bare key, what is shown works and fits."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest

import tui.screens
from appliance.model import messages as m
from tests.tui import story
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tui.console import Console
from tui.screens.page import Page
from tui.widgets.keyline import key_lines, working_keys

MODULES = [import_module(f"tui.screens.{found.name}") for found in pkgutil.iter_modules(tui.screens.__path__)]
PAGES = sorted(
    {c for mod in MODULES for _, c in inspect.getmembers(mod, inspect.isclass) if issubclass(c, Page)},
    key=lambda c: c.__name__,
)


def is_letter(key: str) -> bool:
    return len(key) == 1 or key in ("question_mark", "slash") or (key.startswith("ctrl+") and len(key) == 6)


@pytest.mark.parametrize("holder", [*PAGES, Console], ids=lambda c: c.__name__)
def test_every_function_key_has_a_letter_twin(holder: type) -> None:
    keys: dict[str, list[str]] = {}
    for binding in holder.BINDINGS:
        keys.setdefault(binding.action, []).extend(binding.key.split(","))
    for action, names in keys.items():
        if any(name[:1] == "f" and name[1:].isdigit() for name in names):
            assert any(is_letter(name) for name in names), f"{holder.__name__}.{action} has only {names}"


@pytest.mark.parametrize("page", PAGES, ids=lambda c: c.__name__)
def test_every_bound_act_exists(page: type) -> None:
    for binding in page.BINDINGS:
        assert hasattr(page, f"action_{binding.action.partition('(')[0]}"), binding


def test_pages_were_found() -> None:
    assert len(PAGES) > 12


async def test_the_keys_of_every_page_fit_their_two_lines(engine: FakeEngine) -> None:
    """The worst case, a page with all its acts possible, still shows Esc and help.

    Of the acts that share a key only one is possible at a time: the one with the longest name.
    """
    async with desk(engine) as here:
        for page in PAGES:
            keys: dict[str, str] = {}
            for b in page.BINDINGS:
                if b.show and b.description:
                    name = b.key.split(",")[0]
                    keys[name] = max(keys.get(name, ""), b.description, key=len)
            shown = key_lines([*keys.items(), ("?", "help")], 80, 2)
            assert sum(len(row) - 1 for row in shown) == 2 * (len(keys) + 1), page.__name__
        assert ("?", "help") in working_keys(here.app.screen)


async def test_letters_a_field_eats_are_not_promised(engine: FakeEngine) -> None:
    engine.script[m.MakePlan] = lambda say: m.Planned(plan=story.plan(engine.machine, say.request))
    async with desk(engine) as here:
        await here.press("n", "enter")
        await here.sees("type yes")
        keys = {key for key, _ in working_keys(here.app.screen)}
        assert {"Enter", "Esc", "?", "Ctrl+R", "Ctrl+D"} <= keys
        assert not {key for key in keys if len(key) == 1 and key.isalnum()}


async def test_help_on_every_page_and_back_to_where_one_was(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        for key, page in (
            ("b", "boot and roll back"),
            ("l", "log"),
            ("m", "machine"),
            ("n", "new rehearsal"),
        ):
            await here.press(key, "f1")
            await here.sees(f"Help: {page}", "Keys of this page")
            await here.press("escape", "escape")
            await here.sees("What this machine can start")
        await here.press("question_mark", "end")
        await here.sees("NOT TESTED", "could not be tested in the twin")


async def test_power_asks_and_nothing_but_the_word_does_it(engine: FakeEngine) -> None:
    async with desk(engine) as here:
        await here.press("q", "o")
        await here.sees("Switch this machine off?", "type yes")
        await here.press("o", "enter")
        await here.sees("Nothing was done")
        assert engine.said(m.Power) == []
        await here.press("escape", "escape")
        await here.sees("What this machine can start")
