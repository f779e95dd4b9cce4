"""What happens during a run, as small messages: console, CLI, log and report read this one stream."""

from __future__ import annotations

import msgspec

from appliance.model.lineage import State
from appliance.model.verdict import Verdict


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """`at` is seconds since the epoch; `seq` counts from 1 within the engine's life."""

    at: float = 0.0
    seq: int = 0
    run: str = ""


class RunStarted(Event, frozen=True, tag="run-started"):
    title: str
    steps: tuple[tuple[str, str, float], ...]


class StepStarted(Event, frozen=True, tag="step-started"):
    step: str
    title: str
    number: int
    total: int


class StepFinished(Event, frozen=True, tag="step-finished"):
    step: str
    seconds: float


class Progress(Event, frozen=True, tag="progress"):
    """`done` of `total` in `unit`, at `rate` of them a second; `left` is seconds. Both are negative where
    nothing honest can be said."""

    step: str
    done: float
    total: float
    unit: str = ""
    left: float = -1.0
    rate: float = -1.0


class Gauge(Event, frozen=True, tag="gauge"):
    """A figure that is shown live: "pool used", "VM memory"…, a fraction of 1 or plain text."""

    name: str
    text: str
    fraction: float = -1.0


class Line(Event, frozen=True, tag="line"):
    """One line of text from `source`: log, patch, vm, boot, disk, net."""

    source: str
    text: str
    level: str = "info"


class StateChanged(Event, frozen=True, tag="state"):
    state: State


class VerdictReached(Event, frozen=True, tag="verdict"):
    verdict: Verdict


class Waiting(Event, frozen=True, tag="waiting"):
    """A gate: the run goes on when a person approves."""

    gate: str
    sentence: str


class Paused(Event, frozen=True, tag="paused"):
    """The run's VM stands still until somebody resumes it."""


class Resumed(Event, frozen=True, tag="resumed"):
    """It goes on; `seconds` it stood still."""

    seconds: float = 0.0


class Failed(Event, frozen=True, tag="failed"):
    code: str
    what: str
    safe: str
    next_actions: tuple[str, ...] = ()


class RunFinished(Event, frozen=True, tag="run-finished"):
    outcome: str
    report: str = ""


class ServiceProgress(Event, frozen=True, tag="service-progress"):
    """How far the appliance is with something that is no step of a run: `done` of `total` in `unit`."""

    service: str
    words: str
    done: float
    total: float
    unit: str = ""


AnyEvent = (
    RunStarted
    | StepStarted
    | StepFinished
    | Progress
    | Gauge
    | Line
    | StateChanged
    | VerdictReached
    | Waiting
    | Paused
    | Resumed
    | Failed
    | RunFinished
    | ServiceProgress
)
