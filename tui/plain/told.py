"""The model in sentences, one thing after the other. Pure: model in, text out; lines are wrapped by Talk."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.errors import ApplianceError
from appliance.model import events as e
from appliance.model.lineage import Node
from appliance.model.machine import Machine
from appliance.model.messages import Planned, Status
from appliance.model.plan import Plan, Verb
from appliance.model.verdict import ChangeKind, ConfigDiff, Outcome, Verdict
from appliance.session import SaidNo
from tui import describe, goingback
from tui.look import Line
from tui.reading import outcome_counts, package_marks, truth_labels
from tui.runboard import RunBoard
from tui.words import about, count, day, duration, room, size

WIDTH = 200  # sentences come unwrapped


def text_of(row: Line) -> str:
    return " ".join("".join(text for text, _ in row).split())


def home(status: Status | None, machine: Machine | None, words: str) -> Iterator[str]:
    """Machine, volumes, what boots next, what can be done next."""
    if machine is None:
        yield words
        return
    for row in describe.machine_facts(machine, WIDTH):
        yield text_of(row)
    for warning in describe.warnings(status, machine, WIDTH):
        yield " ".join(warning.split())
    if status is None:
        return
    yield ""
    yield f"Writes to this machine: {status.writes}"
    for _, node in describe.ordered(status.lineage):
        yield volume(node)
    following, fallback = describe.boots(status, status.outdated)
    yield f"Next boot: {following}"
    yield f"Fallback: {fallback}"
    if status.next_step:
        yield f"Next step: {status.next_step}"


def volume(node: Node) -> str:
    """One volume of the lineage as a sentence."""
    parts = [f"Volume {node.volume}"]
    parts += [f"of run {node.run}, made {day(node.made) or 'at a time unknown'}"] if node.run else []
    parts += [f"from {node.parent}"] if node.parent else []
    marks = [m for m, held in (("BOOTS NEXT", node.boots_next), ("FALLBACK", node.fallback)) if held]
    cost = f" It holds {size(node.cost)} of its own." if node.cost else ""
    return f"{', '.join([' '.join(parts), *marks])}. {describe.node_sentence(node)}{cost}"


def plan(planned: Planned) -> Iterator[str]:
    """The steps; every write with what a power cut at it leaves; warnings before them."""
    made = planned.plan
    rehearsal = made.request.makes_a_run
    yield f"Plan {made.names.run}: {count(len(made.steps), 'step')}, {about(weight(made))}."
    for warning in made.warnings:
        yield f"[!] {warning}"
    if made.request.verb is Verb.ROLLBACK:
        yield from goingback.told(made)
    for number, step in enumerate(made.steps, 1):
        gate = " (waits for you)" if step.gate else ""
        commit = " This is the switch." if step.commit else ""
        yield f"Step {number}: {step.title}{gate}.{commit}"
        for write in step.writes:
            yield f"   writes: {write.what}. Power cut here: {write.if_cut}."
    if made.request.rehearse_only:
        yield "Nothing is written to this machine: the copy elsewhere is thrown away."
    elif rehearsal:
        yield "Nothing that exists is changed: all of this is made in snapshots that can be deleted."
    if made.expected_bytes:
        yield f"Room: {room(made)}."
    if planned.command_line:
        yield f"The same as a command: {planned.command_line}"


def weight(made: Plan) -> float:
    return sum(step.weight for step in made.steps)


def verdict(run: str, found: Verdict) -> Iterator[str]:
    """What got worse with its why and fix first, then what was not tested, packages, files, data."""
    yield f"Verdict of {run}: {found.headline}."
    yield f"Checks: {outcome_counts(found)}. {truth_labels(found)}."
    if found.thrown_away:
        yield f"[!] {found.thrown_away}"
    yield from (f"To make room: {way}" for way in found.ways)
    for check in found.checks:
        if check.outcome is Outcome.SAME:
            continue
        word = "WORSE" if check.outcome is Outcome.WORSE else "NOT TESTED"
        why, fix = (
            f" {label}: {text}" if text else "" for label, text in (("Why", check.why), ("Fix", check.fix))
        )
        yield f"{word}: {check.name}. Before: {check.before}. After: {check.after}.{why}{fix}"
    yield count(len(found.packages), "package") + " changed."
    for change in found.packages:
        marks = package_marks(change)
        act = f"{change.before or 'new'} to {change.after or 'removed'}"
        yield f"   {change.name}: {act}{', ' + marks if marks else ''}"
    odd = [f.path for f in found.files if f.kind is ChangeKind.UNEXPLAINED]
    yield f"{count(len(found.files), 'file')} changed, {len(odd)} UNEXPLAINED."
    yield from (f"   UNEXPLAINED: {path}" for path in odd)
    for write in found.data_writes:
        yield f"[!] The patch wrote {size(write.bytes)} to {write.target}. {goingback.MIGRATED}"
    yield from (f"Not applied: {text}" for text in found.not_applied)


def config(diff: ConfigDiff) -> Iterator[str]:
    """One configuration file's changes, line by line as a unified diff has them."""
    yield f"{diff.path}: {diff.act}"
    yield from diff.text.splitlines()
    if diff.hidden:
        yield f"{count(diff.hidden, 'secret')} hidden here."
    if diff.note:
        yield diff.note


def error(problem: ApplianceError) -> Iterator[str]:
    """What happened, what is safe, numbered next actions; all reasons of a refusal at once."""
    reasons = problem.reasons if isinstance(problem, SaidNo) else ()
    yield f"STOPPED. Code {problem.code}."
    yield f"What happened: {problem.what}" if not reasons else "This cannot be done, because:"
    yield from (f"   - {reason}" for reason in reasons)
    yield f"What is safe: {problem.safe}"
    yield from (f"   {number}  {action}" for number, action in enumerate(problem.next_actions, 1))


def event(happened: e.AnyEvent) -> Iterator[str]:
    """What is worth a line of its own; progress is for `progress`."""
    match happened:
        case e.StepStarted():
            yield f"Step {happened.number} of {happened.total}: {happened.title}"
        case e.StepFinished():
            yield f"   done in {duration(happened.seconds)}"
        case e.Waiting():
            yield f"WAITING FOR YOU: {happened.sentence}"
        case e.Line(level="warn" | "warning" | "error"):
            yield f"   {happened.level}: {happened.text}"
        case e.VerdictReached():
            yield f"VERDICT: {happened.verdict.headline}"
        case e.StateChanged():
            yield f"{happened.run} is {happened.state.value}."
        case e.Failed():
            yield f"STOPPED. Code {happened.code}."
            yield f"What happened: {happened.what}"
            yield f"What is safe: {happened.safe}"
            yield from (f"   {number}  {action}" for number, action in enumerate(happened.next_actions, 1))
        case e.RunFinished():
            yield f"{happened.run} finished: {happened.outcome}"


def progress(run: RunBoard, now: float) -> str:
    """Where a run is, in one sentence."""
    current = run.current
    share = f"{run.fraction() * 100:.0f}% done"
    left = run.left(now)
    rest = f", {about(left)} left" if left >= 0 else ""
    said = run.progress
    counted = (
        f", {said.done:.0f} of {said.total:.0f} {said.unit}"
        if said and said.unit not in ("", "bytes")
        else ""
    )
    if said and said.rate >= 0:
        counted += f" ({said.rate:.1f} a second)"
    where = f"{current.title}{counted}: " if current else ""
    return f"   {where}{share}{rest}"
