"""One run as its events have told it: steps, share done, time left, what it waits for. No Textual, no I/O."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

from appliance.model import events as e
from appliance.model.verdict import Verdict

TWIN_LINES = 400
DOWNLOAD_SHARE = 0.3  # of a patch step: a package is fetched faster than it is installed


class Mark(enum.Enum):
    """How far a step is; the value is what stands before it."""

    TODO = "[  ]"
    RUNNING = "[>>]"
    WAITING = "[??]"
    DONE = "[ok]"
    FAILED = "[!!]"


@dataclass
class StepRow:
    id: str
    title: str
    weight: float = 1.0
    mark: Mark = Mark.TODO
    seconds: float = 0.0
    started: float = 0.0
    fraction: float = 0.0


@dataclass
class RunBoard:
    """One run as seen through its events. Times are seconds since the epoch. `warned`: its own warnings."""

    run: str
    verb: str = ""
    title: str = ""
    started: float = 0.0
    ended: float | None = None
    steps: list[StepRow] = field(default_factory=list)
    progress: e.Progress | None = None
    gauges: dict[str, e.Gauge] = field(default_factory=dict)
    twin: deque[str] = field(default_factory=lambda: deque(maxlen=TWIN_LINES))
    gate: str = ""
    gate_sentence: str = ""
    paused: bool = False
    failed: e.Failed | None = None
    verdict: Verdict | None = None
    warned: list[str] = field(default_factory=list)
    outcome: str = ""
    report: str = ""

    @property
    def makes_a_run(self) -> bool:
        """Whether it has a twin and a verdict: a rehearsal or a repair. All else acts on an earlier run."""
        return self.verb in ("rehearse", "repair")

    @property
    def over(self) -> bool:
        return self.ended is not None

    @property
    def cancelled(self) -> bool:
        return self.failed is not None and self.failed.code.startswith("CANCEL")

    def step(self, step_id: str) -> StepRow | None:
        return next((s for s in self.steps if s.id == step_id), None)

    @property
    def current(self) -> StepRow | None:
        return next((s for s in self.steps if s.mark in (Mark.RUNNING, Mark.WAITING, Mark.FAILED)), None)

    def step_fraction(self) -> float:
        """How much of the current step is done, 0 where it says nothing."""
        now = self.current
        return now.fraction if now else 0.0

    def fraction(self) -> float:
        """Weighted share of the run that is done, 0..1."""
        total = sum(s.weight for s in self.steps)
        if total <= 0:
            return 0.0
        done = sum(s.weight for s in self.steps if s.mark is Mark.DONE)
        now = self.current
        return min(1.0, (done + (now.weight * self.step_fraction() if now else 0.0)) / total)

    def left(self, at: float) -> float:
        """Seconds left, or -1 where nothing honest can be said.

        Honest needs a tenth of the run done, so that the pace of this machine is known, and a current step
        that either says how far it is or has not yet passed its own share.
        """
        done = [s for s in self.steps if s.mark is Mark.DONE]
        weight, spent = sum(s.weight for s in done), sum(s.seconds for s in done)
        total = sum(s.weight for s in self.steps)
        if self.over or self.gate or self.paused or total <= 0 or weight < total / 10 or spent < 20:
            return -1.0
        pace = spent / weight
        rest = pace * sum(s.weight for s in self.steps if s.mark is Mark.TODO)
        now = self.current
        if now is None:
            return rest
        said = self.progress
        if said and said.step == now.id and said.left >= 0 and said.unit != "bytes":
            return rest + said.left
        here = now.weight * pace * (1 - self.step_fraction())
        if self.step_fraction() == 0.0:
            here = now.weight * pace - (at - now.started)
        return rest + here if here >= 0 else -1.0


def apply_to_run(run: RunBoard, event: e.AnyEvent) -> None:
    """Take one event of this run."""
    match event:
        case e.StepStarted():
            _step_started(run, event)
        case e.StepFinished():
            if row := run.step(event.step):
                row.mark, row.seconds = Mark.DONE, event.seconds
        case e.Progress():
            _progress(run, event)
        case e.Gauge():
            run.gauges[event.name] = event
        case e.Waiting():
            wait(run, event.gate, event.sentence)
        case e.Paused() | e.Resumed():
            run.paused = isinstance(event, e.Paused)
        case e.VerdictReached():
            run.verdict = event.verdict
        case e.Failed():
            run.failed = event
            stop_waiting(run)
            if row := run.current:
                row.mark = Mark.FAILED
        case e.RunFinished():
            run.outcome, run.report, run.ended = event.outcome, event.report, event.at
            run.paused = False
            stop_waiting(run)


def _progress(run: RunBoard, event: e.Progress) -> None:
    """A share never goes back: a download is followed by what it was for, and counts as its first part."""
    run.progress = event
    row = run.step(event.step)
    if row is None or event.total <= 0:
        return
    share = min(1.0, max(0.0, event.done / event.total))
    if event.unit == "bytes":
        share *= DOWNLOAD_SHARE
    row.fraction = max(row.fraction, share)


def _step_started(run: RunBoard, event: e.StepStarted) -> None:
    run.gate = run.gate_sentence = ""
    run.progress = None
    if run.step(event.step) is None:
        run.steps.append(StepRow(event.step, event.title))
    _reach(run, event.step, Mark.RUNNING)
    if row := run.step(event.step):
        row.started = event.at


def _reach(run: RunBoard, step_id: str, mark: Mark) -> None:
    """Steps run in their order: whatever stands before the one reached is done."""
    if run.step(step_id) is None:
        return
    for row in run.steps:
        if row.id == step_id:
            row.mark = mark
            return
        row.mark = Mark.DONE


def wait(run: RunBoard, gate: str, sentence: str) -> None:
    run.gate, run.gate_sentence = gate, sentence
    _reach(run, gate, Mark.WAITING)


def stop_waiting(run: RunBoard) -> None:
    if row := run.step(run.gate):
        row.mark = Mark.RUNNING
    run.gate = run.gate_sentence = ""
