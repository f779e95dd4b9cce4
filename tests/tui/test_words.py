"""Pure parts: words, filters, the board's arithmetic."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from appliance.model import events as e
from appliance.model.plan import Request, Verb
from tests.tui import story
from tui import words
from tui.board import Board
from tui.filters import BasicText, SafeText
from tui.look import bar
from tui.plain.told import progress
from tui.runboard import Mark

ANY = st.text(max_size=40)
BLACK = Color(0, 0, 0)


@settings(max_examples=150, deadline=None)
@given(ANY)
def test_clean_lets_no_control_or_direction_character_pass(text: str) -> None:
    for character in words.clean(text):
        assert unicodedata.category(character) != "Cc" and character not in "\u202e\u2066\u200b\u2028"


@settings(max_examples=150, deadline=None)
@given(ANY, st.integers(0, 60))
def test_fit_is_as_wide_as_asked(text: str, width: int) -> None:
    assert cell_len(words.fit(words.clean(text), width)) == width


@settings(max_examples=150, deadline=None)
@given(ANY)
def test_to_ascii_is_printable_ascii(text: str) -> None:
    plain = words.to_ascii(words.clean(text))
    assert plain.isascii() and (plain.isprintable() or not plain)


def test_escape_sequences_go_whole() -> None:
    assert words.clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1bPq#0\x1b\\y\tz") == "red xy      z"


def test_ascii_keeps_the_cells_of_what_it_replaces() -> None:
    for text in ("─┬└█░", "naïve", "日本", "e\u0301", "“x” → y…"):
        assert cell_len(words.to_ascii(text)) == cell_len(text), text


def test_basic_drops_colour_keeps_reverse_and_merges() -> None:
    red = Style.parse("bold red on blue")
    segments = [
        Segment("─a", red),
        Segment("b", Style.parse("bold green")),
        Segment("c", Style.parse("reverse")),
    ]
    got = BasicText().apply(segments, BLACK)
    assert [s.text for s in got] == ["-ab", "c"]
    assert (
        got[0].style == Style(bold=True, reverse=False) and got[1].style is not None and got[1].style.reverse
    )


def test_safe_text_strips_whoever_put_it_there() -> None:
    got = SafeText().apply([Segment("a\x1b[2Jb\x07", None)], BLACK)
    assert got[0].text == "ab"


def test_times_and_sizes() -> None:
    assert words.duration(492) == "8 min 12 s" and words.duration(3720) == "1 h 02 min"
    assert words.clock(395) == "6:35" and words.clock(3723) == "1:02:03"
    assert words.about(20) == "less than a minute" and words.about(540) == "about 9 min"
    assert words.size(1_288_490_188) == "1.2 GiB" and words.size(512) == "512 B"
    assert words.count(1, "write") == "1 write" and words.count(2, "volume") == "2 volumes"


def test_room_is_need_and_what_there_is() -> None:
    made = replace(
        story.plan(story.machine(), Request(verb=Verb.REHEARSE)),
        expected_bytes=3 << 29,
        free_bytes=5 << 30,
        pool="vg/thin",
    )
    assert words.room(made) == "about 1.5 GiB of 5.0 GiB free (to the 80 % mark) in vg/thin"


def test_the_bar_never_lies_past_its_ends() -> None:
    assert bar(-1, 6) == "[░░░░]" and bar(2, 6) == "[████]" and bar(0.5, 6) == "[██░░]"


STEPS = (("a", "A", 10.0), ("b", "B", 30.0), ("c", "C", 60.0))


def begun() -> Board:
    board = Board("tty1")
    board.apply(e.RunStarted(run="tb1", title="x", steps=STEPS, at=100.0, seq=1))
    return board


def test_the_share_done_is_weighted() -> None:
    board = begun()
    board.apply(e.StepStarted(run="tb1", step="b", title="B", number=2, total=3, at=110.0))
    run = board.run
    assert run is not None and run.steps[0].mark is Mark.DONE and run.fraction() == 0.1
    board.apply(e.Progress(run="tb1", step="b", done=5, total=10))
    assert run.fraction() == 0.25


def test_a_copy_says_in_a_line_how_far_it_is_how_fast_and_how_long() -> None:
    board = begun()
    board.apply(e.StepStarted(run="tb1", step="a", title="A", number=1, total=3, at=100.0))
    board.apply(e.StepFinished(run="tb1", step="a", seconds=20.0))
    board.apply(e.StepStarted(run="tb1", step="b", title="B", number=2, total=3, at=120.0))
    board.apply(e.Progress(run="tb1", step="b", done=512.25, total=900.5, unit="MiB", left=31.4, rate=12.34))
    run = board.run
    assert run is not None
    assert "B, 512 of 900 MiB (12.3 a second): " in progress(run, 121.0)
    assert run.left(121.0) == 20.0 * 8 + 31.4 - 20.0 * 2, run.left(121.0)


def test_time_left_is_silent_until_the_pace_is_known_and_when_a_step_overruns() -> None:
    board = begun()
    run = board.run
    assert run is not None and run.left(105.0) == -1
    board.apply(e.StepStarted(run="tb1", step="a", title="A", number=1, total=3, at=100.0))
    board.apply(e.StepFinished(run="tb1", step="a", seconds=20.0))
    board.apply(e.StepStarted(run="tb1", step="b", title="B", number=2, total=3, at=120.0))
    assert run.left(120.0) == 180.0
    assert run.left(150.0) == 150.0
    assert run.left(400.0) == -1


def test_a_run_that_goes_on_after_its_gate_keeps_its_steps() -> None:
    board = begun()
    board.apply(e.StepStarted(run="tb1", step="a", title="A", number=1, total=3, at=100.0))
    board.apply(e.StepFinished(run="tb1", step="a", seconds=3.0))
    board.apply(e.Waiting(run="tb1", gate="b", sentence="go?"))
    run = board.run
    assert run is not None and run.gate == "b" and run.steps[1].mark is Mark.WAITING
    board.apply(e.RunStarted(run="tb1", title="x", steps=STEPS, at=500.0))
    assert board.run is run and run.gate == "" and run.steps[0].seconds == 3.0 and run.started == 100.0


def test_another_act_on_the_same_run_starts_afresh() -> None:
    board = begun()
    board.apply(e.RunFinished(run="tb1", outcome="done", at=200.0))
    first = board.run
    board.apply(e.RunStarted(run="tb1", title="Promotion", steps=(("p", "P", 1.0),), at=300.0))
    assert board.run is not first and board.run is not None and not board.run.over


def test_many_lines_in_one_event_are_many_lines() -> None:
    board = begun()
    board.apply(e.Line(run="tb1", source="vm", text="one\ntwo\r\nthree", at=1.0))
    assert [entry.text for entry in board.log][-3:] == ["one", "two", "three"]


def test_the_share_of_a_step_never_goes_back_when_a_download_ends() -> None:
    board = begun()
    board.apply(e.StepStarted(run="tb1", step="b", title="B", number=2, total=3, at=110.0))
    run = board.run
    assert run is not None
    board.apply(e.Progress(run="tb1", step="b", done=100, total=100, unit="bytes"))
    assert run.step_fraction() == 0.3
    board.apply(e.Progress(run="tb1", step="b", done=0, total=50, unit="packages"))
    assert run.step_fraction() == 0.3
    board.apply(e.Progress(run="tb1", step="b", done=40, total=50, unit="packages"))
    assert run.step_fraction() == 0.8
