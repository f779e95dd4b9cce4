"""What remains of a run on the state volume: record.json, report.html and report.txt beside its journal."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

from appliance.errors import DamagedData
from appliance.model.messages import RecordOf
from appliance.model.plan import Plan
from appliance.model.verdict import Verdict
from appliance.report.record import (
    Console,
    Picture,
    Promise,
    Record,
    console,
    failure_of,
    read_events,
    said_of,
    steps_of,
    write_record,
)
from appliance.workflow.journal import Journal
from appliance.workflow.workplace import Workplace

ORIGIN = "the origin's blocks by thin_delta"


def record_of(folder: Path, run: str, verdict: Verdict | None) -> RecordOf:
    """The newest report of `run`, as text."""
    reports = sorted(folder.glob("*/report.txt"), key=lambda p: p.stat().st_mtime)
    text = reports[-1].read_text(errors="replace") if reports else f"{run}: no report was written."
    return RecordOf(
        run=run, verdict=verdict, text=text, folder=str(reports[-1].parent if reports else folder)
    )


def write_record_of(plan: Plan, work: Workplace, act: Path, title: str, outcome: str) -> Path:
    """Put the record of one act together from what lies on the disk; returns its folder."""
    events = read_events(act / "events.jsonl")
    rehearsal = plan.request.makes_a_run
    journal = Journal.open(act / "journal.jsonl")
    record = Record(
        run=plan.names.run,
        title=title,
        version=importlib.metadata.version("twinboot"),
        started=journal.records[0].at if journal.records else time.time(),
        finished=time.time(),
        outcome=outcome,
        machine=work.machine,
        plan=plan,
        verdict=_verdict(work) if rehearsal else None,
        steps=steps_of(events),
        failure=failure_of(events),
        said=() if rehearsal else said_of(events),
        promises=_promises(journal, plan) if rehearsal else (),
        consoles=_consoles(work) if rehearsal else (),
        pictures=_pictures(act),
    )
    write_record(record, act)
    return act


def _verdict(work: Workplace) -> Verdict | None:
    try:
        verdict: Verdict | None = work.load("verdict", Verdict) if work.saved("verdict") else None
    except DamagedData:
        return None
    return verdict


def _promises(journal: Journal, plan: Plan) -> tuple[Promise, ...]:
    """P1 as it was looked at by the last step, or not."""
    held = True if journal.has("end", "unchanged") else None
    origin = (
        "the sectors written to each disk, by the kernel's count" if plan.request.rehearse_only else ORIGIN
    )
    sentence = f"sha256 of /boot, ESP, boot variables and the first MiB; {origin}"
    return (Promise(name="origin, /boot and ESP unchanged", held=held, sentence=sentence),)


def _pictures(act: Path) -> tuple[Picture, ...]:
    """The screenshots that were taken while the run went on."""
    return tuple(Picture(file=f"{p.parent.name}/{p.name}") for p in sorted(act.glob("screenshots/*.png")))


def _consoles(work: Workplace) -> tuple[Console, ...]:
    """The serial lines of both twins, as far as they are still in memory."""
    found = []
    for part, name in (("work", "control and patched boot"), ("proof", "proof boot")):
        log = work.scratch / part / "console.log"
        if log.is_file():
            found.append(console(name, log.read_bytes()))
    return tuple(found)
