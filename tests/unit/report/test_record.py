"""The record: written, read back, and the reports made of it."""

from __future__ import annotations

import base64
import re
import subprocess
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DamagedData, OutOfSpace
from appliance.model.codec import to_json
from appliance.model.events import Failed, Line, RunStarted, StepFinished, StepStarted
from appliance.model.metal import DeviceFate, Fate
from appliance.model.verdict import CheckResult, Outcome, PackageChange
from appliance.report.bundle import pack, parts_of
from appliance.report.html import render_html
from appliance.report.record import (
    CONSOLE_LINES,
    Console,
    Picture,
    Record,
    console,
    failure_of,
    read_events,
    read_record,
    said_of,
    steps_of,
    write_record,
)
from appliance.report.text import render_text
from tests.unit.report.samples import record, verdict


def test_written_and_read_back(tmp_path: Path) -> None:
    page = write_record(record(), tmp_path / "tb1")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert read_record(tmp_path / "tb1") == record()
    assert sorted(p.name for p in page.parent.iterdir()) == ["record.json", "report.html", "report.txt"]


def test_damaged_and_foreign_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedData, match="cannot be read"):
        read_record(tmp_path)
    write_record(record(), tmp_path)
    path = tmp_path / "record.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DamagedData):
        read_record(tmp_path)
    path.write_text(text.replace('"schema": 1,\n  "started"', '"schema": 9,\n  "started"'))
    with pytest.raises(DamagedData, match="version 9"):
        read_record(tmp_path)


def test_no_secret_is_written(tmp_path: Path) -> None:
    leaky = msgspec.structs.replace(
        record(), consoles=(Console(name="twin", text="login password=hunter2hunter2\n"),)
    )
    write_record(leaky, tmp_path)
    for file in tmp_path.iterdir():
        assert "hunter2hunter2" not in file.read_text(), file.name
    assert read_record(tmp_path).masked == 1


def test_headline_words_and_every_finding_are_in_both_reports() -> None:
    for good in (True, False):
        made = record(good=good)
        for text in (render_text(made), render_html(made)):
            assert made.verdict is not None
            for words in (
                made.verdict.headline,
                "NOT TESTED",
                "service cron",
                "NEW KERNEL",
                "security",
                "boot loader: grub-pc",
                "/etc/nginx/nginx.conf.dpkg-dist",
                "/usr/local/bin/surprise",
                "KVM",
                "frozen",
                "6.1.0-51-amd64",
                "origin unchanged",
                "6 min 36 s",
            ):
                assert words in text, words
            assert ("/srv/ledger/data" in text) is not good
            assert ("It fails after the patch" in text) is not good


def test_devices_that_are_not_the_same_are_a_table_and_the_others_a_number() -> None:
    said = "The kernel 6.1.0-51-amd64 of the patched system has no driver for it; it was tg3."
    devices = (
        DeviceFate(place="0000:00:1f.2", name="SATA: AHCI", fate=Fate.SAME, before="ahci", after="ahci"),
        DeviceFate(
            place="0000:02:00.0", name="Ethernet <b>", fate=Fate.NONE, before="tg3", after="", why=said
        ),
    )
    verdict = msgspec.structs.replace(record().verdict, devices=devices)
    made = msgspec.structs.replace(record(), verdict=verdict)
    text, page = render_text(made), render_html(made)
    assert "DEVICES   2 with a driver, 1 not the same in the patched system" in text
    assert "NONE: Ethernet <b> (0000:02:00.0): tg3 -> -" in text and said in " ".join(text.split())
    assert "2 with a driver, 1 not the same" in page and said in page
    assert "Ethernet &lt;b&gt;" in page and "SATA: AHCI" not in page
    assert "DEVICES" not in render_text(record()) and "Devices of this machine" not in render_html(record())


def test_a_run_without_a_verdict_is_told_too() -> None:
    stopped = msgspec.structs.replace(record(), verdict=None, outcome="failed", failure="No room (SPACE-01)")
    assert "No room (SPACE-01)" in render_text(stopped)
    assert "No room (SPACE-01)" in render_html(stopped)


def test_what_an_act_said_is_in_the_record_and_in_both_reports() -> None:
    events = [
        Line(source="run", text="approved: Go?"),
        Line(source="log", text="lvs"),
        Line(source="run", level="warn", text="/srv was NOT put back"),
        Line(source="run", text="approved: Go?"),
    ]
    assert said_of(events) == ("approved: Go?", "/srv was NOT put back")
    act = msgspec.structs.replace(record(), verdict=None, said=said_of(events))
    for text in (render_text(act), render_html(act)):
        assert "/srv was NOT put back" in text
    assert "WHAT WAS SAID" not in render_text(record()) and "What was said" not in render_html(record())


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [name for name, _ in attrs]


