"""A job in the guest: its output arrives in pieces, a lost or stuck one ends as an error."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from appliance.errors import Cancelled, PatchFailed, TwinFailed
from appliance.patching.base import Setting
from appliance.patching.job import CHUNK, Job, News


@dataclass
class Output:
    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass
class Scripted:
    """A guest whose polls answer one after the other; every call is remembered by its kind."""

    polls: list[Output]
    calls: list[str] = field(default_factory=list)

    def exec(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes = b"",
        env: tuple[tuple[str, str], ...] = (),
        timeout: float,
    ) -> Output:
        kind = "start" if "setsid" in argv[2] else "kill" if "kill -s" in argv[2] else "poll"
        self.calls.append(kind)
        return self.polls.pop(0) if kind == "poll" else Output()

    def read_file(self, path: str) -> bytes:
        raise AssertionError("a job reads no file")

    def write_file(self, path: str, data: bytes, mode: int) -> None:
        raise AssertionError("a job writes no file")


def run(polls: list[Output], **settings: object) -> tuple[int, list[News], Scripted]:
    guest = Scripted(polls)
    setting = Setting(**{"sleep": lambda _: None, **settings})  # type: ignore[arg-type]
    news: list[News] = []
    try:
        status = Job(guest, setting).run(("true",), news.append, "The job")
    except BaseException as error:
        error.guest = guest  # type: ignore[attr-defined]
        raise
    return status, news, guest


def test_output_in_pieces_and_the_status() -> None:
    polls = [Output(stdout=b"running 3 2\nabcxy"), Output(stdout=b"7 1 0\nd")]
    status, news, guest = run(polls)
    assert status == 7
    assert b"".join(n.log for n in news) == b"abcd" and b"".join(n.status for n in news) == b"xy"
    assert guest.calls == ["start", "poll", "poll"], "what ended by itself is not killed"


def test_all_output_is_read_before_the_end_is_told() -> None:
    full = b"x" * CHUNK
    status, news, _ = run([Output(stdout=f"0 {CHUNK} 0\n".encode() + full), Output(stdout=b"0 1 0\ny")])
    assert status == 0 and sum(len(n.log) for n in news) == CHUNK + 1


def test_a_job_that_vanished_is_an_error() -> None:
    with pytest.raises(PatchFailed, match="was killed"):
        run([Output(stdout=b"gone 0 0\n")])


@pytest.mark.parametrize("answer", [b"", b"running x 1\n", b"maybe 0 0\n", b"1 2\n", b"\xff 0 0\n"])
def test_an_answer_that_cannot_be_read_is_an_error(answer: bytes) -> None:
    with pytest.raises(TwinFailed, match="cannot be read"):
        run([Output(stdout=answer)])


def test_an_agent_that_fails_is_an_error() -> None:
    with pytest.raises(TwinFailed, match="no such"):
        run([Output(status=1, stderr=b"no such directory")])


def test_cancel_and_limit_kill_first() -> None:
    running = [Output(stdout=b"running 0 0\n") for _ in range(9)]
    with pytest.raises(Cancelled) as cancelled:
        run(list(running), cancelled=lambda: True)
    assert cancelled.value.guest.calls[-1] == "kill"  # type: ignore[attr-defined]
    times = iter(range(0, 1000, 10))
    with pytest.raises(PatchFailed, match="did not finish") as late:
        run(list(running), clock=lambda: float(next(times)), limit=15)
    assert late.value.guest.calls[-1] == "kill"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("took", "rested"), [(0.01, 2.0), (1.0, 9.0), (60.0, 15.0)])
def test_a_guest_whose_polls_are_slow_is_asked_seldom(took: float, rested: float) -> None:
    now, rests = [0.0], []

    def clock() -> float:
        now[0] += took
        return now[0]

    run([Output(stdout=b"running 0 0\n"), Output(stdout=b"0 0 0\n")], sleep=rests.append, clock=clock)
    assert rests == [pytest.approx(rested)]
