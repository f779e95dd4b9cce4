"""The whole engine loop: execute steps, stop at gates, roll back, recover. Nothing here knows any step."""

from __future__ import annotations

import contextlib
import enum
import errno
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.errors import ApplianceError, Cancelled, CommandFailed, NeedsRescue, OutOfSpace
from appliance.host.run import Host
from appliance.model.events import Event, Line, StepFinished, StepStarted, Waiting
from appliance.model.plan import PlannedStep
from appliance.workflow.journal import Journal


class Outcome(enum.Enum):
    DONE = "done"
    WAITING = "waiting"
    ROLLED_BACK = "rolled back"


class Stop(threading.Event):
    """Set when a run shall stop. `why` is the error it then ends with: None means that a person wanted it."""

    why: ApplianceError | None = None

    def because(self, error: ApplianceError) -> None:
        """Stop for a reason of the machine's own; the first one counts."""
        self.why = self.why or error
        self.set()


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may use: commands, the event stream, and whether somebody wants to stop."""

    host: Host
    tell: Callable[[Event], None]
    cancel: threading.Event

    def check_cancel(self) -> None:
        if self.cancel.is_set():
            raise self.cause(Cancelled("The run was cancelled."))

    def cause(self, error: ApplianceError) -> ApplianceError:
        """What the run ends with: the reason it was stopped for, where there is one, else `error`."""
        why = self.cancel.why if isinstance(self.cancel, Stop) else None
        return why or error


class Step(Protocol):
    """`done` asks the disk; `undo` is safe twice and half-done, and only deletes our own things.

    `flipped` is asked of a commit that has begun: whether it was made, whatever came of it since.
    """

    @property
    def plan(self) -> PlannedStep: ...
    def done(self, ctx: Context) -> bool: ...
    def flipped(self, ctx: Context) -> bool: ...
    def do(self, ctx: Context) -> None: ...
    def undo(self, ctx: Context) -> None: ...


def execute(steps: Sequence[Step], journal: Journal, ctx: Context) -> Outcome:
    """Run what has not run yet. At an unapproved gate, record it and stop.

    A failure before the commit undoes everything and is raised again; after it, the next start finishes.
    """
    doing = ""
    try:
        for number, step in enumerate(steps, 1):
            doing = step.plan.title
            if journal.has("end", step.plan.id):
                continue
            if step.plan.gate and not journal.has("approved", step.plan.id):
                journal.add("waiting", step.plan.id)
                ctx.tell(Waiting(gate=step.plan.id, sentence=step.plan.title))
                return Outcome.WAITING
            run_step(step, number, len(steps), journal, ctx)
    except (ApplianceError, OSError) as raised:
        error = ctx.cause(_named(raised, doing))
        if not committed(steps, journal, ctx):
            ctx.tell(Line(source="run", level="error", text=f"{error.code} {error.what}"))
            roll_back(steps, journal, ctx)
            _note(journal, "failed", detail=f"{error.code} {error.what}")
        raise error from raised
    journal.add("done")
    return Outcome.DONE


def run_step(step: Step, number: int, total: int, journal: Journal, ctx: Context) -> None:
    ctx.check_cancel()
    started = time.monotonic()
    ctx.tell(StepStarted(step=step.plan.id, title=step.plan.title, number=number, total=total))
    journal.add("begin", step.plan.id)
    if not step.done(ctx):
        step.do(ctx)
    journal.add("end", step.plan.id)
    ctx.tell(StepFinished(step=step.plan.id, seconds=time.monotonic() - started))


def committed(steps: Sequence[Step], journal: Journal, ctx: Context) -> bool:
    """Whether the flip is on the disk: the disk is asked, the journal only says where to look."""
    return bool(_flipped(steps, journal, ctx))


def _flipped(steps: Sequence[Step], journal: Journal, ctx: Context) -> list[Step]:
    return [s for s in steps if s.plan.commit and journal.has("begin", s.plan.id) and s.flipped(ctx)]


def roll_back(steps: Sequence[Step], journal: Journal, ctx: Context) -> Outcome:
    """Undo, last first, every step that has begun. Raises NeedsRescue when an undo fails."""
    for step in reversed(steps):
        if not journal.has("begin", step.plan.id):
            continue
        ctx.tell(Line(source="run", text=f"undo: {step.plan.title}"))
        try:
            step.undo(ctx)
        except (ApplianceError, OSError) as error:
            raise NeedsRescue(f'Undoing "{step.plan.title}" failed: {_named(error).what}') from error
        _note(journal, "undone", step.plan.id)
    return Outcome.ROLLED_BACK


def _named(raised: ApplianceError | OSError, doing: str = "") -> ApplianceError:
    """A full or failing disk, met by a step or by the journal itself, in words of ours: where, else `doing`
    what."""
    if isinstance(raised, ApplianceError):
        return raised
    where = f" ({found})" if (found := raised.filename or doing) else ""
    said = f"{raised.strerror or raised}{where}."
    return OutOfSpace(said) if raised.errno == errno.ENOSPC else CommandFailed(said)


def _note(journal: Journal, what: str, step: str = "", detail: str = "") -> None:
    """What is told of an undo may fail: a full history must not stop the undo, which is safe twice."""
    with contextlib.suppress(OSError):
        journal.add(what, step, detail)


def recover(steps: Sequence[Step], journal: Journal, ctx: Context) -> Outcome:
    """At every start, before any menu: flip on the disk, finish; else delete our leftovers."""
    if journal.last == "approved":
        journal.add("waiting", journal.records[-1].step)  # given, and not acted on: asked for again
    if journal.last == "waiting":
        return Outcome.WAITING
    if flipped := _flipped(steps, journal, ctx):
        for step in flipped:
            if not journal.has("end", step.plan.id):
                journal.add("end", step.plan.id)  # not made twice: the machine may have started since
        return execute(steps, journal, ctx)
    outcome = roll_back(steps, journal, ctx)
    journal.add("failed", detail="interrupted; what it had made was removed")
    return outcome
