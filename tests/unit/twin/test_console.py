"""The serial console's bytes as lines fit for a screen."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.twin.console import LONGEST, ConsoleReader, clean, dead_end, follow, tail


@given(st.text())
@settings(deadline=None)
def test_nothing_that_moves_a_cursor_survives(text: str) -> None:
    assert all(ch == "\t" or (ch.isprintable() or ord(ch) > 0x9F) for ch in clean(text))
    assert "\x1b" not in clean(text)
    assert len(clean(text)) <= LONGEST


def test_escape_sequences_go_and_words_stay() -> None:
    assert clean("\x1b[1;31mFAILED\x1b[0m\x1b]0;title\x07 \x1b(Bunit\u202e") == "FAILED unit"


@given(st.lists(st.binary(max_size=40), max_size=12))
@settings(deadline=None)
def test_lines_do_not_depend_on_where_the_log_is_cut(parts: list[bytes]) -> None:
    whole = ConsoleReader(Path("/nonexistent"))
    split = ConsoleReader(Path("/nonexistent"))
    data = b"".join(parts).replace(b"\r", b"") + b"\n"
    once = whole.lines(data)
    pieces: list[str] = []
    for part in [part.replace(b"\r", b"") for part in parts] + [b"\n"]:
        pieces += split.lines(part)
    assert pieces == once


def test_reading_on_and_a_log_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    reader = ConsoleReader(log)
    assert reader.new_lines() == []
    log.write_bytes(b"one\r\ntwo\r\nthr")
    assert reader.new_lines() == ["one", "two"]
    with log.open("ab") as out:
        out.write(b"ee\n\n\x00\n")
    assert reader.new_lines() == ["three"]
    log.write_bytes(b"anew\n")
    assert reader.new_lines() == ["anew"]


def test_follow_hands_over_the_last_line_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    lines: list[str] = []
    stop = threading.Event()
    thread = follow(log, lines.append, stop, every=0.05)
    log.write_text("first\n")
    time.sleep(0.3)
    with log.open("a") as out:
        out.write("last\n")
    stop.set()
    thread.join(5)
    assert lines == ["first", "last"]


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert tail(log) == []
    log.write_bytes(b"".join(b"line %d\r\n" % n for n in range(100)))
    assert tail(log, 2) == ["line 98", "line 99"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
            "its kernel panics (VFS: Unable to mount root fs on unknown-block(0,0))",
        ),
        ("ALERT!  /dev/mapper/vg0-root does not exist.\r\n(initramfs) \x1b[6n", "stops in its initrd"),
        ("error: file '/grub/i386-pc/normal.mod' not found.\r\ngrub rescue> ", "GRUB finds neither"),
        ("[  OK  ] Reached target multi-user.target.\r\nlab login: ", ""),
        ("a log that only names (initramfs) in passing\n", ""),
    ],
)
def test_a_console_that_will_say_nothing_more_is_told_by_its_words(
    tmp_path: Path, said: str, words: str
) -> None:
    log = tmp_path / "console.log"
    log.write_text(said)
    found = dead_end(log, 0)
    assert words in found and bool(words) == bool(found)
    assert dead_end(log, len(said.encode())) == "", "an earlier boot's words are not this one's"


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert dead_end(tmp_path / "none", 0) == ""
