"""Export: everything of a run arrives without its secrets, or nothing stays and one sentence says why."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appliance.engine.bus import Bus
from appliance.engine.services import Services
from appliance.errors import ApplianceError, ExportFailed, OutOfSpace, ProbeFailed, Refused
from appliance.host.run import Command, Output, RealHost
from appliance.model import service_messages as s
from appliance.model.events import AnyEvent, Line, RunStarted
from appliance.model.machine import Machine
from appliance.report import deliver
from appliance.report.record import write_record
from appliance.workflow.export import Exporter
from appliance.workflow.places import Places
from tests.unit.report.samples import record

MACHINE = record().machine
CANARY = "hunter2hunter2"
EVENTS: tuple[AnyEvent, ...] = (
    RunStarted(run="tb1", title="Rehearsal tb1", steps=(), at=1.0, seq=1),
    Line(source="log", text=f"curl -u admin:{CANARY} http://repo/", at=2.0, seq=2),
)


class Mounted(Places):
    """A history that is there without a volume under it."""

    def mount(self, host: object, machine: object) -> bool:
        return True


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """One run with a rehearsal, a secret on its console, and a serial log still in memory; a stick."""
    places = Mounted(tmp_path / "run", tmp_path / "stick")
    act = places.runs / "tb1/rehearse-1"
    write_record(record(), act)
    (act / "boot-before/grub").mkdir(parents=True)
    (act / "boot-before/grub/grub.cfg").write_text("menuentry 'Debian' {}\n")
    memory = places.runtime / "tb1/work"
    memory.mkdir(parents=True)
    (memory / "console.log").write_text(f"login: root\nPassword: {CANARY}\n")
    (memory / "screen.png").write_bytes(b"\x89PNG\x00\x01")
    (memory / "disk.img").write_bytes(b"not for export")
    (places.data / "reports").mkdir(parents=True)
    return places


class Told(list[tuple[str, int, int, str]]):
    def __call__(self, *words: object) -> None:
        self.append(words)  # type: ignore[arg-type]


def exporter(places: Places, stick: bool = True) -> Exporter:
    return Exporter(RealHost(), places, lambda _: stick)


def test_the_whole_record_is_on_the_stick_and_says_what_it_hid(places: Places) -> None:
    told = Told()
    done = exporter(places).export(MACHINE, "tb1", "stick", EVENTS, told)
    folder = places.data / f"reports/{MACHINE.identity}-tb1"
    assert done.where == str(folder)
    archive = folder / done.file
    assert (archive.stat().st_size, sum(n for _, n in done.masked)) == (done.size, 3)
    assert done.unread == ("memory/work/screen.png",)
    with tarfile.open(archive) as tar:
        stem = done.file.removesuffix(".tar.gz")
        content = {m.name.removeprefix(f"{stem}/"): tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert {
        "machine.json", "log.txt", "log.jsonl", "memory/work/console.log", "memory/work/screen.png",
        "rehearse-1/report.html", "rehearse-1/record.json", "rehearse-1/console-control-boot.txt",
        "rehearse-1/boot-before/grub/grub.cfg",
    } <= set(content)  # fmt: skip
    assert "memory/work/disk.img" not in content and len(content) == done.files
    assert CANARY.encode() not in b"".join(content.values())
    assert b"tb1 started: Rehearsal tb1" in content["log.txt"]
    assert {p.name for p in (folder / "rehearse-1").iterdir()} == {"report.html", "report.txt"}
    assert told[-1][0] == "writing" and told[-1][1] == told[-1][2]
    assert not (places.runtime / "export").exists()
    assert not list(places.data.rglob(".*"))


def test_without_a_run_machine_and_log_go_alone(places: Places, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = exporter(places, stick=False).export(MACHINE, "", str(out), EVENTS, Told())
    assert (done.files, done.where) == (3, str(out / f"{MACHINE.identity}-log"))
    assert [p.name for p in Path(done.where).iterdir()] == [done.file]


def test_a_machine_that_does_not_read_still_gives_its_log_and_a_shell(places: Places, tmp_path: Path) -> None:
    host = RealHost()
    services = Services(host, bus := Bus(), places, exporter(places, stick=False))
    bus.publish(Line(source="log", level="error", text="PROBE-01 The disks do not answer."))

    def unread() -> Machine:
        raise ProbeFailed("The disks do not answer.")

    out = tmp_path / "out"
    out.mkdir()
    done = services.handle(s.Export(to=str(out)), unread)
    assert isinstance(done, s.Exported)
    with tarfile.open(Path(done.where) / done.file) as tar:
        names = [Path(name).name for name in tar.getnames()]
    assert names == ["log.txt", "log.jsonl"] and Path(done.where).name == "machine-log"
    with pytest.raises(Refused, match="could not be read"):
        services.handle(s.Export(run="tb1", to=str(out)), unread)
    assert isinstance(services.handle(s.OpenShell(client="tty1"), unread), s.ShellReady)


def test_two_terminals_do_not_export_into_each_other(places: Places, tmp_path: Path) -> None:
    services = Services(RealHost(), Bus(), places, exporter(places))
    second: list[ApplianceError] = []

    def tell(text: str) -> None:
        try:
            services.export(MACHINE, "tb1", "stick")
        except ApplianceError as error:
            second.append(error)

    services.bus.follow(0, lambda event: tell("") if not second else None)
    assert services.export(MACHINE, "tb1", "stick").files > 5
    assert [error.what for error in second] == ["Another terminal is exporting."]


@pytest.mark.parametrize(
    ("run", "to", "said"),
    [
        ("tb9", "stick", "no run tb9"),
        ("../tb1", "stick", "no run ../tb1"),
        ("tb1", "ftp://server/x", "must begin with http:// or https://"),
        ("tb1", "somewhere", '"somewhere" is no place to export to'),
        ("tb1", "http://", "names no server"),
        ("tb1", "http://server:99999/", "malformed"),
        ("tb1", 'http://server/"\nupload-file = "/etc/shadow', "blanks, quotes or control characters"),
    ],
)
def test_a_wrong_run_or_place_is_refused_before_anything_is_packed(
    places: Places, run: str, to: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        exporter(places).export(MACHINE, run, to, EVENTS, told := Told())
    assert said in " ".join(refused.value.reasons)
    assert told == [] and list((places.data / "reports").iterdir()) == []


def failing(places: Places, to: str = "stick", stick: bool = True) -> ApplianceError:
    with pytest.raises((ExportFailed, OutOfSpace)) as failed:
        exporter(places, stick).export(MACHINE, "tb1", to, EVENTS, Told())
    assert len(failed.value.next_actions) >= 2 and "Nothing half-written" in failed.value.safe
    assert list((places.data / "reports").iterdir()) == [], "nothing half-written stays"
    assert not (places.runtime / "export").exists()
    return failed.value


def test_without_a_stick_two_other_ways_are_named(places: Places) -> None:
    failed = failing(places, stick=False)
    assert (failed.code, "There is no stick" in failed.what) == ("EXPORT-01", True)
    assert "--to http://" in failed.next_actions[0]


def test_a_read_only_stick_and_a_full_one_are_found_before_the_first_byte(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def locked(path: Path) -> os.statvfs_result:
        values = list(real(path))
        values[8] |= os.ST_RDONLY
        return os.statvfs_result(values)

    def full(path: Path) -> os.statvfs_result:
        values = list(real(path))
        values[4] = 1  # f_bavail
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", locked)
    assert "is read-only" in failing(places).what
    monkeypatch.setattr(os, "statvfs", full)
    failed = failing(places)
    assert (failed.code, "KiB free" in failed.what) == ("SPACE-01", True)


def test_a_stick_without_our_folder_that_takes_none_is_one_clear_error(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.data / "reports").rmdir()

    def no(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    scratch = places.runtime / "export"
    real = Path.mkdir
    monkeypatch.setattr(
        Path, "mkdir", lambda self, *a, **k: real(self, *a, **k) if self == scratch else no(self)
    )
    with pytest.raises(ExportFailed, match="Read-only"):
        exporter(places).export(MACHINE, "tb1", "stick", EVENTS, Told())


@pytest.mark.parametrize(("number", "said"), [(28, "KiB free"), (5, "Input/output error"), (30, "Read-only")])
def test_a_stick_that_fails_half_way_is_left_without_our_half_files(
    places: Places, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    real = os.fsync
    writes = iter(range(100))

    def breaks(fd: int) -> None:
        if "/stick/" in os.readlink(f"/proc/self/fd/{fd}") and next(writes) == 2:
            raise OSError(number, os.strerror(number))
        real(fd)

    monkeypatch.setattr(os, "fsync", breaks)
    assert said in failing(places).what


def test_a_stick_that_stops_answering_is_one_clear_error_and_what_wakes_up_later_writes_no_more(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that waits for a dead device: nothing of it comes back until the device does."""
    real, back, ended = os.fsync, threading.Event(), threading.Event()
    asleep = list[int]()

    def stuck(fd: int) -> None:
        if "/stick/" in os.readlink(f"/proc/self/fd/{fd}"):
            asleep.append(fd)
            back.wait(30)
        real(fd)

    clear = deliver._clear

    def cleared(begun: Sequence[Path], made: Sequence[Path]) -> None:
        clear(begun, made)
        ended.set()

    monkeypatch.setattr(os, "fsync", stuck)
    monkeypatch.setattr(deliver, "_clear", cleared)
    monkeypatch.setattr(deliver, "STALLED", 0.2)
    with pytest.raises(ExportFailed, match="does not answer: nothing was written to it for") as said:
        exporter(places).export(MACHINE, "tb1", "stick", EVENTS, Told())
    assert ".part may be left" in said.value.safe and "another stick" in said.value.next_actions[0]
    back.set()
    assert ended.wait(30) and len(asleep) == 1
    assert not [p for p in (places.data / "reports").rglob("*") if p.is_file()]


