"""One run's record: everything a person or a program may want to know of it later, as one versioned value."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from appliance.errors import DamagedData
from appliance.host.files import write_atomic
from appliance.model.codec import from_json, to_pretty_json
from appliance.model.events import AnyEvent, Failed, Line, RunStarted, StepFinished, StepStarted
from appliance.model.machine import Machine
from appliance.model.plain import plain
from appliance.model.plan import Plan
from appliance.model.verdict import Verdict
from appliance.report.mask import Masks, mask_tree

SCHEMA = 1
CONSOLE_LINES = 4000


class StepTime(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` is negative for a step that did not end."""

    id: str
    title: str
    seconds: float = -1.0


class CommandRun(msgspec.Struct, frozen=True, kw_only=True):
    """A program the appliance ran; `at` is seconds since the epoch, `writes`: it could change something."""

    command: str
    writes: bool
    status: int
    seconds: float
    at: float = 0.0


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine said on its console, plain text; `name` e.g. "control boot"."""

    name: str
    text: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A screenshot of a twin: `file` is its PNG, relative to the record's folder."""

    file: str


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """Something promised and looked at: "origin unchanged". `held` None where it could not be looked at."""

    name: str
    held: bool | None
    sentence: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch, UTC. `outcome` as RunFinished has it. `said` is what an act on an
    earlier run said it did, and did not."""

    schema: int = SCHEMA
    run: str
    title: str
    version: str
    started: float
    finished: float
    outcome: str
    machine: Machine
    plan: Plan
    verdict: Verdict | None = None
    steps: tuple[StepTime, ...] = ()
    promises: tuple[Promise, ...] = ()
    consoles: tuple[Console, ...] = ()
    pictures: tuple[Picture, ...] = ()
    commands: tuple[CommandRun, ...] = ()
    failure: str = ""
    said: tuple[str, ...] = ()
    masked: int = 0


def steps_of(events: Iterable[AnyEvent]) -> tuple[StepTime, ...]:
    """The steps in their order of starting, each with the time of its last run."""
    found: dict[str, StepTime] = {}
    for event in events:
        if isinstance(event, RunStarted):
            found = {}
        elif isinstance(event, StepStarted):
            found[event.step] = StepTime(id=event.step, title=event.title)
        elif isinstance(event, StepFinished) and event.step in found:
            title = found[event.step].title
            found[event.step] = StepTime(id=event.step, title=title, seconds=event.seconds)
    return tuple(found.values())


def said_of(events: Iterable[AnyEvent]) -> tuple[str, ...]:
    """The run's own lines, in their order, each once."""
    return tuple(dict.fromkeys(e.text for e in events if isinstance(e, Line) and e.source == "run"))


def failure_of(events: Iterable[AnyEvent]) -> str:
    """What went wrong last, as a sentence with its code; empty where nothing did."""
    said = [f"{e.what} ({e.code})" for e in events if isinstance(e, Failed)]
    return said[-1] if said else ""


def read_events(path: Path) -> tuple[AnyEvent, ...]:
    """events.jsonl; a torn last line is left out. Raises DamagedData for any other bad line."""
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    found: list[AnyEvent] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            found.append(msgspec.json.decode(line, type=AnyEvent))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            if number == len(lines):
                break
            raise DamagedData(f"{path} line {number} does not read as an event: {error}.") from None
    return tuple(found)


def console(name: str, raw: bytes) -> Console:
    """The end of a serial log as plain text: escape sequences gone, empty lines folded."""
    lines: list[str] = []
    for line in raw.decode(errors="replace").split("\n"):
        text = plain(line).rstrip()
        if text or (lines and lines[-1]):
            lines.append(text)
    while lines and not lines[-1]:
        lines.pop()
    cut = len(lines) - CONSOLE_LINES
    kept = [f"({cut} earlier lines left out)", *lines[cut:]] if cut > 0 else lines
    return Console(name=name, text="\n".join(kept).strip())


def masked(record: Record) -> Record:
    """The record without secrets; `masked` counts the places."""
    masks = Masks()
    clean: Any = mask_tree(msgspec.to_builtins(record), masks)
    clean["masked"] = record.masked + masks.places
    return msgspec.convert(clean, Record)


def write_record(record: Record, folder: Path) -> Path:
    """record.json, report.html and report.txt in `folder`, without secrets; returns the HTML file."""
    from appliance.report.html import render_html  # both render a Record, which is defined here
    from appliance.report.text import render_text

    clean = masked(record)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "record.json", to_pretty_json(clean).encode())
    write_atomic(folder / "report.txt", render_text(clean).encode())
    write_atomic(folder / "report.html", render_html(clean, folder).encode())
    return folder / "report.html"


def read_record(folder: Path) -> Record:
    """Raises DamagedData where record.json is missing, of another version, or damaged."""
    path = folder / "record.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedData(f"{path} cannot be read: {error.strerror}.") from error
    record: Record = from_json(data, Record, str(path))
    if record.schema != SCHEMA:
        raise DamagedData(f"{path} is of version {record.schema}; this version reads {SCHEMA}.")
    return record
