"""Promotion, roll back, keep and retire, each as one readable page of what is refused and what is written."""

from __future__ import annotations

from appliance.boot.base import BootLoader, BootState, LoaderView
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Machine
from appliance.model.plan import Plan, PlannedStep, Request, Verb, Write, fingerprint
from appliance.model.verdict import Result, Verdict

NOTHING_LOST = "the machine boots as it did before"


def build_plan(
    machine: Machine,
    request: Request,
    lineage: Lineage,
    rehearsed: Plan,
    verdict: Verdict | None,
    view: LoaderView | None,
    loader: BootLoader,
    drifted: tuple[str, ...],
) -> Plan:
    """The plan for an act on an earlier run. Raises Refused with every reason at once.

    `rehearsed` is the run's own plan, `drifted` what changed on the machine since its snapshot.
    """
    node = lineage.node(request.run)
    reasons = refusals(machine, request, node, rehearsed, verdict, view, drifted)
    if reasons:
        raise Refused(reasons)
    steps = {
        Verb.PROMOTE: promote_steps,
        Verb.ROLLBACK: rollback_steps,
        Verb.KEEP: keep_steps,
        Verb.RETIRE: retire_steps,
    }[request.verb](rehearsed, loader)
    return Plan(
        request=request,
        names=rehearsed.names,
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=rehearsed.system,
        steps=steps,
        warnings=warnings(request, verdict),
    )


def refusals(
    machine: Machine,
    request: Request,
    node: Node | None,
    rehearsed: Plan,
    verdict: Verdict | None,
    view: LoaderView | None,
    drifted: tuple[str, ...],
) -> tuple[str, ...]:
    if node is None:
        return (f"There is no run {request.run} on this machine.",)
    if rehearsed.machine != machine.identity:
        return (f"The run {request.run} was made for {rehearsed.machine}, not for {machine.identity}.",)
    state = view.state if view is not None else BootState.ABSENT
    theirs = view is not None and view.run == request.run
    match request.verb:
        case Verb.PROMOTE:
            return (*_why_not_promote(request, node, verdict, state, theirs), *drifted)
        case Verb.ROLLBACK if not theirs or state not in (BootState.ARMED, BootState.TRIAL, BootState.KEPT):
            return (f"{request.run} is not what this machine boots, so there is nothing to roll back.",)
        case Verb.KEEP if not theirs or state not in (BootState.ARMED, BootState.TRIAL):
            return (f"{request.run} is not on trial, so there is nothing to keep.",)
        case Verb.RETIRE if node.boots_next and state is not BootState.KEPT:
            return (f"{request.run} is what this machine boots next: roll back first.",)
    return ()


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


def warnings(request: Request, verdict: Verdict | None) -> tuple[str, ...]:
    """What must be read before confirming: migrations above all."""
    if request.verb not in (Verb.PROMOTE, Verb.ROLLBACK) or verdict is None:
        return ()
    found = [
        f"The patch wrote to {w.target} ({', '.join(w.paths[:5]) or f'{w.bytes} bytes'}): "
        "going back does not take that back; a dated safety snapshot is kept."
        for w in verdict.data_writes
    ]
    found += [f"Not applied: {text}" for text in verdict.not_applied]
    return tuple(found)


def promote_steps(rehearsed: Plan, loader: BootLoader) -> tuple[PlannedStep, ...]:
    run = rehearsed.names.run
    safety = tuple(
        Write(what=f"add {lv}, a dated safety snapshot of {origin}", if_cut=NOTHING_LOST)
        for origin, lv in rehearsed.names.data_safety
    )
    *staged, armed = loader.writes(run)
    return (
        PlannedStep(id="still", title="Check that the old system has not run since", weight=10),
        PlannedStep(id="metal", title="Will it boot on the metal?", weight=20),
        PlannedStep(id="confirm", title=f"Boot this machine from {run} at its next start?", gate=True),
        PlannedStep(id="safety", title="Safety snapshots of data volumes", weight=5, writes=safety),
        PlannedStep(id="stage", title="Stage kernel, initrd and entry", weight=30, writes=tuple(staged)),
        PlannedStep(id="arm", title="Arm the trial: one sector", weight=5, commit=True, writes=(armed,)),
    )


def rollback_steps(rehearsed: Plan, loader: BootLoader) -> tuple[PlannedStep, ...]:
    write = Write(what="one sector of /boot/twinboot/env: the previous system", if_cut="either system boots")
    return (
        PlannedStep(id="confirm", title="Boot the old system from the next start on?", gate=True),
        PlannedStep(id="rollback", title="Roll back: one sector", weight=5, commit=True, writes=(write,)),
    )


def keep_steps(rehearsed: Plan, loader: BootLoader) -> tuple[PlannedStep, ...]:
    write = Write(what="one sector of /boot/twinboot/env: boot it once more and keep it", if_cut=NOTHING_LOST)
    return (
        PlannedStep(id="confirm", title=f"Keep {rehearsed.names.run} for good?", gate=True),
        PlannedStep(
            id="keep", title="Ask the metal to keep it: one sector", weight=5, commit=True, writes=(write,)
        ),
    )


def retire_steps(rehearsed: Plan, loader: BootLoader) -> tuple[PlannedStep, ...]:
    names = rehearsed.names
    gone = f"{names.sealed}, {names.base}"
    return (
        PlannedStep(id="confirm", title=f"Delete the volumes of {names.run}?", gate=True),
        PlannedStep(
            id="retire",
            title="Retire",
            weight=10,
            writes=(
                Write(
                    what=f"delete {gone} and what belongs to them", if_cut="the next start goes on deleting"
                ),
            ),
        ),
    )
