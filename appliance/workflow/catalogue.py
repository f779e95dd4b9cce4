"""From a verb to its plan and its steps: the one place that knows them all."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from appliance.boot.choose import choose_loader, loader_partition, why_not_inside
from appliance.boot.firmware_setup import ask_for_setup as ask_for_setup
from appliance.boot.flip import open_boot
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import (
    ApplianceError,
    BootConfigFailed,
    Busy,
    CommandFailed,
    HistoryUnread,
    NeedsRescue,
    Refused,
)
from appliance.host.run import Host
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.messages import RecordOf
from appliance.model.plan import Plan, Request, Verb, fingerprint
from appliance.model.wanted import AptSetup
from appliance.twin.sizing import available_memory
from appliance.volumes.base import SnapshotRole
from appliance.workflow import arrays, data_back, elsewhere, promote, rehearse, repair, stick, undoing
from appliance.workflow.boot_files import save_boot_files as save_boot_files
from appliance.workflow.bundle_check import Finding, Owner, check_bundle
from appliance.workflow.descent import Descent, descend
from appliance.workflow.fetching import can_fetch
from appliance.workflow.losses import losses
from appliance.workflow.naming import next_run, with_every_name
from appliance.workflow.places import Places
from appliance.workflow.records import record_of, write_record_of
from appliance.workflow.room import Known
from appliance.workflow.runner import Step
from appliance.workflow.selection import choose_system
from appliance.workflow.stand_in import Held, ask_devices, with_stand_ins
from appliance.workflow.standing import stand
from appliance.workflow.steps import array as array_steps
from appliance.workflow.steps import boot as boot_steps
from appliance.workflow.steps import data_back as data_steps
from appliance.workflow.steps import default as default_steps
from appliance.workflow.steps import rehearsal as rehearsal_steps
from appliance.workflow.steps import repair as repair_steps
from appliance.workflow.steps import retire as retire_steps
from appliance.workflow.steps import undo as undo_steps
from appliance.workflow.steps.ground import Ground, boot_place
from appliance.workflow.workplace import Workplace

TITLES = {
    Verb.REHEARSE: "Rehearsal",
    Verb.REPAIR: "Repair",
    Verb.PROMOTE: "Promotion",
    Verb.ROLLBACK: "Roll back",
    Verb.KEEP: "Keep",
    Verb.RETIRE: "Retire",
    Verb.UNDO: "Undo everything",
}


STEPS = {
    **rehearsal_steps.STEPS,
    **repair_steps.STEPS,
    **boot_steps.STEPS,
    **data_steps.STEPS,
    **default_steps.STEPS,
    **retire_steps.STEPS,
    **undo_steps.STEPS,
    **array_steps.STEPS,
}


NOT_READ = "not known: /boot cannot be read"


def title(plan: Plan) -> str:
    if plan.request.verb is Verb.REHEARSE:
        return f"Rehearsal {plan.names.run}: {rehearse.TITLES[plan.request.patch.kind]}"
    if plan.request.verb is Verb.UNDO:
        return TITLES[Verb.UNDO]
    if plan.request.repair is not None:
        return f"Repair {plan.names.run}: {repair.TITLES[plan.request.repair]}"
    return f"{TITLES[plan.request.verb]} {plan.names.run}"


def build_plan(
    machine: Machine,
    request: Request,
    descent: Descent,
    host: Host,
    places: Places,
    sizes: Mapping[str, int] | None = None,
    setup: Callable[[str], AptSetup] | None = None,
    initrd: Callable[[str], Held] | None = None,
) -> Plan:
    """A plan for `request`; `sizes` are what installed packages take, in bytes, where somebody has looked.

    `setup` reads what decides what a system's apt would fetch, where a bundle has to fit it; `initrd` what a
    system's initrd holds, where a twin can not have the controller of its disk. Raises Refused with every
    reason at once.
    """
    made = _build_plan(machine, request, descent, host, places, sizes, setup)
    if request.makes_a_run and initrd is not None:
        held = functools.partial(initrd, made.system.id)
        made = with_stand_ins(made, machine, functools.partial(ask_devices, host), held)
    return arrays.with_arrays(made, machine)


def _build_plan(
    machine: Machine,
    request: Request,
    descent: Descent,
    host: Host,
    places: Places,
    sizes: Mapping[str, int] | None,
    setup: Callable[[str], AptSetup] | None,
) -> Plan:
    if request.verb is Verb.REHEARSE:
        missing = stick.why_not(places.data, request)
        fits = patches_there(host, machine, request, descent, places, setup) if not missing else Finding()
        bundle = request.patch.bundle
        known = Known(stick.bundle_bytes(places.data, bundle, fits.spare), sizes or {})
        free = stick.free_bytes(places.data)
        there = elsewhere.offers(machine, free, available_memory(), request.memory)
        large = stick.why_too_large(places.data, bundle, places.runtime, fits.spare)
        reasons = (*missing, *large, *fits.reasons)
        plan = rehearse.build_plan(machine, request, descent.lineage, reasons, known, there, fits.warnings)
        return msgspec.structs.replace(plan, own_part=bool(fits.spare))
    if request.verb is Verb.REPAIR:
        return repair.build_plan(machine, request, descent.lineage)
    if request.verb is Verb.UNDO:
        system = undoing.system_of(machine, undoing.group_of(machine))
        return undoing.build_plan(machine, request, descent.lineage, view_of(host, machine, system, places))
    if descent.lineage.node(request.run) is None:
        raise Refused((f"There is no run {request.run or '(none named)'} on this machine.",))
    recorded = places.plan(request.run)
    if recorded.request.rehearse_only:
        raise Refused((elsewhere.nothing_to_promote(recorded),))
    rehearsed = msgspec.structs.replace(recorded, names=with_every_name(recorded.names))
    ground = ground_of(rehearsed, machine, places)
    seen = view(host, ground)
    made = promote.build_plan(
        machine,
        request,
        descent.lineage,
        rehearsed,
        places.verdict(request.run),
        seen,
        choose_loader(machine, rehearsed.system, host),
        on_disk(host, ground, request),
    )
    if request.verb is Verb.KEEP and seen is not None and seen.state is BootState.TRIAL:
        # A trial that gave the machine back: what the old system did since is not in what is kept.
        return msgspec.structs.replace(made, warnings=(*drift(host, ground), *made.warnings))
    if request.verb is Verb.ROLLBACK and seen is not None and has_run(seen):
        return msgspec.structs.replace(made, losses=losses(host, ground_of(made, machine, places)))
    return made


def patches_there(
    host: Host,
    machine: Machine,
    request: Request,
    descent: Descent,
    places: Places,
    setup: Callable[[str], AptSetup] | None,
) -> Finding:
    """Sentences on where the request's patches would come from: a bundle, or the network."""
    if setup is None:
        return Finding()
    if request.patch.bundle:
        return bundle_fits(host, machine, request, descent, places, setup)
    there = stick.on_stick(places.data)

    def sources() -> AptSetup:
        return setup(choose_system(machine, request, descent.lineage).id)

    return can_fetch(host, request.patch, there, sources)


