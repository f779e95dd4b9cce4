"""Plan files and lists of wanted packages on a stick that stops answering, or breaks half-way."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, ExportFailed
from appliance.model.lineage import Lineage
from appliance.model.plan import Request, Verb
from appliance.model.service_messages import SavePlanFile, WriteWanted
from appliance.report import deliver
from appliance.workflow.plan_files import save_plan_file
from appliance.workflow.wanted import write_wanted
from tests.unit.workflow.test_rehearse_plan import machine
from tests.unit.workflow.test_wanted import APT


def a_plan(stick: Path) -> object:
    request = Request(verb=Verb.REHEARSE)
    return save_plan_file(stick, machine(), SavePlanFile(name="june", request=request), request)


def a_list(stick: Path) -> object:
    return write_wanted(stick, machine(), Lineage(nodes=()), WriteWanted(system=""), lambda *_: APT)


WRITERS = [(a_plan, "plan file"), (a_list, "list of wanted packages")]


@pytest.mark.parametrize(("write", "what"), WRITERS)
def test_one_that_stops_answering_is_one_clear_error_and_gets_no_file_when_it_wakes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object], what: str
) -> None:
    real, clear = os.fsync, deliver._clear
    back, ended = threading.Event(), threading.Event()

    def stuck(fd: int) -> None:
        back.wait(30)
        real(fd)

    def cleared(begun: Sequence[Path], made: Sequence[Path]) -> None:
        clear(begun, made)
        ended.set()

    monkeypatch.setattr(os, "fsync", stuck)
    monkeypatch.setattr(deliver, "_clear", cleared)
    monkeypatch.setattr(deliver, "STALLED", 0.2)
    with pytest.raises(ExportFailed, match="does not answer: nothing was written to it for") as said:
        write(tmp_path)
    assert said.value.safe == f"The {what} was not written. Files that end in .part may be left."
    assert "another stick" in said.value.next_actions[0]
    back.set()
    assert ended.wait(30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("write", "what"), WRITERS)
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(errno.ENOSPC, "SPACE-01", "KiB free"), (errno.EIO, "EXPORT-01", "Input/output error")],
)
def test_one_that_breaks_keeps_nothing_half_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
    words: str,
    write: Callable[[Path], object],
    what: str,
) -> None:
    def breaks(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", breaks)
    with pytest.raises(ApplianceError) as said:
        write(tmp_path)
    assert said.value.code == code and words in said.value.what and what in said.value.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("write", "what"), WRITERS)
def test_what_is_there_already_is_whole_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object], what: str
) -> None:
    write(tmp_path)
    (there,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    before = there.read_bytes()

    def breaks(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", breaks)
    with pytest.raises(ApplianceError):
        write(tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [there] and there.read_bytes() == before