def tags(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    return found


def with_text(text: str) -> Record:
    """The sample with `text` wherever a guest, a disk or a stick could have put it."""
    check = CheckResult(
        name=text, outcome=Outcome.WORSE, before=text, after=text, limit=text, why=text, fix=text
    )
    hostile = msgspec.structs.replace(
        verdict(good=False),
        checks=(check, msgspec.structs.replace(check, outcome=Outcome.NOT_TESTED)),
        packages=(PackageChange(name=text, before=text, after=text),),
        not_applied=(text,),
        kept_conffiles=(text,),
    )
    return msgspec.structs.replace(
        record(), title=text, failure=text, verdict=hostile, consoles=(Console(name=text, text=text),)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60)
    | st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=x>', "{{ 7*7 }}"])
)
def test_hostile_text_stays_text(text: str) -> None:
    plain, hostile = tags(render_html(with_text("words"))), tags(render_html(with_text(text)))
    assert not {"script", "img", "iframe", "link"} & set(hostile.seen)
    assert hostile.seen == plain.seen or not text.strip(), "no text adds or closes a tag"
    assert not [a for a in hostile.attributes if a.startswith("on")]
    for line in render_text(with_text(text)).split("\n"):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", line)


def test_the_page_fetches_nothing() -> None:
    page = render_html(record())
    assert not re.search(r"""(?:src|href)=|url\(|@import|<script""", page)


def test_pictures_are_in_the_page_and_only_those_of_the_run(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"pixels"
    folder = tmp_path / "run" / "rehearse-1"
    (folder / "screenshots").mkdir(parents=True)
    (folder / "screenshots" / "a.png").write_bytes(png)
    (folder / "screenshots" / "b.png").write_bytes(b"<svg>")
    (tmp_path / "secret.png").write_bytes(png)
    named = ("screenshots/a.png", "screenshots/b.png", "screenshots/gone.png", "../../secret.png")
    made = msgspec.structs.replace(record(), pictures=tuple(Picture(file=name) for name in named))
    page = write_record(made, folder).read_text()
    assert page.count("data:image/png;base64,") == 1
    assert base64.b64encode(png).decode() in page and "a.png" in page
    assert read_record(folder).pictures == made.pictures


def test_console_text_is_plain_and_bounded() -> None:
    found = console("twin", b"\x1b[31mred\x1b[0m\r\n\r\n\r\n50%\r100%\r\nbad \xff byte\n")
    assert found.text == "red\n\n100%\nbad \ufffd byte"
    long = console("twin", b"line\n" * (CONSOLE_LINES + 10))
    assert len(long.text.split("\n")) == CONSOLE_LINES + 1 and "earlier lines left out" in long.text


def test_events_become_steps_and_the_failure(tmp_path: Path) -> None:
    events = [
        RunStarted(title="t", steps=()),
        StepStarted(step="a", title="First", number=1, total=2),
        StepFinished(step="a", seconds=2.5),
        StepStarted(step="b", title="Second", number=2, total=2),
        Line(source="run", text="x"),
        Failed(code="SPACE-01", what="No room.", safe="All is well."),
    ]
    path = tmp_path / "events.jsonl"
    whole = b"".join(to_json(e) + b"\n" for e in events)
    path.write_bytes(whole + b'{"event":"lin')
    read = read_events(path)
    assert list(read) == events, "a torn last line is left out"
    assert [(s.title, s.seconds) for s in steps_of(read)] == [("First", 2.5), ("Second", -1.0)]
    assert failure_of(read) == "No room. (SPACE-01)"
    path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(DamagedData, match="line 1"):
        read_events(path)
    assert read_events(tmp_path / "none") == ()


def test_export_masks_every_kind_of_file_and_counts(tmp_path: Path) -> None:
    folder = tmp_path / "tb1"
    write_record(record(), folder)
    (folder / "act").mkdir()
    (folder / "act/events.jsonl").write_bytes(
        b'{"event":"line","text":"password=canary-one"}\n{"event":"line","password":"canary-two"}\n'
    )
    (folder / "console.log").write_bytes(b"token: canary-three\n")
    (folder / "broken.json").write_bytes(b'{"password": "canary-four"')
    (folder / "screen.png").write_bytes(b"\x89PNG\x00\x01")
    (folder / "link").symlink_to("/etc/shadow")
    exported = pack(parts_of(folder), tmp_path / "tb1.tar.gz", "tb1")
    assert sum(n for _, n in exported.masked) == 4
    assert exported.unread == ("screen.png",)
    with tarfile.open(exported.archive) as tar:
        members = {m.name: m for m in tar.getmembers()}
        assert "tb1/link" not in members and members["tb1/record.json"].mode == 0o600
        content = b"".join(tar.extractfile(m).read() for m in members.values())  # type: ignore[union-attr]
    assert b"canary" not in content and b"\x89PNG" in content
    assert not list(tmp_path.glob(".twinboot-*")), "no half archive stays"


def test_export_onto_a_full_medium_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    folder, medium = tmp_path / "tb1", tmp_path / "medium"
    folder.mkdir()
    medium.mkdir()
    (folder / "big.bin").write_bytes(bytes(range(256)) * 8192)
    if subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(medium)), check=False
    ).returncode:
        pytest.skip("needs root to mount a small file system")
    try:
        import os

        (folder / "random.bin").write_bytes(os.urandom(1 << 20))
        with pytest.raises(OutOfSpace):
            pack(parts_of(folder), medium / "x.tar.gz", "tb1")
        assert list(medium.iterdir()) == []
    finally:
        subprocess.run(("umount", str(medium)), check=True)
