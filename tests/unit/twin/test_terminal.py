"""Hostile bytes in, plain rows out; what is asked for is what changed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from appliance.twin.terminal import BURST, COLUMNS, LINES, SCROLLBACK, Terminal


def drawn(*parts: bytes) -> list[str]:
    terminal = Terminal()
    for part in parts:
        terminal.feed(part)
    return [row.text for _, row in terminal.view().rows]


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"\x1b[", b"\x1b]0;", b"\x1bP", b";7", b"m", b"\x9b"]))
)
@settings(deadline=None, max_examples=80)
def test_whatever_comes_rows_are_plain_and_fit(parts: list[bytes]) -> None:
    terminal = Terminal()
    for part in parts:
        terminal.feed(part)
    view = terminal.view()
    texts = [row.text for _, row in view.rows] + list(view.older)
    for text in texts:
        assert text.isprintable() and "\x1b" not in text
        assert not any(unicodedata.category(c) in ("Cf", "Cc", "Mn") for c in text)
        assert cell_len(text) <= COLUMNS + 1
    assert len(view.rows) == LINES
    terminal.feed(b"\x18\x1b\\\x1bcafter")
    assert any("after" in row.text for _, row in terminal.view().rows), "it draws on, whatever was before"


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x1b]0;title\x07", b"\x1b]52;c;ZXZpbA==\x1b\\", b"\x1bP+q544e\x1b\\",
        b"\x1b_apc\x1b\\", b"\x1b^pm\x1b\\",
        b"\x1bXsos\x1b\\", b"\x1b[?1000h", b"\x1b[6n", b"\x1b[c", b"\xc2\x9b6n",
        "\u202e\u200b".encode(), b"\x07\x0e",
    ],
)  # fmt: skip
def test_strings_and_questions_leave_nothing_on_the_screen(hostile: bytes) -> None:
    for cut in range(len(hostile) + 1):
        text = drawn(b"a", hostile[:cut], hostile[cut:] + b"b")[0]
        assert text in ("ab", "a6nb"), (cut, text)


def test_a_string_without_an_end_does_not_hide_what_follows() -> None:
    assert any("panic" in row for row in drawn(b"\x1b]0;" + b"x" * 5000, b"\r\nKernel panic\r\n"))
    assert any("panic" in row for row in drawn(b"\x1b[" + b"1" * 5000, b"\r\nKernel panic\r\n"))


def test_the_guest_does_not_change_the_size() -> None:
    terminal = Terminal()
    terminal.feed(b"\x1b[?3h\x1b[8;50;132t" + b"x" * 100)
    rows = terminal.view().rows
    assert len(rows) == LINES and rows[0][1].text == "x" * COLUMNS and rows[1][1].text == "x" * 20


def test_only_what_changed_is_told() -> None:
    terminal = Terminal()
    terminal.feed(b"one\r\ntwo")
    first = terminal.view()
    assert [n for n, _ in first.rows] == list(range(LINES)) and first.cursor == (1, 3)
    terminal.feed(b"!\x1b[7mrev\x1b[0m")
    second = terminal.view(first.version, first.scrolled)
    assert [(n, row.text, row.marked) for n, row in second.rows] == [(1, "two!rev", ((4, 7),))]
    assert second.older == () and second.version > first.version
    assert terminal.view(second.version).rows == ()
    terminal.feed(b"\x1b[?25l")
    assert terminal.view().cursor is None


def test_lines_that_leave_are_kept_and_told_once() -> None:
    terminal = Terminal()
    for number in range(30):
        terminal.feed(b"line %d\r\n" % number)
    view = terminal.view()
    assert (view.scrolled, view.older[0], view.older[-1]) == (7, "line 0", "line 6")
    terminal.feed(b"line 30\r\n")
    more = terminal.view(view.version, view.scrolled)
    assert (more.scrolled, more.older) == (8, ("line 7",))
    for number in range(SCROLLBACK + 100):
        terminal.feed(b"more %d\r\n" % number)
    assert len(terminal.view().older) == SCROLLBACK
    assert terminal.view(scrolled=8).scrolled == SCROLLBACK + 108


def test_of_a_flood_the_end_is_drawn_and_the_rest_is_counted() -> None:
    terminal = Terminal()
    terminal.feed(b"\x1b[H" + b"." * (BURST + 1000) + b"\r\nthe end")
    view = terminal.view()
    assert view.older[0] == "(1012 bytes were not drawn: too many at once)"
    assert any(row.text == "the end" for _, row in view.rows)
