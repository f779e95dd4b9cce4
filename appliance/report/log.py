"""The stream of events as a log to read: one line each, times in UTC."""

from __future__ import annotations

import time
from collections.abc import Iterable

from appliance.model import events as e
from appliance.model.plain import plain


def log_text(events: Iterable[e.AnyEvent]) -> str:
    """Lines "2026-11-25 17:40:02 run   info  step 5 of 12: Control boot"; no control character."""
    rows = []
    for event in events:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event.at))
        source, level = (event.source, event.level) if isinstance(event, e.Line) else ("run", "info")
        level = "error" if isinstance(event, e.Failed) else level
        rows += [f"{stamp} {source:5} {level:5} {plain(row)}" for row in _words(event).splitlines()]
    return "\n".join(rows) + "\n"


def _words(event: e.AnyEvent) -> str:
    match event:
        case e.Line():
            return event.text
        case e.RunStarted():
            return f"{event.run} started: {event.title}"
        case e.StepStarted():
            return f"step {event.number} of {event.total}: {event.title}"
        case e.StepFinished():
            return f"{event.step} took {event.seconds:.1f} s"
        case e.StateChanged():
            return f"{event.run} is {event.state.value}"
        case e.VerdictReached():
            return f"verdict: {event.verdict.headline}"
        case e.Waiting():
            return f"waiting for a person: {event.sentence}"
        case e.Failed():
            return f"{event.code}: {event.what} {event.safe}"
        case e.RunFinished():
            return f"{event.run} finished: {event.outcome}"
        case _:
            return ""  # figures that are only of interest while they change
