"""Roll back with data, cut at every write: whichever system boots finds whole data, and nothing is lost.

After each cut there are two stories: the appliance starts next, or the machine starts from its disk first and
writes to its data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.model.events import Event, Line
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes.base import Difference, SnapshotRole
from appliance.volumes.lvm_thin import LvmThinStore
from appliance.workflow import catalogue, promote
from appliance.workflow.journal import Journal
from appliance.workflow.runner import Context, execute, recover
from appliance.workflow.steps import boot as boot_steps
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.crash import modeldisk
from tests.crash.test_cuts import (
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    after,
    arm,
    boot_on,
    boots,
    cuts,
    keep_on_the_metal,
    set_state,
)
from tests.unit.workflow.test_promote_plan import GOOD, REHEARSED
from tests.unit.workflow.test_retire_steps import Cut, PowerCut
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view

CUTS = (PowerCut, modeldisk.PowerCut)
SINCE = 40
"""A block of /srv that only the machine writes, when it starts between a cut and the appliance."""


class Machine:
    """A kept run whose system has written to /srv, and the roll back of system and data."""

    def __init__(self, folder: Path, place: modeldisk.Place) -> None:
        self.lvm = Cut()
        for name in ("root", "srv"):
            self.lvm.add(name, 1 << 30, 4)
        self.boot, self.disk = boot_on(place)
        self.plan = rollback_plan(LOADER.view(self.boot).state)
        self.folder, self.told = folder, list[Event]()
        self.work = Workplace(FOUND, "tb1", folder / "runs/tb1", folder / "run", folder / "data")
        ground = Ground(self.plan, self.work)
        store = ground.store(self.lvm)
        for role in (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL):
            store.create(ground.snapshot(role))
        (data,) = ground.data_to_put_back()
        store.create(data.safety)
        self.before = self.lvm.read("srv")
        self.lvm.write("srv", 2)
        self.now = self.lvm.read("srv")

    def begin(self) -> tuple[tuple[object, ...], Journal, Context]:
        journal = Journal.open(self.folder / "runs/tb1/rollback-1/journal.jsonl")
        if not journal.records:
            journal.add("approved", "confirm")
        steps = catalogue.steps(self.plan, self.work)
        return steps, journal, Context(self.lvm, self.told.append, threading.Event())

    def power_comes_back(self) -> None:
        self.boot, self.disk = boot_on(self.disk.live)
        self.lvm.left, self.lvm.pool_active = 10**6, False
        for name, lv in self.lvm.lvs.items():
            self.lvm.lvs[name] = dataclasses.replace(lv, active=False)

    def starts_from_its_disk(self) -> None:
        """The loader starts one of the two systems, which mounts /srv and writes to it."""
        assert boots(self.disk.live) in (OLD_ALWAYS, NEW_ALWAYS)
        srv = self.lvm.lvs["srv"]
        assert srv.writable and not srv.skip and not srv.tags
        assert all(lv.skip for lv in self.lvm.lvs.values() if lv.origin == "srv" or "srv-" in lv.name)
        self.lvm.write("srv", SINCE)

    @property
    def rolled_back(self) -> bool:
        return LOADER.view(self.boot).state is BootState.ROLLED_BACK

    def content(self, name: str) -> dict[int, int]:
        """Without what the machine wrote when it started in between."""
        return {block: value for block, value in self.lvm.read(name).items() if block != SINCE}

    def warned(self) -> bool:
        lines = [e for e in self.told if isinstance(e, Line) and e.level == "warn"]
        return any("/srv was NOT put back" in e.text for e in lines)


def rollback_plan(state: BootState = BootState.KEPT) -> Plan:
    found = replace(FOUND, volume_groups=(group(*run_volumes("tb1")),))
    lineage = Lineage(nodes=(Node(volume="root-tb1", state=State.KEPT, run="tb1"),))
    request = Request(verb=Verb.ROLLBACK, run="tb1", with_data=True)
    return promote.build_plan(found, request, lineage, REHEARSED, GOOD, view(state), LOADER, ())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Machine]]:
    """Makes a fresh machine, whose /boot the steps find and which takes that many writes more."""
    kept = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    here: list[Machine] = []

    def make(writes_to_boot: int = -1, place: modeldisk.Place = kept) -> Machine:
        made = Machine(tmp_path / str(len(list(tmp_path.iterdir()))), place)
        made.boot, made.disk = boot_on(place, writes_to_boot)
        here[:] = [made]
        return made

    @contextlib.contextmanager
    def mounted(host: object, ground: object) -> Iterator[Boot]:
        yield here[0].boot

    monkeypatch.setattr(boot_steps, "machine_boot", mounted)
    monkeypatch.setattr(boot_steps, "open_boot", lambda host, place: here[0].boot)
    monkeypatch.setattr(boot_steps, "loader_of", lambda ground, host: LOADER)
    yield make


def run_until_cut(made: Machine) -> bool:
    """Whether the power went before the end."""
    steps, journal, ctx = made.begin()
    try:
        execute(steps, journal, ctx)  # type: ignore[arg-type]
    except CUTS:
        return True
    return False


def goes_on(made: Machine, started_between: bool) -> None:
    """The rest of the story, and its end: exactly one of four."""
    made.power_comes_back()
    flipped, merged = made.rolled_back, "srv-tb1-safety" not in made.lvm.lvs
    if started_between:
        made.starts_from_its_disk()
    for _ in range(2):  # a start that finds nothing to do changes nothing
        steps, journal, ctx = made.begin()
        if not journal.finished:
            recover(steps, journal, ctx)  # type: ignore[arg-type]
        ends(made, flipped, merged, started_between)


def ends(made: Machine, flipped: bool, merged: bool, started_between: bool) -> None:
    names = set(made.lvm.lvs) - {"root", "root-tb1", "root-tb1-base", "root-tb1-work", "root-tb1-sealed"}
    srv = made.lvm.lvs["srv"]
    assert srv.writable and not srv.skip and not srv.tags and not srv.active
    assert (SINCE in made.lvm.read("srv")) is started_between, "what the machine wrote last stays"
    assert boots(made.disk.live) == (OLD_ALWAYS if flipped else NEW_ALWAYS)
    if not flipped:
        assert names == {"srv", "srv-tb1-safety"} and not merged
        assert (made.content("srv"), made.content("srv-tb1-safety")) == (made.now, made.before)
    elif merged or not started_between:
        assert names == {"srv", "srv-tb1-undone"}
        assert (made.content("srv"), made.content("srv-tb1-undone")) == (made.before, made.now)
    else:
        assert names == {"srv", "srv-tb1-safety", "srv-tb1-undone"} and made.warned()
        kept = (made.content("srv"), made.content("srv-tb1-safety"), made.content("srv-tb1-undone"))
        assert kept == (made.now, made.before, made.now)


def every_cut(machine: Callable[[int], Machine], started_between: bool) -> list[tuple[bool, bool]]:
    """Cut at each write to the volumes, then at each to /boot. What was on the disk then: (flip, data)."""
    seen = []
    for kind in ("volumes", "boot"):
        for cut in range(60):
            made = machine(cut) if kind == "boot" else machine(-1)
            made.lvm.left = cut if kind == "volumes" else 10**6
            if not run_until_cut(made):
                break
            seen.append((made.rolled_back, "srv-tb1-safety" not in made.lvm.lvs))
            goes_on(made, started_between)
        else:
            raise AssertionError("sixty writes were not enough")
    return seen


def test_uncut_the_old_system_boots_with_its_data_of_before(machine: Callable[[int], Machine]) -> None:
    made = machine(-1)
    assert not run_until_cut(made)
    assert cuts(made.disk, {OLD_ALWAYS, NEW_ALWAYS}) > 0
    ends(made, flipped=True, merged=True, started_between=False)
    assert not made.warned()
    said = [e.text for e in made.told if isinstance(e, Line) and "/srv" in e.text]
    assert said == ["/srv is what it was before the trial; vg0/srv-tb1-undone keeps what it was until now"]


@pytest.mark.parametrize("started_between", [False, True])
def test_cut_at_every_write_it_ends_as_one_of_four(
    machine: Callable[[int], Machine], started_between: bool
) -> None:
    seen = every_cut(machine, started_between)
    assert set(seen) == {(False, False), (True, False), (True, True)}, "data never goes before the system"
    assert len(seen) > 10


@pytest.mark.parametrize("second", range(1, 9, 2))
def test_a_second_cut_while_the_appliance_goes_on_changes_no_end(
    machine: Callable[[int], Machine], second: int
) -> None:
    for cut in range(60):
        made = machine(-1)
        made.lvm.left = cut
        if not run_until_cut(made):
            return
        made.power_comes_back()
        made.lvm.left = second
        steps, journal, ctx = made.begin()
        with contextlib.suppress(PowerCut):
            recover(steps, journal, ctx)  # type: ignore[arg-type]
        goes_on(made, started_between=False)
    raise AssertionError("sixty writes were not enough")


def test_a_safety_snapshot_that_went_while_the_act_waited_stops_it_before_any_write(
    machine: Callable[[int], Machine],
) -> None:
    made = machine(-1)
    del made.lvm.lvs["srv-tb1-safety"]
    now = {name: lv.blocks for name, lv in made.lvm.lvs.items()}
    steps, journal, ctx = made.begin()
    journal.add("end", "data-ready")
    with pytest.raises(Refused, match="no safety snapshot"):
        execute(steps, journal, ctx)  # type: ignore[arg-type]
    assert {name: lv.blocks for name, lv in made.lvm.lvs.items()} == now
    assert boots(made.disk.live) == NEW_ALWAYS and journal.finished


def test_mutant_that_does_not_look_whether_data_was_written_is_caught(
    machine: Callable[[int], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LvmThinStore, "changed_since", lambda *_: Difference(0, 65536))
    every_cut(machine, started_between=False)
    with pytest.raises(AssertionError):
        every_cut(machine, started_between=True)


def test_mutant_that_takes_the_data_first_is_caught(
    machine: Callable[[int], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = rollback_plan()
    *first, flip, data = ordered.steps
    wrong = replace(ordered, steps=(*first, data, flip))
    monkeypatch.setattr("tests.crash.test_rollback_data.rollback_plan", lambda state: wrong)
    with pytest.raises(AssertionError):
        every_cut(machine, started_between=False)


def test_mutant_that_brings_the_snapshot_up_before_it_is_the_data_is_caught(
    machine: Callable[[int], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two file systems of one UUID would come up side by side."""
    merge = LvmThinStore._merge

    def ready_first(store: LvmThinStore, data: object, safety: object) -> None:
        store._lvm("lvchange", "-prw", "-kn", f"vg0/{data.safety.lv}")  # type: ignore[attr-defined]
        merge(store, data, safety)  # type: ignore[arg-type]

    monkeypatch.setattr(LvmThinStore, "_merge", ready_first)
    with pytest.raises(AssertionError):
        every_cut(machine, started_between=True)


def test_after_a_roll_back_of_the_system_alone_the_data_can_follow(machine: Callable[..., Machine]) -> None:
    back = machine(-1)
    LOADER.roll_back(back.boot, "tb1")
    made = machine(-1, back.disk.live)
    assert [w.what for s in made.plan.steps if s.commit for w in s.writes] == []
    before = made.disk.live.read("twinboot/env")
    assert not run_until_cut(made)
    ends(made, flipped=True, merged=True, started_between=False)
    assert made.disk.live.read("twinboot/env") == before
