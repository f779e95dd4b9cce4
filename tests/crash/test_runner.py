"""Power is cut before and after every write of a run, and again during recovery: the end state is exact.

The machine here is a dict of names on a "disk" that survives; a cut is an exception that no code of ours
may catch. Planted faults (mutants) show that the assertions can fail.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, NeedsRescue
from appliance.host.run import Command, Output
from appliance.model.events import Event
from appliance.model.plan import PlannedStep
from appliance.workflow import runner
from appliance.workflow.journal import Journal
from appliance.workflow.runner import Context, Outcome, execute, recover


class PowerCut(BaseException):
    pass


@dataclass
class Disk:
    """Holds what survives. `cut_at` counts writes down to the cut; -1 never cuts."""

    things: set[str] = field(default_factory=set)
    cut_at: int = -1
    writes: int = 0
    broken: str = ""

    def write(self, act: Callable[[], None]) -> None:
        self.writes += 1
        if self.writes * 2 - 1 == self.cut_at:
            raise PowerCut
        act()
        if self.writes * 2 == self.cut_at:
            raise PowerCut


@dataclass(frozen=True)
class Make:
    """A step that makes two things, so that it can be cut half-way."""

    disk: Disk
    id: str
    commit: bool = False
    gate: bool = False

    @property
    def plan(self) -> PlannedStep:
        return PlannedStep(id=self.id, title=self.id, commit=self.commit, gate=self.gate)

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.id,) if self.commit else (f"{self.id}-a", f"{self.id}-b")

    def done(self, ctx: Context) -> bool:
        return all(p in self.disk.things for p in self.parts)

    def flipped(self, ctx: Context) -> bool:
        return self.done(ctx)

    def do(self, ctx: Context) -> None:
        for part in self.parts:
            if part == self.disk.broken:
                raise ApplianceError(f"{part} is broken")
            self.disk.write(lambda part=part: self.disk.things.add(part))

    def undo(self, ctx: Context) -> None:
        for part in reversed(self.parts):
            if part in self.disk.things:
                self.disk.write(lambda part=part: self.disk.things.discard(part))


class NoHost:
    def run(self, command: Command) -> Output:
        raise AssertionError("no command belongs here")


def context() -> Context:
    def tell(_: Event) -> None:
        return None

    return Context(NoHost(), tell, threading.Event())


def steps_on(disk: Disk) -> list[Make]:
    return [Make(disk, "snapshot"), Make(disk, "twin"), Make(disk, "flip", commit=True), Make(disk, "record")]


OLD: set[str] = set()
NEW = {"snapshot-a", "snapshot-b", "twin-a", "twin-b", "flip", "record-a", "record-b"}
WRITES = len(NEW)


def cut_and_recover(path: Path, cut: int, second_cut: int = -1) -> Disk:
    disk = Disk(cut_at=cut)
    with contextlib.suppress(PowerCut):
        execute(steps_on(disk), Journal.open(path), context())
    flipped = "flip" in disk.things
    disk.writes, disk.cut_at = 0, second_cut
    for _ in range(3):
        journal = Journal.open(path)
        if journal.finished:
            break
        try:
            recover(steps_on(disk), journal, context())
        except PowerCut:
            disk.writes, disk.cut_at = 0, -1
    assert Journal.open(path).finished
    assert disk.things == (NEW if flipped else OLD)
    return disk


@pytest.mark.parametrize("cut", range(1, WRITES * 2 + 1))
def test_a_cut_at_any_write_ends_exactly_old_or_exactly_new(tmp_path: Path, cut: int) -> None:
    cut_and_recover(tmp_path / "journal", cut)


@pytest.mark.parametrize("cut", range(1, WRITES * 2 + 1))
@pytest.mark.parametrize("second", (1, 2, 3, 4))
def test_a_second_cut_during_recovery_changes_nothing(tmp_path: Path, cut: int, second: int) -> None:
    cut_and_recover(tmp_path / "journal", cut, second)


def test_a_failing_step_before_the_flip_leaves_nothing(tmp_path: Path) -> None:
    disk = Disk(broken="twin-b")
    journal = Journal.open(tmp_path / "journal")
    with pytest.raises(ApplianceError, match="twin-b is broken"):
        execute(steps_on(disk), journal, context())
    assert disk.things == OLD
    assert journal.last == "failed"


def test_a_failing_step_after_the_flip_keeps_the_flip_and_the_next_start_finishes(tmp_path: Path) -> None:
    disk = Disk(broken="record-b")
    with pytest.raises(ApplianceError, match="record-b is broken"):
        execute(steps_on(disk), Journal.open(tmp_path / "journal"), context())
    assert "flip" in disk.things and {"twin-a", "twin-b"} <= disk.things
    disk.broken = ""
    assert recover(steps_on(disk), Journal.open(tmp_path / "journal"), context()) is Outcome.DONE
    assert disk.things == NEW


def test_a_gate_waits_survives_a_restart_and_passes_once_approved(tmp_path: Path) -> None:
    disk = Disk()
    steps = [Make(disk, "snapshot"), Make(disk, "confirm", gate=True), Make(disk, "flip", commit=True)]
    path = tmp_path / "journal"
    assert execute(steps, Journal.open(path), context()) is Outcome.WAITING
    assert disk.things == {"snapshot-a", "snapshot-b"}
    assert recover(steps, Journal.open(path), context()) is Outcome.WAITING
    assert disk.things == {"snapshot-a", "snapshot-b"}
    journal = Journal.open(path)
    journal.add("approved", "confirm")
    assert execute(steps, journal, context()) is Outcome.DONE
    assert "flip" in disk.things


def test_an_approval_that_was_cut_before_it_was_acted_on_is_asked_for_again(tmp_path: Path) -> None:
    """A run that waits at no gate could neither be approved nor be seen to wait."""
    disk = Disk()
    steps = [Make(disk, "snapshot"), Make(disk, "confirm", gate=True), Make(disk, "flip", commit=True)]
    path = tmp_path / "journal"
    assert execute(steps, Journal.open(path), context()) is Outcome.WAITING
    Journal.open(path).add("approved", "confirm")
    assert recover(steps, Journal.open(path), context()) is Outcome.WAITING
    journal = Journal.open(path)
    assert (journal.records[-1].what, journal.records[-1].step) == ("waiting", "confirm")
    assert "flip" not in disk.things
    journal.add("approved", "confirm")
    assert execute(steps, journal, context()) is Outcome.DONE


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(path)
    journal.add("begin", "snapshot")
    with path.open("ab") as out:
        out.write(b'{"what":"end","st')
    again = Journal.open(path)
    assert [r.what for r in again.records] == ["begin"]
    assert path.read_bytes().endswith(b"\n")


@contextlib.contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """As on a full volume: a write behind `size` bytes of a file is made in part, then refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_the_full_disk_took_half_of_is_taken_back(tmp_path: Path) -> None:
    """Or the next one, when there is room again, would stand behind it and damage the journal for good."""
    path = tmp_path / "journal"
    journal = Journal.open(path)
    journal.add("begin", "snapshot")
    with disk_full_after(path.stat().st_size + 20), pytest.raises(OSError):
        journal.add("end", "snapshot")
    journal.add("failed")
    assert [r.what for r in Journal.open(path).records] == ["begin", "failed"]
    assert [r.what for r in journal.records] == ["begin", "failed"]


