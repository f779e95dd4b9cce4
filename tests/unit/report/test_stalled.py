"""Work on a medium that may stop answering: what it says and how it ends are its own, unless it stops."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from appliance.errors import ExportFailed, OutOfSpace
from appliance.report.bundle import Tell
from appliance.report.stalled import while_it_moves

STOPPED = ExportFailed("it does not answer")
THERE = Path("/there")


def quiet(done: int, total: int) -> None:
    return


def test_its_result_and_its_progress_are_passed_on_in_the_thread_that_waits() -> None:
    told = list[tuple[int, int, int]]()

    def work(tell: Tell) -> Path:
        tell(1, 2)
        tell(2, 2)
        return THERE

    def note(done: int, total: int) -> None:
        told.append((done, total, threading.get_ident()))

    assert while_it_moves(work, note, STOPPED, 30) == THERE
    me = threading.get_ident()
    assert told == [(1, 2, me), (2, 2, me)]


@pytest.mark.parametrize("error", [OutOfSpace("full"), ZeroDivisionError("a bug")])
def test_its_own_error_is_the_error(error: Exception) -> None:
    def work(tell: Tell) -> Path:
        raise error

    with pytest.raises(type(error)) as raised:
        while_it_moves(work, quiet, STOPPED, 30)
    assert raised.value is error


def test_slow_is_not_stopped() -> None:
    def work(tell: Tell) -> Path:
        for step in range(8):
            time.sleep(0.2)
            tell(step, 8)
        return THERE

    assert while_it_moves(work, quiet, STOPPED, 1.5) == THERE


def test_one_that_stops_is_left_behind_and_its_next_word_ends_it() -> None:
    back, ended, mine = threading.Event(), list[BaseException](), list[threading.Thread]()

    def work(tell: Tell) -> Path:
        mine.append(threading.current_thread())
        back.wait(30)
        try:
            tell(1, 1)
        except ExportFailed as error:
            ended.append(error)
        return THERE

    with pytest.raises(ExportFailed, match="does not answer"):
        while_it_moves(work, quiet, STOPPED, 0.1)
    assert mine[0].daemon, "nothing waits for it when the process ends"
    back.set()
    mine[0].join(30)
    assert ended == [STOPPED]
