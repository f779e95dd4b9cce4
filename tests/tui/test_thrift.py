"""What is sent as differences shows the same as what would be sent whole, and costs less."""

from __future__ import annotations

import io

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.thrift import Shown

WIDTH, HEIGHT = 12, 4
STYLES = (None, Style(bold=True), Style(reverse=True), Style.parse("red"), Style.parse("default on default"))
CONSOLE = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=WIDTH)

pieces = st.lists(
    st.tuples(st.text(alphabet="ab .─日", max_size=6), st.sampled_from(STYLES)), max_size=4
).map(lambda spans: Strip([Segment(t, s) for t, s in spans]).adjust_cell_length(WIDTH))
screens = st.lists(pieces, min_size=HEIGHT, max_size=HEIGHT)


def shown(said: list[str]) -> list[list[tuple[str, bool, bool, str]]]:
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(screen)
    for text in said:
        stream.feed(text)
    return [
        [(c.data, c.bold, c.reverse, c.fg) for c in (screen.buffer[y][x] for x in range(WIDTH))]
        for y in range(HEIGHT)
    ]


def whole(strips: list[Strip]) -> str:
    return "".join(f"\x1b[{y + 1};1H\x1b[0m{strip.render(CONSOLE)}" for y, strip in enumerate(strips))


@settings(max_examples=80, deadline=None)
@given(st.lists(screens, min_size=1, max_size=4))
def test_differences_show_the_same_as_the_whole(frames: list[list[Strip]]) -> None:
    kept = Shown()
    said = [kept.changes(frame, CONSOLE) for frame in frames]
    assert shown(said) == shown([whole(frames[-1])])


@settings(max_examples=40, deadline=None)
@given(screens)
def test_the_same_again_costs_nothing_and_doubt_paints_over_noise(frame: list[Strip]) -> None:
    kept = Shown()
    first = kept.changes(frame, CONSOLE)
    assert kept.changes(frame, CONSOLE) == ""
    kept.doubt()
    noise = "\x1b[2;1H[  3.14] BUG: kern"
    assert shown([first, noise, kept.changes(frame, CONSOLE)]) == shown([whole(frame)])


def test_one_changed_cell_is_a_few_bytes() -> None:
    kept = Shown()
    kept.changes([Strip([Segment("x" * 80)])] * 24, CONSOLE)
    after = [Strip([Segment("x" * 80)])] * 23 + [Strip([Segment("x" * 40 + "y" + "x" * 39)])]
    assert len(kept.changes(after, CONSOLE)) < 12
