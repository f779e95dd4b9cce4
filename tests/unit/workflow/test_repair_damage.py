"""A copy of a damaged file system: what is read where, and what could not be compared is said."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from appliance.errors import DamagedData
from appliance.model.plan import Plan, RepairKind, Request, Verb
from appliance.model.verdict import ChangeKind
from appliance.volumes.base import SnapshotRole
from appliance.workflow.rehearse import build_plan
from appliance.workflow.steps import verdict
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.twins import _as_it_was
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.test_rehearse_plan import Lineage
from tests.unit.workflow.test_repair_plan import broken, plan


def ground(made: Plan, folder: Path) -> Ground:
    return Ground(made, Workplace(broken(), "tb1", folder, folder / "run", folder / "data"))


def test_run_time_state_is_read_where_the_file_system_is_whole(tmp_path: Path) -> None:
    assert _as_it_was(ground(plan(RepairKind.FSCK), tmp_path)) is SnapshotRole.WORK
    assert _as_it_was(ground(plan(RepairKind.INITRD), tmp_path)) is SnapshotRole.BASE


CLEANING = OSError(errno.EUCLEAN, "Structure needs cleaning")


def unreadable(folder: str) -> DamagedData:
    """As the walk through both trees says it."""
    return DamagedData(f"{folder} cannot be read: Bad message.")


def _files(here: Ground, monkeypatch: pytest.MonkeyPatch, error: Exception = CLEANING) -> object:
    """What ReachVerdict finds where the comparison ends with `error`."""

    def damaged(*_: object) -> None:
        raise error

    monkeypatch.setattr(verdict, "changed_files", damaged)
    step = verdict.ReachVerdict(here.whole.steps[-1], here)
    known = verdict.Remembered.of(here.work)
    scratch = here.work.scratch
    return step._changed_files(scratch / "base", scratch / "sealed", known)


def test_files_that_could_not_be_compared_are_said_and_do_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, configs = _files(ground(plan(RepairKind.FSCK), tmp_path), monkeypatch)  # type: ignore[misc]
    assert configs == ()
    (said,) = files
    assert (said.path, said.kind) == ("(NOT COMPARED)", ChangeKind.UNEXPLAINED)
    assert "Structure needs cleaning" in said.by


def test_a_folder_of_the_original_that_does_not_read_is_named_and_one_of_the_mended_copy_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ground(plan(RepairKind.FSCK), tmp_path)
    base, sealed = (unreadable(f"{here.work.scratch}/{at}/usr/share/doc") for at in ("base", "sealed"))
    ((said,), _) = _files(here, monkeypatch, base)  # type: ignore[misc]
    assert "(/usr/share/doc cannot be read: Bad message): no file was compared" in said.by
    with pytest.raises(DamagedData, match="sealed/usr/share/doc"):
        _files(here, monkeypatch, sealed)


def test_in_a_rehearsal_the_same_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed = build_plan(broken(), Request(verb=Verb.REHEARSE), Lineage())
    with pytest.raises(OSError, match="Structure needs cleaning"):
        _files(ground(rehearsed, tmp_path), monkeypatch)
