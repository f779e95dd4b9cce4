"""What the patch wrote to data is told apart from what the services write at every boot."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.model.events import Event, Line
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow.rehearse import build_plan
from appliance.workflow.runner import Context
from appliance.workflow.steps import data
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_rehearse_plan import Lineage, machine

PLAN: Plan = build_plan(machine(), Request(verb=Verb.REHEARSE, emulate=True), Lineage())
STEP = PlannedStep(id="data", title="Remember")


class FrozenTwin:
    """A twin whose agent can freeze, or not."""

    def __init__(self, held: bool) -> None:
        self.held, self.acts = held, 0

    def while_frozen(self, act: Callable[[], None]) -> bool:
        act()
        self.acts += 1
        return self.held


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of mounts: one folder for each device, named by its last part."""

    @contextlib.contextmanager
    def mounted(host: object, device: str, fstype: str, at: Path) -> Iterator[Path]:
        place = tmp_path / "volumes" / Path(device).name
        place.mkdir(parents=True, exist_ok=True)
        yield place

    monkeypatch.setattr(data, "mounted", mounted)
    return tmp_path / "volumes"


def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool = True) -> tuple[FakeLvm, Ground]:
    """A run whose control boot is over, with its throw-away copy of /srv."""
    lvm = FakeLvm()
    for name in ("root", "srv"):
        lvm.add(name, 1 << 30, 4)
    ground = Ground(PLAN, Workplace(machine(), "tb1", tmp_path / "tb1", tmp_path / "run", tmp_path / "data"))
    for snapshot in ground.data_snapshots(SnapshotRole.DATA_WORK):
        ground.store(lvm).create(snapshot)
    twin = FrozenTwin(held)
    monkeypatch.setattr(data, "twin_of", lambda ctx, ground, part: twin)
    return lvm, ground


def context(lvm: FakeLvm, told: list[Event]) -> Context:
    return Context(lvm, told.append, threading.Event())


def test_the_base_is_taken_of_the_twins_own_volume_after_the_control_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lvm, ground = running(tmp_path, monkeypatch)
    lvm.write("srv-tb1-work", 9)  # a service, during the control boot
    step, told = data.RememberData(STEP, ground), list[Event]()
    assert not step.done(context(lvm, told))
    step.do(context(lvm, told))
    assert step.done(context(lvm, told))
    assert told == []
    lvm.write("srv-tb1-work", 10)  # the patch
    store = ground.store(lvm)
    assert (
        store.difference("srv", "srv-tb1-work").bytes == 2 * store.difference("srv", "srv-tb1-before").bytes
    )
    assert store.difference("srv-tb1-before", "srv-tb1-work").bytes > 0
    step.undo(context(lvm, told))
    step.undo(context(lvm, told))
    assert set(lvm.lvs) == {"root", "srv", "srv-tb1-work"}


def test_a_twin_that_cannot_be_frozen_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvm, ground = running(tmp_path, monkeypatch, held=False)
    told: list[Event] = []
    data.RememberData(STEP, ground).do(context(lvm, told))
    assert [e.level for e in told if isinstance(e, Line)] == ["warn"]


def test_only_what_was_written_since_is_named_and_the_base_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    lvm, ground = running(tmp_path, monkeypatch)
    data.RememberData(STEP, ground).do(context(lvm, []))
    before, after = folders / "vg0-srv--tb1--before", folders / "vg0-srv--tb1--work"
    for place in (before, after):
        (place / "ledger").mkdir(parents=True)
        (place / "ledger/service.log").write_text("written by the control boot's own service\n")
    (after / "ledger/data.v2").write_bytes(b"x" * 5000)
    (written,) = data.written_since(context(lvm, []), ground)
    assert (written.target, written.paths) == ("/srv", ("+/srv/ledger/data.v2",))
    assert written.bytes >= 5000
    assert "srv-tb1-before" not in lvm.lvs and "srv-tb1-work" in lvm.lvs


def test_services_alone_are_no_data_write_of_the_patch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    lvm, ground = running(tmp_path, monkeypatch)
    data.RememberData(STEP, ground).do(context(lvm, []))
    for name in ("vg0-srv--tb1--before", "vg0-srv--tb1--work"):
        (folders / name).mkdir(parents=True)
        (folders / name / "journal").write_text("at every boot")
    assert data.written_since(context(lvm, []), ground) == ()


def test_a_base_that_is_gone_is_an_error_and_no_clean_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    lvm, ground = running(tmp_path, monkeypatch)
    with pytest.raises(TwinFailed, match="does not exist"):
        data.written_since(context(lvm, []), ground)
