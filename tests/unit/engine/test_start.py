"""The engine's start: one at a time, and what its recovery meets is said."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from appliance import engine
from appliance.engine.bus import Bus
from appliance.engine.runs import Runs
from appliance.errors import Busy
from appliance.host.lock import locked
from appliance.model.events import Line
from appliance.workflow.places import Places


def test_a_second_engine_touches_neither_the_run_nor_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    socket = tmp_path / "engine.sock"
    socket.write_text("the first engine's")
    monkeypatch.setenv("TWINBOOT_SOCKET", str(socket))
    monkeypatch.setattr(engine, "Places", lambda: Places(tmp_path))

    def never(*_: object) -> None:
        raise AssertionError("the first engine is at work")

    monkeypatch.setattr(Runs, "recover_unfinished", never)
    monkeypatch.setattr(engine.asyncio, "run", never)
    with locked(tmp_path / "engine.lock", "The engine"):
        assert engine.main() == 4
    assert "The engine is at work" in capsys.readouterr().err
    assert socket.read_text() == "the first engine's"


def test_a_recovery_that_meets_a_broken_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine serves all the same; nobody may take the silence for a machine at rest."""
    bus = Bus()

    def broken(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/run/twinboot/state/runs/tb1/promote-1")

    def serve(opened: threading.Event) -> None:
        opened.set()
        for thread in threading.enumerate():
            if thread.name == "begin":
                thread.join(10)

    monkeypatch.setattr(engine, "Places", lambda: Places(tmp_path))
    monkeypatch.setattr(engine, "Bus", lambda: bus)
    monkeypatch.setattr(engine.Desk, "machine", lambda desk: None)
    monkeypatch.setattr(engine, "_serve", lambda server, opened: opened)
    monkeypatch.setattr(Runs, "recover_unfinished", broken)
    monkeypatch.setattr(engine.asyncio, "run", serve)
    assert engine.main() == 0
    (said,) = [e for e in bus.kept() if isinstance(e, Line) and e.level == "error"]
    assert "Read-only file system" in said.text


def test_nothing_is_started_before_what_was_cut_short_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan file sent in the first second would be taken for what the last start left, and undone."""
    found: list[Runs] = []
    said: list[str] = []

    def recovering(runs: Runs, machine: object) -> None:
        found.append(runs)
        try:
            runs.start(None, None)  # type: ignore[arg-type]
        except Busy as error:
            said.append(error.what)

    def serve(opened: threading.Event) -> None:
        opened.set()
        for thread in threading.enumerate():
            if thread.name == "begin":
                thread.join(10)

    monkeypatch.setattr(engine, "Places", lambda: Places(tmp_path))
    monkeypatch.setattr(engine.Desk, "machine", lambda desk: None)
    monkeypatch.setattr(engine, "_serve", lambda server, opened: opened)
    monkeypatch.setattr(Runs, "recover_unfinished", recovering)
    monkeypatch.setattr("appliance.engine.runs.RECOVERY_WAIT", 0.05)
    monkeypatch.setattr(engine.Unattended, "run", lambda unattended: None)
    monkeypatch.setattr(engine.asyncio, "run", serve)
    assert engine.main() == 0
    assert len(said) == 1 and "earlier" in said[0]
    assert len(found) == 1 and found[0].recovered.is_set()
