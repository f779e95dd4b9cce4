"""The rehearsal, as one readable page: what is refused, and the steps in their order."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.boot.choose import why_no_loader
from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import (
    PatchKind,
    Plan,
    PlannedStep,
    Request,
    Write,
    fingerprint,
    not_packages,
)
from appliance.model.spares import with_spare
from appliance.volumes.choose import lacking_bytes, traits, why_no_store
from appliance.workflow import elsewhere
from appliance.workflow.elsewhere import Offer
from appliance.workflow.naming import choose_names, next_run, throw_away_names
from appliance.workflow.room import (
    NO_TROUBLE_ELSEWHERE,
    NOTHING_KNOWN,
    Known,
    expected_bytes,
    why_no_room,
    with_room,
)
from appliance.workflow.selection import choose_system, why_not_added, why_not_into, with_added
from appliance.workflow.ways import ways_to_repair, ways_to_room
from appliance.workflow.wording import wording

OURS_REMAIN = "our own snapshot volumes remain; the next start deletes them"
FILES_REMAIN = "files of ours remain there, none on this machine; the next start deletes them"
THIS_WAY = (
    "Rehearse only (O on the console, or --rehearse-only --store with one of {words}): the copy lies there, "
    "nothing is written to this machine, and nothing can be promoted."
)
DATA_ON_PARTITIONS = (
    "{places} is data on a partition of its own: the twin has a throw-away copy of it. What a patch writes "
    "there is not looked at, no safety snapshot is taken of it, and going back leaves it as it is then."
)
DATA_BESIDE = (
    "{places} is data in the root's file system: the twin has a throw-away copy of it. What a patch writes "
    "there is not looked at, no safety snapshot is taken of it, and going back leaves it as it is then."
)
DATA_KEPT = (
    "{places} is data in the root's file system: the twin has a throw-away copy of it. What a patch writes "
    "there is not looked at; a dated safety snapshot is taken of it before the trial, for going back."
)
ADDED = (
    "{places} goes round with the root: sealed, promoted and given back in one with it. Going back leaves "
    "behind what is written there from the trial on; no safety snapshot is taken of it."
)
INTO = (
    "{part} is taken for the second root, and for the history where this machine has none yet: what lies in "
    "it is overwritten. The partition table stays what it was until a promotion, which moves that partition "
    "onto the copy inside of it; going back moves it back, and once the old root is retired it lies where "
    "that was."
)
TITLES = {
    PatchKind.NOTHING: "Change nothing, only test the reboot",
    PatchKind.ALL: "Install all pending updates",
    PatchKind.SECURITY: "Install pending security updates",
    PatchKind.PACKAGES: "Install the chosen packages",
    PatchKind.SCRIPT: "Run the script from the stick",
    PatchKind.BY_HAND: "Wait while you work in the twin",
}


def build_plan(
    machine: Machine,
    request: Request,
    lineage: Lineage,
    missing: tuple[str, ...] = (),
    known: Known = NOTHING_KNOWN,
    offers: tuple[Offer, ...] = (),
    notes: tuple[str, ...] = (),
) -> Plan:
    """What a rehearsal will do on `machine`; `missing` says what the stick has not got, `offers` where a copy
    can lie that is only rehearsed, `notes` what is to be read of the stick before starting.

    Raises Refused with every reason at once.
    """
    chosen = choose_system(machine, request, lineage)
    system = with_added(chosen, request.added)
    expected = expected_bytes(system, request, known)
    named = (*why_not_added(chosen, request), *why_not_into(machine, system, request))
    reasons = (*named, *refusals(machine, system, request), *missing)
    machine = with_spare(machine, system, request.into)
    warnings = (*warnings_of_request(request), *warnings_of(machine, system), *notes)
    if request.rehearse_only:
        reasons += elsewhere.why_not(machine, system, request, expected, offers)
    elif nowhere := (*why_no_store(machine, system), *why_no_room(machine, system, expected)):
        only = (*refusals(machine, system, replace(request, rehearse_only=True)), *missing)
        raise without_room(machine, system, expected, (*reasons, *nowhere), warnings, () if only else offers)
    if reasons:
        raise Refused(reasons, warnings, next_actions=ways_to_repair(machine, system) or None)
    run = next_run(machine, system.root.group, lineage)
    made = Plan(
        request=request,
        names=throw_away_names(system, run) if request.rehearse_only else choose_names(system, run),
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=system,
        steps=planned_steps(request, system),
        warnings=warnings,
    )
    if request.rehearse_only:
        return elsewhere.with_copy(made, machine, expected, offers)
    return with_room(made, machine, expected)


def without_room(
    machine: Machine,
    system: InstalledSystem,
    expected: int,
    reasons: tuple[str, ...],
    warnings: tuple[str, ...],
    offers: tuple[Offer, ...],
) -> Refused:
    """No room, or no store for this storage, is no dead end: the refusal names the ways on.

    Nothing is chosen by itself.
    """
    fits = tuple(o.store for o in elsewhere.fitting(machine, system, expected, offers))
    on = (THIS_WAY.format(words=", ".join(fits)),) if fits else ()
    ways = ways_to_room(machine, system, lacking_bytes(machine, system, expected))
    return Refused(reasons, warnings, next_actions=(*on, *ways) or None, elsewhere=fits)


def warnings_of_request(request: Request) -> tuple[str, ...]:
    """What was asked for beside the patch, and what comes of it."""
    found = [ADDED.format(places=", ".join(request.added))] if request.added else []
    return (*found, *([INTO.format(part=request.into)] if request.into else []))


def warnings_of(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """What does not stand in the way and is to be read before starting, as sentences."""
    found = [t.sentence for t in (*machine.trouble, *system.trouble) if not t.refuses]
    beside = [v for v in system.data if traits(system).copies and v.device == system.root.device]
    for said, some in (
        (DATA_KEPT, [v.target for v in beside if v.subvolume]),
        (DATA_BESIDE, [v.target for v in beside if not v.subvolume]),
    ):
        found += [said.format(places=", ".join(some))] if some else []
    if traits(system).beside and system.data:
        places = ", ".join(volume.target for volume in system.data)
        found.append(DATA_ON_PARTITIONS.format(places=places))
    return tuple(found)


def refusals(machine: Machine, system: InstalledSystem, request: Request) -> tuple[str, ...]:
    """Every reason not to rehearse, as sentences, but those of the storage (`why_no_store`)."""
    excused = NO_TROUBLE_ELSEWHERE if request.rehearse_only else frozenset()
    against = (t for t in (*machine.trouble, *system.trouble) if t.refuses and t.code not in excused)
    reasons = [t.sentence for t in against]
    reasons += why_no_kvm(machine, request)
    if request.patch.kind is PatchKind.PACKAGES:
        if not request.patch.packages:
            reasons.append("No package was named: give --packages a list.")
        reasons += not_packages(request.patch.packages)
    if request.patch.kind is PatchKind.SCRIPT and not request.patch.script:
        reasons.append("No script was named: give --script a file on the stick.")
    if request.store and not request.rehearse_only:
        reasons.append("--store says where a copy lies that is only rehearsed: give --rehearse-only as well.")
    reasons += why_no_loader(machine, system)
    return tuple(dict.fromkeys(reasons))


def why_no_kvm(machine: Machine, request: Request) -> tuple[str, ...]:
    """A sentence where the twin could only be emulated and nobody has said that it may."""
    if machine.kvm or request.emulate:
        return ()
    return (
        "This machine offers no hardware virtualisation (KVM); switch it on in the firmware set-up, "
        "or allow a slow emulated twin with --emulate.",
    )


def planned_steps(request: Request, system: InstalledSystem) -> tuple[PlannedStep, ...]:
    """The order is the product: snapshot, control boot, patch, patched boot, seal, proof boot, verdict."""
    only = request.rehearse_only
    return (
        *(beginning_elsewhere() if only else beginning(system, request.into)),
        build_twin(FILES_REMAIN if only else OURS_REMAIN),
        PlannedStep(id="control", title="Control boot", weight=150),
        *(() if only else (remember_data(),)),
        *(
            by_hand()
            if request.patch.kind is PatchKind.BY_HAND
            else (PlannedStep(id="patch", title=TITLES[request.patch.kind], weight=120),)
        ),
        PlannedStep(id="patched", title="Patched boot", weight=150),
        PlannedStep(id="checks", title="Compare the two boots", weight=5),
        *(ending_elsewhere() if only else ending(system, request.into)),
    )


def beginning_elsewhere() -> tuple[PlannedStep, ...]:
    """The same where nothing of the copy lies on the machine."""
    files = Write(what="add files for the copy outside this machine", if_cut=FILES_REMAIN)
    over = Write(what="copy-on-write over the root volume, in those files", if_cut=FILES_REMAIN)
    return (
        PlannedStep(id="make-room", title="Make room for the copy", weight=60, writes=(files,)),
        take_fingerprints(),
        PlannedStep(
            id="snapshot",
            title="Show the root volume read-only, and a copy over it",
            weight=5,
            writes=(over,),
        ),
    )


def ending_elsewhere() -> tuple[PlannedStep, ...]:
    """What makes sense of the ending where nothing will be promoted: there is no trial to prove."""
    return (
        PlannedStep(id="seal", title="Check the package database, freeze the twin, switch it off", weight=20),
        PlannedStep(id="stop", title="Read its kernels, take its disks down", weight=30),
        PlannedStep(id="verdict", title="Sort changed files, reach the verdict", weight=30),
        PlannedStep(id="throw-away", title="Throw the copy away", weight=10),
        PlannedStep(id="unchanged", title="Prove that this machine was not written to", weight=15),
    )


def beginning(system: InstalledSystem, into: str = "") -> tuple[PlannedStep, ...]:
    """From a machine at rest to its snapshot: the same for every run that makes one. `into` is the partition
    that was named for it."""
    kind = traits(system)
    added = wording(system).snapshot.format(place=into or kind.place)
    return (
        *((make_copies_room(),) if kind.copies else ()),
        PlannedStep(id="space", title="Check space", weight=5),
        take_fingerprints(),
        PlannedStep(
            id="snapshot",
            title="Take the snapshot",
            weight=10,
            writes=(Write(what=added, if_cut=OURS_REMAIN),),
        ),
    )


def make_copies_room() -> PlannedStep:
    """Where the twins write to copies over the root's file system."""
    taken = Write(what="add a file to the root's file system, for the twin to write to", if_cut=OURS_REMAIN)
    return PlannedStep(id="make-room", title="Make room for the twin's copy", weight=10, writes=(taken,))


