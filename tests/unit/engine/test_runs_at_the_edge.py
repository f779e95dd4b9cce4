"""A run that ends badly, is stopped too late, or was made by another version: what the engine does then."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.engine.runs import Going, Runs
from appliance.errors import DamagedData, NeedsRescue, Refused
from appliance.host.files import write_atomic
from appliance.host.run import RealHost
from appliance.model.codec import to_json
from appliance.model.events import Failed, Line, RunFinished
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import PlannedStep, Request, Verb
from appliance.workflow import catalogue
from appliance.workflow.journal import Journal
from appliance.workflow.places import Places
from appliance.workflow.rehearse import build_plan
from appliance.workflow.runner import Context, execute
from appliance.workflow.workplace import Workplace
from tests.unit.twin.machines import with_a_spare
from tests.unit.workflow.test_rehearse_plan import machine, plan, request


@dataclass
class Act:
    """Makes one thing; `fails` is raised in the middle."""

    id: str
    made: list[str]
    commit: bool = False
    fails: BaseException | None = None

    @property
    def plan(self) -> PlannedStep:
        return PlannedStep(id=self.id, title=self.id, commit=self.commit)

    def done(self, ctx: Context) -> bool:
        return self.id in self.made

    def flipped(self, ctx: Context) -> bool:
        return self.done(ctx)

    def do(self, ctx: Context) -> None:
        self.made.append(self.id)
        if self.fails:
            raise self.fails

    def undo(self, ctx: Context) -> None:
        if self.id in self.made:
            self.made.remove(self.id)


def going(folder: Path, *steps: Act) -> tuple[Runs, Going]:
    made = plan(machine(), request())
    runs = Runs(RealHost(), Bus(), Places(folder))
    runs._keep_boot_files = lambda going, when: None  # type: ignore[method-assign]
    work = Workplace(machine(), "tb1", folder / "tb1", folder, folder / "data")
    runs.going = Going(made, work, steps, Journal.open(folder / "journal.jsonl"), folder)
    return runs, runs.going


def told(runs: Runs, kind: type) -> list[object]:
    return [event for event in runs.bus.kept() if isinstance(event, kind)]


def test_a_run_that_is_over_is_not_cancelled(tmp_path: Path) -> None:
    """Ctrl-C just after the end: what was sealed, or armed, stays."""
    made: list[str] = []
    runs, run = going(tmp_path, Act("seal", made), Act("arm", made, commit=True))
    runs._launch(run, execute)
    runs.join()
    assert run.journal.last == "done"
    with pytest.raises(Refused, match="over"):
        runs.cancel("tb1")
    runs.join()
    assert made == ["seal", "arm"] and run.journal.last == "done"


def test_a_run_into_a_partition_that_holds_something_by_now_is_not_begun(tmp_path: Path) -> None:
    """Its plan was made before: nothing goes elsewhere instead."""
    found = with_a_spare()
    made = build_plan(found, Request(verb=Verb.REHEARSE, emulate=True, into="/dev/vda6"), Lineage())
    runs = Runs(RealHost(), Bus(), Places(tmp_path))
    with pytest.raises(Refused, match="/dev/vda6 holds ext4"):
        runs.start(made, with_a_spare(fstype="ext4"))
    assert runs.going is None and list(tmp_path.iterdir()) == []


def test_what_failed_behind_its_flip_is_not_cancelled_away(tmp_path: Path) -> None:
    made: list[str] = []
    last = Act("tidy", made, fails=NeedsRescue("busy"))
    runs, run = going(tmp_path, Act("stage", made), Act("arm", made, commit=True), last)
    runs._launch(run, execute)
    runs.join()
    runs.cancel("tb1")
    runs.join()
    assert made[:2] == ["stage", "arm"] and not run.journal.finished


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")]
)
def test_a_full_or_broken_disk_ends_the_run_as_any_failure_does(tmp_path: Path, error: OSError) -> None:
    made: list[str] = []
    runs, run = going(tmp_path, Act("snapshot", made), Act("report", made, fails=error))
    runs._launch(run, execute)
    runs.join()
    assert made == [] and run.journal.last == "failed"
    (failed,) = told(runs, Failed)
    assert failed.what == f"{error.strerror} (report)."
    assert told(runs, RunFinished)


def test_a_fault_of_our_own_is_said_and_the_run_ends(tmp_path: Path) -> None:
    """Whoever follows the run must hear of its end; the next start tidies up."""
    made: list[str] = []
    runs, run = going(tmp_path, Act("snapshot", made), Act("report", made, fails=KeyError("boot")))
    runs._launch(run, execute)
    runs.join()
    assert told(runs, Failed) and told(runs, RunFinished)
    assert not run.journal.finished


def test_a_plan_of_another_version_is_left_alone_and_named(tmp_path: Path) -> None:
    made = plan(machine(), request())
    newer = replace(made, steps=(PlannedStep(id="defragment", title="Not known here"),))
    act = tmp_path / "state/runs/tb1/rehearse-1"
    act.mkdir(parents=True)
    write_atomic(act / "plan.json", to_json(newer))
    Journal.open(act / "journal.jsonl").add("begin", "defragment")

    class Here(Places):
        def mount(self, host: object, machine: Machine) -> bool:
            return True

    runs = Runs(RealHost(), Bus(), Here(tmp_path))
    with pytest.raises(NeedsRescue, match="defragment"):
        runs.recover_unfinished(machine())
    assert Journal.open(act / "journal.jsonl").last == "begin"


@pytest.mark.parametrize("damaged", ["plan.json", "journal.jsonl"])
def test_what_is_damaged_keeps_no_other_run_from_its_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    """Three acts were cut short: a file of the first and of the second does not read."""
    begun = []
    for run in ("tb1", "tb2", "tb3"):
        act = tmp_path / f"state/runs/{run}/rehearse-1"
        act.mkdir(parents=True)
        write_atomic(act / "plan.json", to_json(plan(machine(), request())))
        Journal.open(act / "journal.jsonl").add("begin", "snapshot")
        if run != "tb3":
            (act / damaged).write_bytes(b"{\n{\n")
        os.utime(act / "journal.jsonl", (len(begun), len(begun)))
        begun.append(act)
    monkeypatch.setattr(Places, "mount", lambda *_: True)
    recovered: list[Path] = []
    monkeypatch.setattr(Runs, "_launch", lambda _, going, how: recovered.append(going.folder))
    runs = Runs(RealHost(), Bus(), Places(tmp_path))
    with pytest.raises((DamagedData, NeedsRescue), match=f"tb1/rehearse-1/{damaged}"):
        runs.recover_unfinished(machine())
    assert recovered == [begun[2]]
    (told_too,) = [line.text for line in told(runs, Line)]
    assert f"tb2/rehearse-1/{damaged}" in told_too
    assert (begun[0] / damaged).read_bytes() == b"{\n{\n", "nothing is mended by guessing"


@pytest.mark.parametrize(("identity", "typed"), [("VMW-4711", "4711"), ("ABC 123", "123"), ("PF 4 X", "4 X")])
def test_a_serial_number_with_blanks_can_be_confirmed(identity: str, typed: str) -> None:
    """What is typed loses its outer blanks on its way: what is asked for must have none."""
    made = replace(plan(machine(), request()), machine=identity)
    assert catalogue.confirmation(made, "confirm") == typed
