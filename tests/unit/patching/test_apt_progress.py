"""apt's status stream as progress: bytes, then packages; time left only where it is honest."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.model.events import Event, Line, Progress
from appliance.patching.apt_progress import AptProgress, Pace
from appliance.patching.job import News

RECORDED = Path(__file__).with_name("recorded")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def heard(*news: News, packages: int = 2, download: int = 1000) -> tuple[list[Event], AptProgress]:
    events: list[Event] = []
    progress = AptProgress(events.append, "patch", packages, download, Clock())
    for one in news:
        progress.heard(one)
    return events, progress


def test_a_recorded_run_byte_by_byte_ends_with_all_packages() -> None:
    status, log = (RECORDED / "status.txt").read_bytes(), (RECORDED / "log.txt").read_bytes()
    news = [News(log[i : i + 7], status[i : i + 7], None) for i in range(0, max(len(log), len(status)), 7)]
    events, progress = heard(*news, News(b"", b"", 0))
    told = [e for e in events if isinstance(e, Progress)]
    assert {e.unit for e in told} == {"bytes", "packages"}
    assert (told[-1].done, told[-1].total, told[-1].unit) == (2, 2, "packages")
    assert all(0 <= e.done <= e.total for e in told)
    lines = [e.text for e in events if isinstance(e, Line)]
    assert "\n".join(lines).split("\n") == log.decode().rstrip("\n").split("\n")
    assert progress.errors == []


def test_apt_3_s_status_stream_ends_with_all_packages() -> None:
    events, _ = heard(News(b"", (RECORDED / "apt3-status.txt").read_bytes(), 0), packages=11)
    told = [e for e in events if isinstance(e, Progress)]
    assert (told[-1].done, told[-1].total, told[-1].unit) == (11, 11, "packages")


def test_a_fetch_too_quick_for_apt_to_tell_is_told_when_the_first_package_is_installed() -> None:
    events, _ = heard(News(b"", b"pmstatus:ledger:50.0:Unpacking ledger\n", None))
    told = [(e.unit, e.done, e.total) for e in events if isinstance(e, Progress)]
    assert told == [("bytes", 1000, 1000), ("packages", 0, 2)]
    nothing_to_fetch, _ = heard(News(b"", b"pmstatus:ledger:50.0:Unpacking ledger\n", None), download=0)
    assert [e.unit for e in nothing_to_fetch if isinstance(e, Progress)] == ["packages"]


def test_errors_are_kept_and_marked() -> None:
    log = b"dpkg: error processing package ledger (--configure):\nE: Sub-process returned an error code (1)"
    events, progress = heard(News(log, b"pmerror:ledger:50.0:exit status 1\n", 100))
    assert [e.level for e in events if isinstance(e, Line)] == ["error", "error"]
    assert len(progress.errors) == 3


def test_hostile_lines_cannot_reach_a_terminal() -> None:
    events, _ = heard(News(b"\x1b]0;owned\x07\x1b[2Jok\xff\xfe\rshown last\n", b"", 0))
    assert [e.text for e in events if isinstance(e, Line)] == ["shown last"]


def test_foreign_architecture_names_do_not_confuse_the_percentage() -> None:
    events, _ = heard(News(b"", b"pmstatus:libc6:i386:40.0:Installed libc6:i386\n", None), packages=5)
    told = [e for e in events if isinstance(e, Progress)]
    assert (told[-1].done, told[-1].total) == (1, 5)


def test_time_left_is_not_guessed_early_nor_when_nothing_moves() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now = 10
    assert pace.left(0.5) == -1, "ten seconds say nothing yet"
    clock.now = 40
    assert pace.left(0.6) == 40 * 0.4 / 0.6
    clock.now = 80
    assert pace.left(0.6) == -1, "an initrd is being built: no promise"


@given(st.binary(), st.binary())
def test_no_bytes_make_it_raise(log: bytes, status: bytes) -> None:
    heard(News(log + b"\n", b"pmstatus:" + status + b"\n" + status + b"\n", None), News(b"", b"", 0))
