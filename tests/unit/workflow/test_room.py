"""The room for snapshots is watched while a twin stands: told live, and braked before it is gone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, OutOfSpace, TwinFailed
from appliance.model.events import Event, Gauge, Line
from appliance.model.plan import PlannedStep
from appliance.twin.hypervisor import Load
from appliance.volumes.base import Snapshot, SnapshotRole, Use
from appliance.workflow.journal import Journal
from appliance.workflow.runner import Context, Stop, execute
from appliance.workflow.steps.room import Room, watch
from tests.contract.fake_lvm import FakeLvm

MIB = 1 << 20


ROOT = Snapshot("vg0", "root-tb1", "root-tb1-base", "tb1", SnapshotRole.WORK)


class Store:
    """Says how full what a twin writes to is; an error is raised as it stands."""

    def __init__(self, *said: tuple[Use, ...] | Exception) -> None:
        self.said = list(said)

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        assert root == ROOT
        now = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(now, Exception):
            raise now
        return now


def pool(*said: float | Exception) -> Store:
    """One thin pool, as it is from look to look."""
    return Store(*(now if isinstance(now, Exception) else (Use("pool", now),) for now in said))


class Twin:
    """A hypervisor with one twin, on or off."""

    def __init__(self) -> None:
        self.paused: list[str] = []
        self.loads: list[Load] = [Load(cpu=10.0, cpus=2, memory=512 * MIB, most=2048 * MIB)]

    def pause(self, name: str) -> None:
        self.paused.append(name)

    def load(self, name: str) -> Load:
        if not self.loads:
            raise TwinFailed("The twin is not running.")
        return self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]


def room(store: Store, twin: Twin, stop: threading.Event | None = None) -> tuple[Room, list[Event]]:
    told: list[Event] = []
    ctx = Context(FakeLvm(), told.append, stop or Stop())
    return Room(store, ROOT, twin, "twinboot-tb1-work", ctx), told  # type: ignore[arg-type]


def gauges(told: list[Event]) -> dict[str, str]:
    return {e.name: e.text for e in told if isinstance(e, Gauge)}


def test_figures_are_told_when_they_change_and_only_then() -> None:
    watched, told = room(pool(41.2, 41.4, 55.0), Twin())
    for _ in range(2):
        watched.look()
    assert gauges(told) == {"pool used": "41 %", "VM memory": "0.5 of 2.0 GiB", "VM processors": "0 % of 2"}
    before = len(told)
    watched.look()
    assert [e.text for e in told[before:] if isinstance(e, Gauge)] == ["55 %"]


def test_processors_are_a_share_of_all_the_twin_has() -> None:
    watched, told = room(pool(1.0), Twin())
    watched._tell_load(Load(cpu=10.0, cpus=2, memory=1, most=4), at=100.0)
    watched._tell_load(Load(cpu=15.0, cpus=2, memory=1, most=4), at=105.0)
    assert gauges(told)["VM processors"] == "50 % of 2"


def test_past_the_limit_the_twin_is_paused_once_and_the_run_ends_for_that_reason() -> None:
    stop, twin = Stop(), Twin()
    watched, told = room(pool(79.9, 80.1, 85.0), twin, stop)
    watched.look()
    assert not stop.is_set() and twin.paused == []
    watched.look()
    watched.look()
    assert twin.paused == ["twinboot-tb1-work"]
    assert isinstance(stop.why, OutOfSpace) and "80 % full" in stop.why.what
    assert [e.level for e in told if isinstance(e, Line)] == ["error"]


def test_a_pool_that_does_not_answer_is_not_taken_for_empty_and_asked_again() -> None:
    stop, twin = Stop(), Twin()
    watched, told = room(pool(41.0, CommandFailed("dmsetup did not finish."), 90.0), twin, stop)
    watched.look()
    watched.look()
    assert gauges(told)["pool used"] == "not known" and not stop.is_set()
    watched.look()
    assert stop.is_set()


def test_a_snapshot_with_room_for_everything_may_become_full() -> None:
    stop, twin = Stop(), Twin()
    full = (Use("snapshot", 99.0, fills=False), Use("scratch", 12.0))
    watched, told = room(Store(full, (full[0], Use("scratch", 81.0))), twin, stop)
    watched.look()
    assert gauges(told).items() >= {("snapshot used", "99 %"), ("scratch used", "12 %")}
    assert not stop.is_set()
    watched.look()
    assert isinstance(stop.why, OutOfSpace) and "81 % full" in stop.why.what


def test_of_a_store_with_nothing_to_fill_nothing_is_said() -> None:
    watched, told = room(Store(()), Twin())
    watched.look()
    assert not any("used" in name for name in gauges(told)) and not watched.ctx.cancel.is_set()


def test_a_twin_that_is_off_gives_no_figures_and_no_error() -> None:
    twin = Twin()
    twin.loads = []
    watched, told = room(pool(3.0), twin)
    watched.look()
    assert gauges(told) == {"pool used": "3 %"}


def test_it_looks_until_it_is_told_to_end() -> None:
    watched, told = room(pool(3.0), Twin())
    stop = threading.Event()
    thread = watch(watched, stop, every=0.001)
    for _ in range(2000):
        if told:
            break
        threading.Event().wait(0.005)
    stop.set()
    thread.join(5)
    assert told and not thread.is_alive()


class Step:
    """Fails as a step does whose twin stands still."""

    plan = PlannedStep(id="patch", title="Patch")

    def __init__(self) -> None:
        self.undone = 0

    def done(self, ctx: Context) -> bool:
        return False

    def flipped(self, ctx: Context) -> bool:
        return False

    def do(self, ctx: Context) -> None:
        assert isinstance(ctx.cancel, Stop)
        ctx.cancel.because(OutOfSpace("The room is full."))
        raise TwinFailed("The agent did not answer.")

    def undo(self, ctx: Context) -> None:
        self.undone += 1


def test_the_reason_is_what_the_run_ends_with_and_everything_is_undone(tmp_path: Path) -> None:
    step, journal = Step(), Journal.open(tmp_path / "journal.jsonl")
    ctx = Context(FakeLvm(), lambda event: None, Stop())
    with pytest.raises(OutOfSpace, match="The room is full"):
        execute([step], journal, ctx)
    assert step.undone == 1
    assert (journal.last, journal.records[-1].detail) == ("failed", "SPACE-01 The room is full.")
    with pytest.raises(OutOfSpace):
        ctx.check_cancel()