def bundle_fits(
    host: Host,
    machine: Machine,
    request: Request,
    descent: Descent,
    places: Places,
    setup: Callable[[str], AptSetup],
) -> Finding:
    """Sentences on the request's bundle. Raises Refused where the request names no one system."""
    system = choose_system(machine, request, descent.lineage).id
    try:
        apt = setup(system)
    except ApplianceError as error:
        return Finding((), (f"Whether the bundle fits could not be checked: {error.what}",))
    if not apt.installed:
        return Finding()
    folder = stick.bundle_folder(places.data, request.patch.bundle)
    return check_bundle(host, folder, Owner(machine.identity, system, apt), request.patch, time.time())


def on_disk(host: Host, ground: Ground, request: Request) -> tuple[str, ...]:
    """Sentences on what the volumes themselves say against an act on an earlier run."""
    if request.verb is Verb.PROMOTE:
        return drift(host, ground)
    return data_back.why_not(host, ground) if request.with_data else ()


def has_run(seen: LoaderView) -> bool:
    """Whether the trial may have written something: an armed one has not, unless it shall be kept."""
    return seen.state is not BootState.ARMED or seen.keep_asked


def why_stale(plan: Plan, machine: Machine, lineage: Lineage) -> tuple[str, ...]:
    """Sentences on why a plan made earlier is not for this machine as it is now. Pure."""
    if plan.machine != machine.identity:
        return (f"This plan is for {plan.machine}; this machine is {machine.identity}.",)
    if plan.fingerprint != fingerprint(machine):
        return ("The machine's disks or volumes have changed since the plan was made.",)
    if why := _not_known(plan):
        return (why,)
    run = plan.names.run
    if plan.request.makes_a_run and run != next_run(machine, plan.names.vg, lineage):
        return (f"The machine has had a run {run} since the plan was made: its volumes would be mistaken.",)
    return ()


