"""Serial lines without a machine: what is waited for, what is drawn, and how a run is seen to end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.circle import ENDED
from tests.lab.console import Console
from tests.lab.native import EmulatorDied, LabError
from tests.lab.screens import AT_ONCE, SerialTerminal


@dataclass
class Line:
    """The far end of a console's socket."""

    console: Console
    far: socket.socket
    died: list[str]

    def say(self, text: str) -> None:
        self.far.sendall(text.encode())


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "ttyS0"))
        listening.listen()
        died: list[str] = []
        console = Console(tmp_path / "ttyS0", "ttyS0", lambda: "".join(died))
        far, _ = listening.accept()
        with far:
            yield Line(console, far, died)
        console.close()


def test_what_was_waited_for_is_not_found_again(line: Line) -> None:
    line.say("login: one\nlogin: two\n")
    assert line.console.wait_for(r"login: (\w+)", limit=10)[1] == "one"
    assert line.console.wait_for(r"login: (\w+)", limit=10)[1] == "two"
    assert line.console.says("login", limit=0.1) is None


def test_silence_is_an_error_for_one_and_an_answer_for_the_other(line: Line) -> None:
    line.say("nothing of note\n")
    with pytest.raises(LabError, match=r"(?s)waited for word: not within 0 s.*nothing of note"):
        line.console.wait_for("word", limit=0.2)
    assert line.console.says("word", limit=0.1) is None


def test_a_machine_that_stops_ends_both(line: Line) -> None:
    line.far.close()
    for wait in (line.console.wait_for, line.console.says):
        with pytest.raises(LabError, match="the machine stopped") as ended:
            wait("word", limit=10)
        assert not isinstance(ended.value, EmulatorDied)


def test_an_emulator_that_crashed_is_told_apart(line: Line) -> None:
    line.died.append("Assertion failed")
    line.far.close()
    with pytest.raises(EmulatorDied, match="Assertion failed"):
        line.console.says("word", limit=10)


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        ("\x1b[5;1H [>] Control boot", "\x1b[5;3HX\x1b[5;6HSTOPPED\x1b[K", "[X] STOPPED"),
        ("\x1b[9;1Hrun   stopped by nobody", "\x1b[9;15H(TWIN-01)\x1b[K", "stopped (TWIN-01)"),
        ("\x1b[9;1Hrun   tb1 is proven", "\x1b[9;14Hnot promoted: FAIL", "is not promoted"),
    ],
)
def test_the_end_of_a_run_is_read_from_the_page_though_the_line_carries_pieces(
    line: Line, before: str, after: str, ended: str
) -> None:
    terminal = SerialTerminal(line.console)
    line.say(before + "\x1b[24;1Hdrawn")
    line.console.wait_for("drawn", limit=10)
    assert ENDED.search(terminal.text()) is None
    line.say(after + "\x1b[24;1Hagain")
    line.console.wait_for("again", limit=10)
    assert ENDED.search(line.console.text) is None
    found = ENDED.search(terminal.text())
    assert found is not None and found[0] == ended


def test_a_long_line_is_drawn_to_its_end(line: Line) -> None:
    terminal = SerialTerminal(line.console)
    line.say("a line that scrolls away\r\n" * (10 * AT_ONCE // 26) + "\x1b[2J\x1b[Hthe page")
    line.console.wait_for("the page", limit=10)
    assert terminal.text().rstrip() == "the page"
