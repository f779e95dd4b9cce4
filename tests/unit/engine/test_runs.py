"""A run at its gate with its twin beside it: what the engine says of it, and what it lets happen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.engine.bus import Bus
from appliance.engine.runs import EventFile, Going, Runs
from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.events import AnyEvent, Line, RunFinished
from appliance.model.plan import PatchKind, PatchRequest
from appliance.twin.pausing import Pausing
from appliance.twin.twin import Twin
from appliance.workflow import catalogue
from appliance.workflow.journal import Journal
from appliance.workflow.places import Places
from appliance.workflow.runner import Outcome
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.test_rehearse_plan import machine, plan, request


def waiting(folder: Path) -> tuple[Runs, Going]:
    """tb1, rehearsed by hand, at its gate; its twin has no VM under it but can stand still."""
    made = plan(machine(), request(patch=PatchRequest(kind=PatchKind.BY_HAND)))
    runs = Runs(RealHost(), Bus(), Places(folder))
    twin = object.__new__(Twin)
    twin.pausing = Pausing(lambda: False)
    live: dict[str, object] = {"work": twin}
    work = Workplace(machine(), "tb1", folder / "tb1", folder, folder / "data")
    journal = Journal.open(folder / "journal.jsonl")
    journal.add("waiting", "by-hand")
    runs.going = Going(made, work, catalogue.steps(made, work, live), journal, folder, live=live)
    return runs, runs.going


def test_its_twin_stands_ready_and_a_pause_is_told(tmp_path: Path) -> None:
    runs, going = waiting(tmp_path)
    assert going.at_hand and going.twin is not None
    view = runs.view()
    assert view is not None and (view.gate, view.paused) == ("by-hand", False)
    going.twin.pausing.pause(lambda: None)
    view = runs.view()
    assert view is not None and view.paused


def test_a_paused_run_is_not_let_go_on(tmp_path: Path) -> None:
    runs, going = waiting(tmp_path)
    assert going.twin is not None
    going.twin.pausing.pause(lambda: None)
    with pytest.raises(Refused, match="paused: resume it first"):
        runs.approve("tb1", "by-hand", "yes")
    assert going.gate == "by-hand" and going.thread is None


def test_a_run_without_a_twin_is_not_at_hand(tmp_path: Path) -> None:
    _, going = waiting(tmp_path)
    without = dataclasses.replace(going, live={})
    assert (without.at_hand, without.paused, without.twin) == (False, False, None)


def test_what_happens_at_a_gate_is_in_the_record_until_the_run_is_over(tmp_path: Path) -> None:
    """The gate's own thread stops; the record goes on, or a person's work in the twin would be missing."""
    runs, going = waiting(tmp_path)
    runs._work(going, lambda steps, journal, ctx: Outcome.WAITING)
    runs.bus.publish(Line(source="run", text="tty1 has the keyboard of the twin"))
    assert isinstance(going.store, EventFile)
    assert "has the keyboard" in (tmp_path / "events.jsonl").read_text()
    going.journal.add("approved", "by-hand")
    runs._work(going, lambda steps, journal, ctx: Outcome.WAITING)
    runs.bus.publish(Line(source="run", text="after the end"))
    text = (tmp_path / "events.jsonl").read_text()
    assert going.store is None and "after the end" not in text
    assert text.count("has the keyboard") == 1 and text.count("run-started") == 2


def test_the_record_of_a_run_that_is_only_rehearsed_is_taken_away_before_its_end_is_told(
    tmp_path: Path,
) -> None:
    runs, going = waiting(tmp_path)
    taken, ended = list[str](), list[AnyEvent]()
    runs.deliver = lambda machine, run: taken.append(f"{run} of {machine.identity}, {len(ended)} ends told")
    runs.bus.follow(0, lambda event: ended.append(event) if isinstance(event, RunFinished) else None)
    runs._finish(going, "done")
    assert taken == [], "what stays on the machine is not exported unasked"
    only = replace(going.plan, request=replace(going.plan.request, rehearse_only=True))
    runs._finish(dataclasses.replace(going, plan=only), "failed")
    assert taken == [f"tb1 of {machine().identity}, 1 ends told"]
    assert len(ended) == 2