def ground_of(plan: Plan, machine: Machine, places: Places) -> Ground:
    run = plan.names.run
    return Ground(plan, Workplace(machine, run, places.folder(run), places.runtime, places.data))


def steps(plan: Plan, work: Workplace, live: dict[str, object] | None = None) -> tuple[Step, ...]:
    """The steps of `plan`, in its order. Raises NeedsRescue for a step this version does not know.

    `live` is where they keep what dies with the process, such as a running twin.
    """
    ground = Ground(plan, work, {} if live is None else live)
    if why := _not_known(plan):
        raise NeedsRescue(why, next_actions=("Start the version of Twinboot that began it.",))
    return tuple(STEPS[planned.id](planned, ground) for planned in plan.steps)


def _not_known(plan: Plan) -> str:
    missing = ", ".join(planned.id for planned in plan.steps if planned.id not in STEPS)
    return f"The plan is of another version of Twinboot: this one has no step {missing}." if missing else ""


def confirmation(plan: Plan, gate: str) -> str:
    """What a person must type at `gate`: the last 4 of the machine's identity, or nothing."""
    return plan.machine[-4:].strip() if gate == "confirm" else ""


def view(host: Host, ground: Ground) -> LoaderView | None:
    """/boot as its loader reads it; None where this system's loader is not one of ours."""
    return view_of(host, ground.machine, ground.system, Places(ground.work.runtime))


def view_of(host: Host, machine: Machine, system: InstalledSystem, places: Places) -> LoaderView | None:
    if loader_partition(system) is None and (not system.boot_inside or why_not_inside(machine, system)):
        return None
    return _as_read(host, machine, system, places)


def _as_read(host: Host, machine: Machine, system: InstalledSystem, places: Places) -> LoaderView:
    loader, place = choose_loader(machine, system, host), boot_place(machine, system, places.runtime)
    with arrays.kept_shown(machine, place.device):
        return loader.view(open_boot(host, place))


def drift(host: Host, ground: Ground) -> tuple[str, ...]:
    """Sentences on what the old system wrote since the snapshot was taken."""
    bases, store = ground.whole_set(SnapshotRole.BASE), ground.store(host)
    if gone := [base.lv for base in bases if not store.exists(base)]:
        return (f"The snapshot {gone[0]} of the old system is gone: rehearse again.",)
    written = sum(changed.bytes for _, changed in ground.changed(host))
    if not written:
        return ()
    if ground.system.boot_inside:
        return (
            f"The old root has been written to since the snapshot (at least {written >> 10} KiB differ), by "
            "the old system, or by a trial or an act of ours that was cut off: rehearse again, or what the "
            "old system did since would be lost.",
        )
    whose = "volumes" if len(bases) > 1 else "volume"
    return (
        f"The old system has run since the snapshot (at least {written >> 10} KiB of its {whose} differ): "
        "rehearse again, or what it did since would be lost.",
    )


def descent(host: Host, machine: Machine, places: Places) -> Descent:
    """The lineage as the disk tells it. What cannot be read is left out, never guessed."""
    seen: LoaderView | None = None
    unread = ""
    for system in machine.systems:
        try:
            seen = _as_read(host, machine, system, places)
        except Refused:
            continue
        except (BootConfigFailed, Busy, CommandFailed) as error:
            unread = error.what
            continue
        if seen.runs:
            break
    damaged: tuple[str, ...] = ()
    try:
        records, past = places.records(host, machine), places.past(host, machine)
    except HistoryUnread as error:
        records, past, damaged = (), ((), ()), (error.what,)
    found = descend(machine, seen, records)
    if seen is None and unread:
        found = dataclasses.replace(found, next_boot=NOT_READ, notices=(*found.notices, unread))
    return dataclasses.replace(
        found, notices=(*damaged, *found.notices), standing=stand(machine, seen, *past)
    )


def record(host: Host, machine: Machine, places: Places, run: str) -> RecordOf:
    """Raises Refused where the machine's history has no such run."""
    places.mount(host, machine)  # where the history itself was deleted, the record of that is in memory
    if not places.folder(run).is_dir():
        raise Refused((f"The machine's history has no run {run}.",))
    return record_of(places.folder(run), run, places.verdict(run))


def write_report(plan: Plan, work: Workplace, act: Path, outcome: str) -> str:
    """The record of what was done as JSON and HTML beside the journal; its folder, or empty on failure."""
    try:
        return str(write_record_of(plan, work, act, title(plan), outcome))
    except (ApplianceError, OSError):
        return ""
