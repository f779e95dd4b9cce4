"""Help and keys agree, on every page: what the text names is bound, what is bound has words."""

from __future__ import annotations

import re

import pytest
from textual.binding import Binding

from appliance.model import service_messages as s
from tests.tui.conftest import desk
from tests.tui.engine import FakeEngine
from tests.tui.test_keys import PAGES
from tui.console import Console
from tui.screens.help import HelpPage
from tui.screens.page import Page
from tui.screens.vm import VmPage
from tui.widgets.keyline import key_name
from tui.widgets.vmscreen import GIVE_BACK

# A key in a help text: F8, Ctrl+P, "S shows", "(N)", "n to the next"; not "A plan", not a name like UEFI.
NAMED = re.compile(r"\bF\d{1,2}\b|\bCtrl\+[A-Z]\b|\((?P<a>[A-Z])\)|(?<![\w.'-])(?P<b>[B-HJ-Z])(?= [a-z])")


def bound(page: type) -> dict[str, Binding]:
    """Every key that reaches the page, by its name on the screen."""
    kinds = [c for c in page.__mro__ if "BINDINGS" in vars(c)] + [Console]
    found: dict[str, Binding] = {}
    for kind in kinds:
        for binding in kind.BINDINGS:
            if isinstance(binding, Binding):
                found.update(
                    {key_name(name).removeprefix("Shift+"): binding for name in binding.key.split(",")}
                )
    return found


def named(text: str) -> set[str]:
    return {found["a"] or found["b"] or found[0] for found in NAMED.finditer(text.replace("\n", " "))}


@pytest.mark.parametrize("page", PAGES, ids=lambda c: c.__name__)
def test_a_key_that_the_help_names_is_a_key_of_the_page(page: type[Page]) -> None:
    taken = {key_name(name) for name in GIVE_BACK} if page is VmPage else set()
    assert named(page.HELP) - set(bound(page)) - taken == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda c: c.__name__)
def test_a_page_says_what_it_is_for_and_every_act_has_words(page: type[Page]) -> None:
    if page.NAME and page.__name__ != "HelpPage":  # one without a name is what others are made of
        assert len(page.HELP) > 60
    for binding in page.BINDINGS:
        assert isinstance(binding, Binding) and binding.description, binding


def test_the_test_sees_keys_in_a_text() -> None:
    assert named("S shows one, F8 or Ctrl+P saves, verdict (V). A plan. UEFI is no key.") == {
        "S",
        "F8",
        "Ctrl+P",
        "V",
    }


@pytest.mark.parametrize("key", ["f1", "question_mark"])
async def test_help_opens_on_the_appliances_own_pages(engine: FakeEngine, key: str) -> None:
    engine.script[s.GetSsh] = lambda say: s.SshState(on=False)
    engine.script[s.GetKeyboard] = lambda say: s.KeyboardIs(code="us")
    async with desk(engine) as here:
        for letter, name in (("x", "export"), ("s", "ssh"), ("k", "keyboard")):
            await here.press("a", letter, key)
            await here.sees(f"Help: {name}", "Keys of this page")
            await here.press("escape", "escape", "escape")
            await here.sees("What this machine can start")


async def test_a_page_left_before_it_is_there_is_left(engine: FakeEngine) -> None:
    """As by a key that is stuck: opened and left within one turn, and nothing of it is asked for after."""
    async with desk(engine) as here:
        await here.sees("What this machine can start")
        for _ in range(20):
            here.app.push_screen(HelpPage(here.app.screen))  # type: ignore[arg-type]
            here.app.back()
            await here.pilot.pause()
        assert here.app.is_running
        await here.sees("What this machine can start")
