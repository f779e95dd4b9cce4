"""One engine at a time: a second one would undo the run that the first is at work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import engine
from appliance.engine.runs import Runs
from appliance.host.lock import locked
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
