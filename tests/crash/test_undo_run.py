"""The whole undo through the runner, cut at every write to the volumes: the next start finishes it."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import catalogue
from appliance.workflow.journal import Journal
from appliance.workflow.runner import Context, Outcome, execute, recover
from appliance.workflow.steps import retire, undo
from appliance.workflow.steps.ground import Ground
from appliance.workflow.undoing import build_plan
from appliance.workflow.workplace import Workplace
from tests.crash.lab import NEW_ROOT
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import (
    LOADER,
    OLD_ALWAYS,
    after,
    arm,
    boot_on,
    boots,
    installed,
    keep_on_the_metal,
    set_state,
)
from tests.crash.test_undo_cuts import is_as_installed
from tests.unit.workflow.test_retire_steps import PowerCut
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view
from tests.unit.workflow.test_undo import BootState, WithMount

LEFT = {"root", "srv"}


class Machine:
    """Disks of a machine with one armed run: volumes, the history's volume and /boot."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder = folder
        self.lvm = WithMount()
        self.lvm.at = folder / "run/state"
        for name in ("root", "srv"):
            self.lvm.add(name, 1 << 30, 4)
        self.lvm.add("twinboot-state", 64 << 20, 1)
        tags = frozenset({"twinboot", "twinboot.role=state"})
        self.lvm.lvs["twinboot-state"] = dataclasses.replace(self.lvm.lvs["twinboot-state"], tags=tags)
        self.boot, self.disk = boot_on(place)
        self.plan = self._plan()
        self.work = Workplace(FOUND, "tb1", self.lvm.at / "runs/tb1", folder / "run", folder / "data")
        ground = Ground(self.plan, self.work)
        for role in (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL):
            ground.store(self.lvm).create(ground.snapshot(role))
        for safety in ground.data_snapshots(SnapshotRole.SAFETY):
            ground.store(self.lvm).create(safety)
        # Armed, and left up by an engine that was killed while it looked at it.
        ground.store(self.lvm).show(ground.snapshot(SnapshotRole.TRIAL))
        ground.store(self.lvm).activate(ground.snapshot(SnapshotRole.TRIAL))

    def _plan(self) -> Plan:
        made = replace(FOUND, volume_groups=(group(*run_volumes("tb1"), ("root-tb1-work", "tb1", "work")),))
        lineage = Lineage(nodes=(Node(volume="root-tb1", state=State.ARMED, run="tb1"),))
        return build_plan(made, Request(verb=Verb.UNDO), lineage, view(BootState.ARMED))

    def begin(self, approved: bool = True) -> tuple[tuple[object, ...], Journal, Context]:
        journal = Journal.open(self.lvm.at / "runs/tb1/undo-1/journal.jsonl")
        if approved and not journal.records:
            journal.add("approved", "confirm")
        steps = catalogue.steps(self.plan, self.work)
        return steps, journal, Context(self.lvm, lambda event: None, threading.Event())

    def start_again(self) -> None:
        """Power comes back: memory is gone, the history's volume is mounted where it is still there."""
        aside = self.lvm.at.parent / "unmounted"
        if aside.exists():
            shutil.rmtree(self.lvm.at / "runs", ignore_errors=True)
            if "twinboot-state" in self.lvm.lvs:
                aside.rename(self.lvm.at / "runs")
        self.boot, self.disk = boot_on(self.disk.live)
        self.lvm.left = 10**6


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Machine]]:
    """`machine[0]` is the one whose /boot the steps find."""
    here: list[Machine] = []

    @contextlib.contextmanager
    def mounted(host: object, ground: object) -> Iterator[Boot]:
        yield here[0].boot

    monkeypatch.setattr(undo, "machine_boot", mounted)
    for module in (undo, retire):
        monkeypatch.setattr(module, "open_boot", lambda host, place: here[0].boot)
        monkeypatch.setattr(module, "loader_of", lambda ground, host: LOADER)
    monkeypatch.setattr(undo, "owned_by_installed", lambda host, ground: tuple(installed().names))
    yield here


def test_nothing_happens_before_it_is_approved(machine: list[Machine], tmp_path: Path) -> None:
    machine.append(Machine(tmp_path, after(tmp_path, arm)))
    before = set(machine[0].lvm.lvs)
    steps, journal, ctx = machine[0].begin(approved=False)
    assert execute(steps, journal, ctx) is Outcome.WAITING  # type: ignore[arg-type]
    assert set(machine[0].lvm.lvs) == before and not is_as_installed(machine[0].disk.live)


def test_cut_at_every_write_the_next_start_finishes_it(machine: list[Machine], tmp_path: Path) -> None:
    for cut in range(40):
        here = tmp_path / str(cut)
        machine[:] = [Machine(here, after(here, arm))]
        disks, finished = machine[0], False
        steps, journal, ctx = disks.begin()
        disks.lvm.left = cut
        try:
            assert execute(steps, journal, ctx) is Outcome.DONE  # type: ignore[arg-type]
            finished = True
        except PowerCut:
            disks.start_again()
            if "twinboot-state" in disks.lvm.lvs:
                steps, journal, ctx = disks.begin()
                recover(steps, journal, ctx)  # type: ignore[arg-type]
        assert set(disks.lvm.lvs) == LEFT, f"cut at write {cut}: {sorted(disks.lvm.lvs)}"
        assert is_as_installed(disks.disk.live), f"cut at write {cut}"
        assert boots(disks.disk.live) == OLD_ALWAYS, f"cut at write {cut}"
        if finished:
            assert cut >= 8, "every deletion is a write of its own"
            return
    raise AssertionError("forty writes were not enough")


def test_a_volume_the_machine_boots_from_is_not_deleted_whatever_the_plan_names(
    machine: list[Machine], tmp_path: Path
) -> None:
    """Kept since the plan was made, and the sector damaged since: grub.cfg's own default is the kept root."""
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    for inode, data in place.inodes.items():
        place.inodes[inode] = data.replace(NEW_ROOT.encode(), b"/dev/mapper/vg0-root--tb1")
    machine[:] = [Machine(tmp_path, place)]
    machine[0].disk.write_sector(SECTOR_PATH, b"damaged".ljust(env.SECTOR, b"#"))
    steps, journal, ctx = machine[0].begin()
    with pytest.raises(Refused, match="tb1 is what this machine boots"):
        execute(steps, journal, ctx)  # type: ignore[arg-type]
    assert "root-tb1" in machine[0].lvm.lvs