@pytest.mark.parametrize("lines", range(7))
def test_a_history_that_is_full_at_any_line_stops_no_undo(tmp_path: Path, lines: int) -> None:
    """The next start has room again, or not: it ends exactly old."""
    disk, path = Disk(broken="twin-b"), tmp_path / "journal"

    class Full(Journal):
        def add(self, what: str, step: str = "", detail: str = "") -> None:
            if len(self.records) >= lines:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().add(what, step, detail)

    with pytest.raises(ApplianceError):
        execute(steps_on(disk), Full.open(path), context())
    assert disk.things == OLD
    journal = Journal.open(path)
    if not journal.finished:
        assert recover(steps_on(disk), journal, context()) is Outcome.ROLLED_BACK
    assert disk.things == OLD and Journal.open(path).finished


def test_a_damaged_middle_line_is_never_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"what":"begin","step":"snapshot","at":1.0}\nrubbish\n{"what":"done","at":2.0}\n')
    with pytest.raises(NeedsRescue, match="damaged"):
        Journal.open(path)


def test_an_undo_that_fails_asks_for_rescue(tmp_path: Path) -> None:
    class Stuck(Make):
        def undo(self, ctx: Context) -> None:
            raise ApplianceError("busy")

    disk = Disk(broken="twin-a")
    steps = [Stuck(disk, "snapshot"), Make(disk, "twin")]
    with pytest.raises(NeedsRescue, match='Undoing "snapshot" failed: busy'):
        execute(steps, Journal.open(tmp_path / "journal"), context())


def mutant_always_forward(steps: list[Make], journal: Journal, ctx: Context) -> Outcome:
    return execute(steps, journal, ctx)


def mutant_always_back(steps: list[Make], journal: Journal, ctx: Context) -> Outcome:
    outcome = runner.roll_back(steps, journal, ctx)
    journal.add("failed")
    return outcome


def mutant_trusts_the_journal(steps: list[Make], journal: Journal, ctx: Context) -> Outcome:
    if any(s.commit and journal.has("end", s.id) for s in steps):
        return execute(steps, journal, ctx)
    return mutant_always_back(steps, journal, ctx)


@pytest.mark.parametrize("mutant", (mutant_always_forward, mutant_always_back, mutant_trusts_the_journal))
def test_planted_faults_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutant: object) -> None:
    monkeypatch.setattr("tests.crash.test_runner.recover", mutant)
    caught = 0
    for cut in range(1, WRITES * 2 + 1):
        try:
            cut_and_recover(tmp_path / f"journal-{cut}", cut)
        except AssertionError:
            caught += 1
    assert caught > 0