class Shelf(BaseHTTPRequestHandler):
    """Takes what is PUT, or answers with the status in the path."""

    got: dict[str, bytes] = {}  # noqa: RUF012
    authorised = ""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).authorised = self.headers.get("Authorization", "")
        status = int(self.path.strip("/").split("/")[0])
        if status == 201:
            type(self).got[self.path] = body
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    shelf = HTTPServer(("127.0.0.1", 0), Shelf)
    threading.Thread(target=shelf.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{shelf.server_port}"
    shelf.shutdown()


def test_an_address_gets_the_archive_and_no_log_gets_its_password(places: Places, server: str) -> None:
    commands: list[str] = []

    def log(command: Command, output: Output, seconds: float) -> None:
        commands.append(f"{command} {output.stdout} {output.stderr}")

    export = replace(exporter(places), host=RealHost(log))
    done = export.export(MACHINE, "tb1", f"http://me:{CANARY}@{server}/201/in/", EVENTS, Told())
    assert done.where == f"http://{server}/201/in/{done.file}"
    assert {k: len(v) for k, v in Shelf.got.items()} == {f"/201/in/{done.file}": done.size}
    assert Shelf.authorised.startswith("Basic ")
    assert CANARY not in " ".join(commands)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("403", "answered 403 (it does not allow this)"),
        ("507", "answered 507 (it has no room)"),
        ("302", "moved"),
    ],
)
def test_what_the_server_says_no_with_is_said(places: Places, server: str, path: str, said: str) -> None:
    failed = failing(places, f"http://{server}/{path}/x")
    assert failed.code == "EXPORT-01" and said in failed.what


def test_an_address_where_nobody_answers_is_said_without_its_password(places: Places) -> None:
    failed = failing(places, f"http://me:{CANARY}@127.0.0.1:9/")
    assert "nobody answers there" in failed.what and CANARY not in failed.what


def test_every_word_about_curl_is_a_sentence_part() -> None:
    assert all(words and not words.endswith(".") for words in deliver.CURL_SAYS.values())