def take_fingerprints() -> PlannedStep:
    return PlannedStep(id="evidence", title="Take fingerprints of origin, /boot and ESP", weight=15)


def build_twin(if_cut: str = OURS_REMAIN) -> PlannedStep:
    return PlannedStep(
        id="twin",
        title="Build the twin; our agent and the quiet list go into the snapshot",
        weight=20,
        writes=(Write(what="add our unit to the snapshot, never to the origin", if_cut=if_cut),),
    )


def by_hand() -> tuple[PlannedStep, ...]:
    return (
        PlannedStep(id="hands", title="Open a root shell on the twin's serial console", weight=5),
        PlannedStep(id="by-hand", title="Work in the twin, then approve to go on", gate=True),
    )


def remember_data() -> PlannedStep:
    return PlannedStep(
        id="data",
        title="Remember the twin's data volumes as they are before anything is changed",
        weight=3,
        writes=(Write(what="add throw-away snapshots of the twin's data volumes", if_cut=OURS_REMAIN),),
    )


def ending(system: InstalledSystem, into: str = "") -> tuple[PlannedStep, ...]:
    """From a twin that was tested to its verdict: the same for every run that makes one."""
    words = wording(system)
    trial = words.trial.format(place=into or traits(system).place)
    return (
        PlannedStep(
            id="seal",
            title="Freeze the twin and seal its volume while it runs",
            weight=20,
            writes=(Write(what=words.sealed, if_cut=OURS_REMAIN),),
        ),
        PlannedStep(id="stop", title="Stop the twin, keep its kernels", weight=30),
        PlannedStep(
            id="trial",
            title="Make the trial volume and the metal's edits",
            weight=15,
            writes=(Write(what=trial, if_cut=OURS_REMAIN),),
        ),
        PlannedStep(id="proof", title="Proof boot of the trial volume", weight=180),
        PlannedStep(id="verdict", title="Sort changed files, reach the verdict", weight=30),
        PlannedStep(id="tidy", title="Remove the twin and all throw-away volumes", weight=10),
        PlannedStep(id="unchanged", title="Prove that origin, /boot and ESP are unchanged", weight=15),
    )
