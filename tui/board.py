"""What the engine has told so far, ready to be drawn. No Textual, no I/O: events in, plain state out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.model import events as e
from appliance.model.machine import Machine
from appliance.model.messages import RunView, Status
from tui.runboard import RunBoard, StepRow, apply_to_run, stop_waiting, wait
from tui.words import clean

LOG_LINES = 5000
GROWING = {"writes": 0, "last_seq": 0}
"""What of a status changes all the time while a run is at work."""
FLOWING = (e.Line, e.Progress, e.Gauge, e.ServiceProgress)


@dataclass(frozen=True)
class LogLine:
    at: float
    source: str
    level: str
    text: str


class Board:
    """Everything the screens draw from. `version` grows with every change that could be seen, `turns` with
    those that somebody may be waiting for: not with one more line, a figure or a share of what is done."""

    def __init__(self, client: str = "") -> None:
        self.client = client
        self.status: Status | None = None
        self.machine: Machine | None = None
        self.run: RunBoard | None = None
        self.services: dict[str, e.ServiceProgress] = {}
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.unread = 0
        self.read_until = 0.0
        self.last_event: e.AnyEvent | None = None
        self.version = 0
        self.turns = 0
        self.ended_at = 0
        self.connected = False
        self.engine_words = "Looking for the engine ..."
        self.machine_words = "Reading the machine: disks, volumes, installed systems ..."

    def connection(self, connected: bool, words: str = "") -> None:
        self.connected, self.engine_words = connected, words
        self.version += 1
        self.turns += 1

    def take_status(self, status: Status) -> None:
        """`status` is the engine's word; it also tells of a run whose events we have not seen."""
        if status == self.status:
            return
        before, self.status = self.status, status
        if before is None or replace(status, **GROWING) != replace(before, **GROWING):
            self.turns += 1
        if status.machine is not None:
            self.machine = status.machine
        if status.running is not None:
            self._adopt(status.running)
        self.version += 1

    @property
    def outdated(self) -> bool:
        """Whether `status` is from before the end of the last run, which changed what it tells."""
        status = self.status
        return status is not None and (status.outdated or status.last_seq < self.ended_at)

    def machine_unread(self, why: str) -> None:
        self.machine_words = f"The machine could not be read: {why}"
        self.version += 1
        self.turns += 1

    def take_machine(self, machine: Machine) -> None:
        self.machine = machine
        self.version += 1

    def engine_restarted(self) -> None:
        """Its numbers start again at 1; the log goes on with a line that says so."""
        if self.last_event is not None:
            self._log(self.last_event.at, "log", "warn", "The engine was started again.")
        self.last_event = self.run = self.status = None
        self.ended_at = 0

    def log_was_read(self) -> None:
        self.read_until = max((entry.at for entry in self.log), default=self.read_until)
        self.unread = 0

    def _adopt(self, view: RunView) -> None:
        """The engine's own word on its run; its events, where they are known, say more."""
        ids = [s.id for s in view.plan.steps]
        run = self.run
        if run is None or run.run != view.run or [s.id for s in run.steps] != ids:
            if view.finished and run is not None:
                return
            run = self.run = RunBoard(run=view.run, started=view.started)
            run.steps = [StepRow(s.id, s.title, s.weight) for s in view.plan.steps]
        run.verb, run.title = view.verb, run.title or view.title
        run.started = run.started or view.started
        if view.finished:
            run.ended = run.started if run.ended is None else run.ended
        run.paused = view.paused and not view.finished
        if view.gate and not view.finished and not run.over:
            wait(run, view.gate, view.gate_sentence)

    def apply(self, event: e.AnyEvent) -> None:
        """Take one event. Unknown runs and steps are taken as they come: the engine is right."""
        self.last_event = event
        self.version += 1
        self.turns += not isinstance(event, FLOWING)
        if isinstance(event, e.Line):
            self._line(event)
            return
        if isinstance(event, e.ServiceProgress):
            self.services[event.service] = event
            return
        if isinstance(event, e.RunStarted):
            self._run_started(event)
            return
        if not event.run:
            return
        if self.run is None or self.run.run != event.run:
            self.run = RunBoard(run=event.run, started=event.at)
        apply_to_run(self.run, event)
        self._note(event)

    def _run_started(self, event: e.RunStarted) -> None:
        """A new run, or the same one going on after a gate: then what is known of its steps stays."""
        run = self.run
        ids = [step for step, _, _ in event.steps]
        goes_on = (
            run is not None and run.run == event.run and not run.over and [s.id for s in run.steps] == ids
        )
        if run is not None and goes_on:
            run.title = event.title
            stop_waiting(run)
            self._log(event.at, "run", "info", f"{event.run} goes on: {event.title}")
            return
        self.run = RunBoard(run=event.run, title=event.title, started=event.at)
        self.run.steps = [StepRow(i, title, weight) for i, title, weight in event.steps]
        self._log(event.at, "run", "info", f"{event.run} started: {event.title}")

    def _line(self, event: e.Line) -> None:
        for text in event.text.splitlines() or [""]:
            if event.source in ("vm", "patch") and self.run is not None:
                self.run.twin.append(clean(text))
            if event.source == "run" and event.level == "warn" and self.run is not None:
                self.run.warned.append(clean(text))
            self._log(event.at, event.source, event.level, text)

    def _note(self, event: e.Event) -> None:
        match event:
            case e.StepStarted():
                words, level = f"step {event.number} of {event.total}: {event.title}", "info"
            case e.StateChanged():
                words, level = f"{event.run} is {event.state.value}", "info"
            case e.Waiting():
                words, level = f"waiting for a person: {event.sentence}", "info"
            case e.Paused():
                words, level = f"{event.run} is paused: its VM stands still", "info"
            case e.Resumed():
                words, level = f"{event.run} goes on after {event.seconds:.0f} s of pause", "info"
            case e.Failed():
                words, level = f"{event.code}: {event.what}", "error"
            case e.VerdictReached():
                words, level = f"verdict: {event.verdict.headline}", "info"
            case e.RunFinished():
                self.ended_at = event.seq
                words, level = f"{event.run} finished: {event.outcome}", "info"
            case _:
                return
        self._log(event.at, "run", level, words)

    def _log(self, at: float, source: str, level: str, text: str) -> None:
        level = "warn" if level == "warning" else level
        self.log.append(LogLine(at, clean(source), level, clean(text)))
        if level in ("warn", "error") and at > self.read_until:
            self.unread += 1
