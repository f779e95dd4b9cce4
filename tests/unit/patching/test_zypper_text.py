"""zypper's XML, on what a real zypper printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.model.events import Event, Line, Progress
from appliance.patching.base import Setting
from appliance.patching.job import News
from appliance.patching.zypper_progress import ZypperProgress
from appliance.patching.zypper_text import (
    Solvable,
    cause,
    ended,
    ended_well,
    has_summary,
    parse_download,
    parse_repositories,
    parse_summary,
    unread,
)
from tests.lab.rpm_tree import NAMED

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"zypper-{name}.xml").read_text()


def test_the_summary_of_all_updates() -> None:
    assert parse_summary(recorded("all")) == (
        Solvable("upgrade", "configured", "1.1-1", "1.0-1"),
        Solvable("upgrade", "ledger", "1.1-1", "1.0-1"),
        Solvable("upgrade", NAMED, "2:1.1-1", "2:1.0-1"),
        Solvable("upgrade", "unsigned", "1.1-1", "1.0-1"),
        Solvable("install", "kernel-core", "6.1.0-2", ""),
    )
    assert 25_000 < parse_download(recorded("all")) < 40_000


def test_a_patch_is_no_package() -> None:
    assert parse_summary(recorded("security")) == (Solvable("upgrade", "ledger", "1.1-1", "1.0-1"),)


def test_removals_and_nothing() -> None:
    (gone,) = parse_summary(recorded("remove"))
    assert gone.goes and gone.version == "1.0-1"
    for file in ("nothing", "skipped", "no-repos"):
        assert has_summary(recorded(file)) and parse_summary(recorded(file)) == ()
    assert not has_summary(recorded("unresolvable"))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("no-match", "No provider of 'nosuch' found."),
        ("unresolvable", "Problem: nothing provides no-such-thing needed by ledger-1.6-1.noarch"),
        ("unsigned", "Signature verification failed [6-File is unsigned]"),
        ("pre-failed", "%prein(ledger-1.5-1.noarch) scriptlet failed, exit status 1"),
    ],
)
def test_why_zypper_did_not_do_it(file: str, words: str) -> None:
    assert words in cause(recorded(file)) and "\n" not in cause(recorded(file))


def test_sources_that_were_not_read() -> None:
    assert unread(recorded("refresh")) == {}
    assert "Signature verification failed for repomd.xml" in unread(recorded("no-key"))["lab"]
    assert "Repository type can't be determined" in unread(recorded("unread"))["lab"]


def test_repositories() -> None:
    assert parse_repositories(recorded("repos")) == (("lab", "http://repo.example/lab"),)
    off = '<repo alias="a" enabled="0"><url>http://x</url></repo><repo alias="b"/>'
    assert parse_repositories(off) == ()


def test_exit_codes() -> None:
    """zypper(8), EXIT CODES: 100 to 103 are informational."""
    assert [s for s in range(256) if ended_well(s)] == [0, 100, 101, 102, 103]
    assert "script of a package" in ended(107) and "left out" in ended(106)
    assert "200" in ended(200)


@pytest.mark.parametrize(
    "text", ["", "<to-upgrade>", '<solvable type="package"', "<to-x>\0</to-x>", "<" * 9999]
)
def test_half_a_document_gives_less_and_no_error(text: str) -> None:
    assert parse_summary(text) == () and parse_download(text) == 0 and parse_repositories(text) == ()
    assert cause(text) == "no message"


def test_a_size_that_is_none() -> None:
    assert parse_download(f'<install-summary download-size="{"9" * 30}">') == 0


def feed(file: str, packages: int = 0, download: int = 0, cut: int = 41) -> list[Event]:
    events: list[Event] = []
    progress = ZypperProgress(events.append, Setting(), packages, download)
    data = recorded(file).encode()
    for at in range(0, len(data), cut):
        progress.heard(News(data[at : at + cut], b"", None))
    progress.heard(News(b"", b"", 0))
    return events


def test_progress_of_a_whole_update() -> None:
    told = [e for e in feed("applied", 5, 31 * 1024) if isinstance(e, Progress)]
    fetched = [e for e in told if e.unit == "bytes"]
    installed = [e for e in told if e.unit == "packages"]
    assert 25_000 < fetched[-1].done <= fetched[-1].total == 31 * 1024
    assert [(e.done, e.total) for e in installed] == [(n, 5) for n in range(1, 6)]
    assert told.index(fetched[-1]) < told.index(installed[0])


def test_lines_without_tags_entities_or_questions() -> None:
    lines = {e.text: e.level for e in feed("pre-failed", cut=1) if isinstance(e, Line)}
    assert not any("<" in text or "&" in text for text in lines)
    assert not any("Abort, retry" in text or "Continue?" in text for text in lines)
    assert lines["error: %prein(ledger-1.5-1.noarch) scriptlet failed, exit status 1"] == "error"
    assert lines["(1/1) Installing: ledger-1.5-1.noarch"] == "info"
    assert not [e for e in feed("pre-failed") if isinstance(e, Progress) and e.unit == "packages"]
