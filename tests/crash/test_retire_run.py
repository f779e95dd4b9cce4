"""The whole retire of a kept run through the runner: cut at every write, or on a machine that has changed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.host.run import Command, Output
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import catalogue
from appliance.workflow.journal import Journal
from appliance.workflow.promote import build_plan
from appliance.workflow.runner import Context, Outcome, Step, execute, recover
from appliance.workflow.steps import retire
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT, wanted
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import (
    LOADER,
    OLD_ALWAYS,
    arm,
    boot_on,
    boots,
    installed,
    keep_on_the_metal,
    set_state,
)
from tests.unit.workflow.test_promote_plan import GOOD, REHEARSED
from tests.unit.workflow.test_retire_steps import Cut, PowerCut
from tests.unit.workflow.test_retirement import FOUND, group, view

MADE = (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL)


TRIAL = "/dev/mapper/vg0-root--tb1"


FIRST_NAME = (f"kernel {NEW} with root {OLD_ROOT}",) * 3


class WithMount(Cut):
    """Mounting a volume of the machine is no write to it."""

    def run(self, command: Command) -> Output:
        return Output(0, "") if command.argv[0] in ("mount", "umount") else super().run(command)


class Machine:
    """Disks of a machine that keeps tb1: its volumes and its /boot."""

    def __init__(self, folder: Path, place: Place, state: BootState = BootState.KEPT) -> None:
        self.folder = folder
        self.lvm = WithMount()
        for name in ("root", "srv"):
            self.lvm.add(name, 1 << 30, 4)
        self.boot, self.disk = boot_on(place)
        self.plan = self.planned(state)
        self.work = Workplace(FOUND, "tb1", folder / "state/tb1", folder / "run", folder / "data")
        ground = Ground(self.plan, self.work)
        for role in MADE:
            ground.store(self.lvm).create(ground.snapshot(role))
        for safety in ground.data_snapshots(SnapshotRole.SAFETY):
            ground.store(self.lvm).create(safety)

    def planned(self, state: BootState) -> Plan:
        node = Node(volume="root-tb1", state=State.KEPT, run="tb1")
        request = Request(verb=Verb.RETIRE, run="tb1")
        roles = {"-base": "base", "-work": "work", "-sealed": "sealed", "": "trial"}
        made = [(f"root-tb1{ending}", "tb1", role) for ending, role in roles.items()]
        found = replace(FOUND, volume_groups=(group(*made, ("srv-tb1-safety", "tb1", "safety")),))
        return build_plan(found, request, Lineage(nodes=(node,)), REHEARSED, GOOD, view(state), LOADER, ())

    def begin(self) -> tuple[tuple[Step, ...], Journal, Context]:
        journal = Journal.open(self.folder / "journal.jsonl")
        if not journal.records:
            journal.add("approved", "confirm")
        steps = catalogue.steps(self.plan, self.work)
        return steps, journal, Context(self.lvm, lambda event: None, threading.Event())

    def start_again(self) -> None:
        self.boot, self.disk = boot_on(self.disk.live)
        self.lvm.left = 10**6


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """`machine[0]` is the one whose /boot the steps find. Its loader knows the kept root as root-tb1."""
    here: list[Machine] = []
    find_boot_of(monkeypatch, here)
    return here


def find_boot_of(monkeypatch: pytest.MonkeyPatch, here: Sequence[Machine]) -> None:
    """The steps of a retire find the /boot of `here[0]`, whatever that is by then."""

    @contextlib.contextmanager
    def mounted(host: object, ground: object) -> Iterator[Boot]:
        yield here[0].boot

    monkeypatch.setattr(retire, "machine_boot", mounted)
    monkeypatch.setattr(retire, "open_boot", lambda host, place: here[0].boot)
    monkeypatch.setattr(retire, "loader_of", lambda ground, host: LOADER)


def kept(folder: Path) -> Place:
    """/boot with tb1 kept, whose root bears the name that the plan gives it."""
    boot, disk = boot_on(installed())
    LOADER.stage(boot, replace(wanted(folder / "new"), root=TRIAL))
    for act in (arm, set_state(BootState.TRIAL), keep_on_the_metal):
        act(boot)
    place = disk.live
    for inode, data in place.inodes.items():
        place.inodes[inode] = data.replace(NEW_ROOT.encode(), TRIAL.encode())  # in grub.cfg
    return place


def rolled_back(boot: Boot) -> None:
    LOADER.roll_back(boot, "tb1")


def test_a_cut_while_it_deletes_is_gone_on_with_by_the_next_start(
    machine: list[Machine], tmp_path: Path
) -> None:
    place = kept(tmp_path)
    for cut in range(40):
        machine[:] = [Machine(tmp_path / str(cut), place)]
        disks = machine[0]
        disks.lvm.left, finished = cut, False
        try:
            finished = execute(*disks.begin()) is Outcome.DONE
        except PowerCut:
            begun = bool(disks.lvm.lvs["root"].tags) if "root" in disks.lvm.lvs else True
            disks.start_again()
            outcome = recover(*disks.begin())
            assert outcome is (Outcome.DONE if begun else Outcome.ROLLED_BACK), f"cut at write {cut}"
            if not begun:
                continue
        assert set(disks.lvm.lvs) == {"root", "srv"}, f"cut at write {cut}"
        assert disks.lvm.lvs["root"].tags == frozenset(), f"cut at write {cut}"
        assert boots(disks.disk.live) == FIRST_NAME, f"cut at write {cut}"
        if finished:
            assert cut > 6
            return
    raise AssertionError("forty writes were not enough")


def test_a_plan_of_before_a_roll_back_deletes_nothing(machine: list[Machine], tmp_path: Path) -> None:
    """Approved at a gate that waited, or carried out from a plan file: the old system runs again by now."""
    machine[:] = [Machine(tmp_path, kept(tmp_path))]
    disks = machine[0]
    rolled_back(disks.boot)
    before = dict(disks.lvm.lvs)
    with pytest.raises(Refused, match="tb1"):
        execute(*disks.begin())
    assert {n: lv.tags for n, lv in disks.lvm.lvs.items()} == {n: lv.tags for n, lv in before.items()}
    assert boots(disks.disk.live) == OLD_ALWAYS


def test_no_volume_is_renamed_while_the_loader_does_not_boot_by_uuid(
    machine: list[Machine], tmp_path: Path
) -> None:
    """A damaged sector leaves grub.cfg's default in force, which names the volume as it is called now; with
    the run's record damaged as well nothing says whose it is."""
    machine[:] = [Machine(tmp_path, kept(tmp_path))]
    disks = machine[0]
    disks.boot.disk.create("twinboot/tb1/manifest.json", b"{")
    disks.boot.disk.settle()
    disks.boot.disk.write_sector(SECTOR_PATH, b"damaged".ljust(env.SECTOR, b"#"))
    with pytest.raises(Refused):
        execute(*disks.begin())
    assert "root-tb1" in disks.lvm.lvs
    assert boots(disks.disk.live) == (f"kernel {NEW} with root {TRIAL}",) * 3


def test_a_damaged_sector_is_written_anew_before_a_volume_is_renamed(
    machine: list[Machine], tmp_path: Path
) -> None:
    machine[:] = [Machine(tmp_path, kept(tmp_path))]
    disks = machine[0]
    disks.boot.disk.write_sector(SECTOR_PATH, b"damaged".ljust(env.SECTOR, b"#"))
    assert execute(*disks.begin()) is Outcome.DONE
    assert set(disks.lvm.lvs) == {"root", "srv"}
    assert boots(disks.disk.live) == FIRST_NAME
