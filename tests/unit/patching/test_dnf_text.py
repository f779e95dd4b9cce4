"""dnf 4's columns and lines, on what a real dnf printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.model.events import Event, Line, Progress
from appliance.patching.base import Setting
from appliance.patching.dnf_progress import DnfProgress
from appliance.patching.dnf_sources import parse_sources
from appliance.patching.dnf_text import (
    Row,
    cause,
    is_dnf4,
    parse_download,
    parse_list,
    parse_repolist,
    parse_security,
    parse_table,
    unread,
)
from appliance.patching.job import News
from tests.lab.rpm_tree import NAMED

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"dnf-{name}.txt").read_text()


def test_the_table_of_all_updates() -> None:
    assert parse_table(recorded("all")) == (
        Row("Installing", "kernel-core", "noarch", "6.1.0-2"),
        Row("Upgrading", "configured", "noarch", "1.1-1"),
        Row("Upgrading", "ledger", "noarch", "1.1-1"),
        Row("Upgrading", NAMED, "noarch", "2:1.1-1"),
        Row("Upgrading", "unsigned", "noarch", "1.1-1"),
    )
    assert parse_download(recorded("all")) == 31 * 1024


def test_removals_and_what_is_skipped() -> None:
    (gone,) = parse_table(recorded("remove"))
    assert gone.goes and not gone.comes and gone.version == "1.0-1"
    upgrade, left = parse_table(recorded("skipped"))
    assert upgrade.comes and left.left and (left.name, left.version) == ("ledger", "1.6-1")


WRAPPED = """\
Dependencies resolved.
====================
 Package
      Arch   Version
             Repository
                 Size
====================
Upgrading:
 a-name-that-fills-the-line
      x86_64 2:1.1-1.el9
             baseos
                 6.4 M
     replacing  other.noarch 1.0-1
Installing dependencies:
 b    noarch 1 lab 1 k
Removing unused dependencies:
 c    noarch 2 @lab 0  

Transaction Summary
====================
Upgrade  1 Package
"""


def test_a_row_may_be_broken_after_any_column() -> None:
    assert parse_table(WRAPPED) == (
        Row("Upgrading", "a-name-that-fills-the-line", "x86_64", "2:1.1-1.el9"),
        Row("Installing dependencies", "b", "noarch", "1"),
        Row("Removing unused dependencies", "c", "noarch", "2"),
    )


def test_nothing_to_do_and_damaged_tables_give_no_row() -> None:
    assert parse_table(recorded("nothing")) == ()
    assert parse_table("====\nUpgrading:\n a b\n") == ()
    assert parse_table("\0\n====\n: \n  x y z\n") == ()


def test_advisories() -> None:
    assert parse_security(recorded("advisories")) == {"ledger"}
    text = """\
RHSA-2026:0001 Important/Sec. openssl-libs-1:3.0.7-25.el9_3.x86_64
RHBA-2026:0002 bugfix         bash-5.1.8-9.el9.x86_64
FEDORA-2026-1  unknown/Sec.   python3-x_y-1.0-1.noarch
junk
"""
    assert parse_security(text) == {"openssl-libs", "python3-x_y"}


def test_newer_loader_packages() -> None:
    assert parse_list(recorded("newer")) == {"grub2-lab": "1.1-1"}
    assert parse_list("Error: No matching Packages to list\n") == {}


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("no-match", "No match for argument: nosuch"),
        (
            "unresolvable",
            "conflicting requests - nothing provides no-such-thing needed by ledger-1.6-1.noarch",
        ),
        ("unsigned", "Package unsigned-1.1-1.noarch.rpm is not signed"),
        ("no-key", "Public key for configured-1.1-1.noarch.rpm is not installed"),
        ("no-keys", "no key is installed that a package could be checked with"),
        ("pre-failed", "Error in PREIN scriptlet in rpm package ledger"),
    ],
)
def test_why_dnf_did_not_do_it(file: str, why: str) -> None:
    assert cause(recorded(file)) == why


def test_cause_of_nothing() -> None:
    assert cause("") == "no message"
    assert cause("Killed\n") == "Killed"


def test_repositories_that_were_not_read() -> None:
    for file in ("unread", "unread-needed"):
        (why,) = unread(recorded(file).splitlines()).values()
        assert why.startswith("Cannot download repomd.xml")
    assert unread(recorded("refresh").splitlines()) == {}
    assert parse_repolist("repo id    repo name\nlab        lab\nx   a b c\n") == ("lab", "x")
    assert parse_repolist("") == ()


def test_only_dnf_4_is_driven() -> None:
    assert is_dnf4(recorded("version"))
    assert not is_dnf4("dnf5 version 5.2.8.1\ndnf5 plugin API version 2.0\n")
    assert not is_dnf4("") and not is_dnf4("5.0") and not is_dnf4("sh: dnf: not found")


def feed(file: str, packages: int = 0, download: int = 0, cut: int = 37) -> list[Event]:
    """The recorded output as polls bring it: in pieces that end anywhere."""
    events: list[Event] = []
    progress = DnfProgress(events.append, Setting(), packages, download)
    data = recorded(file).encode()
    for at in range(0, len(data), cut):
        progress.heard(News(data[at : at + cut], b"", None))
    progress.heard(News(b"", b"", 0))
    return events


def test_progress_of_a_whole_update() -> None:
    told = [e for e in feed("applied", 4, 25 * 1024) if isinstance(e, Progress)]
    fetched = [e for e in told if e.unit == "bytes"]
    installed = [e for e in told if e.unit == "packages"]
    assert [e.done for e in fetched] == sorted(e.done for e in fetched)
    assert 20_000 < fetched[-1].done <= fetched[-1].total == 25 * 1024
    assert [(e.done, e.total) for e in installed] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told.index(fetched[-1]) < told.index(installed[0])


def test_lines_are_told_once_and_whole_with_their_level() -> None:
    lines = {e.text: e.level for e in feed("post-failed", cut=1) if isinstance(e, Line)}
    assert lines["the book is not in order"] == "info"
    assert lines["warning: %post(ledger-1.4-1.noarch) scriptlet failed, exit status 1"] == "warning"
    assert lines["Error in POSTIN scriptlet in rpm package ledger"] == "error"
    assert "Complete!" in lines and "" not in lines


def test_sources() -> None:
    text = """\
proxy http://proxy.site:3128
url https://cdn.example/a
url http://10.0.0.1:8080/b
url file:///media
unknown fedora
url ftp://old.example/x
"""
    found = parse_sources(text)
    assert found.hosts == ("10.0.0.1:8080", "cdn.example")
    assert found.upstream == "http://proxy.site:3128"
    assert len(found.unreachable) == 2 and "fedora" in found.unreachable[0] and "ftp" in found.unreachable[1]
