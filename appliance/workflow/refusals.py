"""Why an act on an earlier run is refused. Pure."""

from __future__ import annotations

import datetime

from appliance.boot.shapes import BootState, LoaderView
from appliance.model.lineage import Node, State
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.workflow.retirement import is_kept
from appliance.workflow.retirement import why_not as why_not_retire

OF_NAMES = frozenset(
    {"device-missing", "fstab-damaged", "crypttab", "luks-key", "resume-missing", "lvm-devices"}
)
"""Codes of what a system names its devices by, and this machine does not have."""


def refusals(
    machine: Machine,
    request: Request,
    node: Node | None,
    rehearsed: Plan,
    verdict: Verdict | None,
    view: LoaderView | None,
    on_disk: tuple[str, ...],
) -> tuple[str, ...]:
    """Every reason against the act, as sentences; `on_disk` are those that the volumes themselves say."""
    if node is None:
        return (f"There is no run {request.run} on this machine.",)
    if rehearsed.machine != machine.identity:
        return (f"The run {request.run} was made for {rehearsed.machine}, not for {machine.identity}.",)
    state = view.state if view is not None else BootState.ABSENT
    theirs = view is not None and view.whose == request.run
    match request.verb:
        case Verb.PROMOTE:
            found = why_not_found(machine, rehearsed)
            return (*_why_not_promote(request, node, verdict, state, theirs), *found, *on_disk)
        case Verb.ROLLBACK:
            return (*_why_not_roll_back(request, state, theirs), *on_disk)
        case Verb.KEEP if not theirs or state not in (BootState.ARMED, BootState.TRIAL):
            return (f"{request.run} is not on trial, so there is nothing to keep.",)
        case Verb.KEEP if not _is_date(request.retire_on):
            return (f'"{request.retire_on}" is no date like 2026-12-31.',)
        case Verb.RETIRE:
            return (
                *_why_not_retire(machine, rehearsed, view),
                *_why_not_while_pending(request, state, theirs),
            )
    return ()


def why_not_found(machine: Machine, rehearsed: Plan) -> tuple[str, ...]:
    """What the trial names of this machine's devices and can not be found here, as the old system's names
    can: a patch wrote it in the twin, for the twin's."""
    root, trial = rehearsed.system.root, rehearsed.names.trial
    theirs = (s for s in machine.systems if s.root.group == root.group and s.root.member == trial)
    patched = next(theirs, None)
    if patched is None:
        return ()
    old = machine.system(rehearsed.system.id) or rehearsed.system
    new = (t for t in patched.trouble if t.code in OF_NAMES and t not in old.trouble)
    return tuple(f"New in the patched system: {t.sentence}" for t in new)


def _why_not_retire(machine: Machine, rehearsed: Plan, view: LoaderView | None) -> tuple[str, ...]:
    group = machine.group(rehearsed.names.vg)
    if rehearsed.system.boot_inside and is_kept(rehearsed.names, view):
        old, run = rehearsed.system.root.device, rehearsed.names.run
        return (
            f"GRUB's own files lie in the /boot of the old root {old}, which the kept system needs to start: "
            f"that can not be deleted (yet). Leave both as they are, or roll {run} back and retire it then.",
        )
    return why_not_retire(group, rehearsed.names, view) if group is not None else ()


def _is_date(text: str) -> bool:
    """Whether `text` is empty or a day as ISO 8601 writes it."""
    try:
        return not text or datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _why_not_while_pending(request: Request, state: BootState, theirs: bool) -> tuple[str, ...]:
    if state.pending and not theirs:
        return ("Another trial is pending on this machine: roll it back or keep it first.",)
    return ()


def _why_not_roll_back(request: Request, state: BootState, theirs: bool) -> tuple[str, ...]:
    if theirs and state in (BootState.ARMED, BootState.TRIAL, BootState.KEPT):
        return ()
    if theirs and state is BootState.ROLLED_BACK:
        said = f"{request.run} was rolled back already; where its data shall go back as well: --with-data."
        return () if request.with_data else (said,)
    return (f"{request.run} is not what this machine boots, so there is nothing to roll back.",)


def _why_not_promote(
    request: Request, node: Node, verdict: Verdict | None, state: BootState, theirs: bool
) -> tuple[str, ...]:
    reasons = []
    if node.state not in (State.SEALED, State.STAGED):
        said = node.state.value if node.state else "not sealed"
        reasons.append(f"{request.run} is {said}; only a SEALED run can be promoted.")
    if verdict is None:
        reasons.append(f"{request.run} has no verdict: its rehearsal did not end.")
    elif verdict.result is Result.FAIL and not request.force_bad:
        worse = "; ".join(f"{c.name}: {c.why}" for c in verdict.checks if c.outcome.value == "worse")
        reasons.append(
            f"The verdict of {request.run} is FAIL ({worse}). To promote it all the same: --force-bad."
        )
    if state.pending and not theirs:
        reasons.append("Another trial is pending on this machine: roll it back or keep it first.")
    return tuple(reasons)
