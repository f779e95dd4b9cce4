"""The rehearsal, as one readable page: what is refused, and the steps in their order."""

from __future__ import annotations

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
from appliance.volumes.choose import one_volume, snapshots_in, why_no_store
from appliance.workflow.naming import choose_names, next_run
from appliance.workflow.room import NOTHING_KNOWN, Known, expected_bytes, why_no_room, with_room
from appliance.workflow.selection import choose_system

OURS_REMAIN = "our own snapshot volumes remain; the next start deletes them"
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
) -> Plan:
    """What a rehearsal will do on `machine`; `missing` says what the stick has not got.

    Raises Refused with every reason at once.
    """
    system = choose_system(machine, request, lineage)
    expected = expected_bytes(system, request, known)
    reasons = (*refusals(machine, system, request), *missing, *why_no_room(machine, system, expected))
    warnings = warnings_of(machine, system)
    if reasons:
        raise Refused(reasons, warnings)
    run = next_run(machine, system.root.vg, lineage)
    made = Plan(
        request=request,
        names=choose_names(system, run),
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=system,
        steps=planned_steps(request, system),
        warnings=warnings,
    )
    return with_room(made, machine, expected)


def warnings_of(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """What does not stand in the way and is to be read before starting, as sentences."""
    return tuple(t.sentence for t in (*machine.trouble, *system.trouble) if not t.refuses)


def refusals(machine: Machine, system: InstalledSystem, request: Request) -> tuple[str, ...]:
    """Every reason not to rehearse, as sentences."""
    reasons = [t.sentence for t in (*machine.trouble, *system.trouble) if t.refuses]
    reasons += why_no_kvm(machine, request)
    if request.patch.kind is PatchKind.PACKAGES:
        if not request.patch.packages:
            reasons.append("No package was named: give --packages a list.")
        reasons += not_packages(request.patch.packages)
    if request.patch.kind is PatchKind.SCRIPT and not request.patch.script:
        reasons.append("No script was named: give --script a file on the stick.")
    reasons += why_no_store(machine, system)
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
    return (
        *beginning(system),
        build_twin(),
        PlannedStep(id="control", title="Control boot", weight=150),
        remember_data(),
        *(
            by_hand()
            if request.patch.kind is PatchKind.BY_HAND
            else (PlannedStep(id="patch", title=TITLES[request.patch.kind], weight=120),)
        ),
        PlannedStep(id="patched", title="Patched boot", weight=150),
        PlannedStep(id="checks", title="Compare the two boots", weight=5),
        *ending(system),
    )


def beginning(system: InstalledSystem) -> tuple[PlannedStep, ...]:
    """From a machine at rest to its snapshot: the same for every run that makes one."""
    where = snapshots_in(system)
    return (
        PlannedStep(id="space", title="Check space", weight=5),
        PlannedStep(id="evidence", title="Take fingerprints of origin, /boot and ESP", weight=15),
        PlannedStep(
            id="snapshot",
            title="Take the snapshot",
            weight=10,
            writes=(Write(what=f"add snapshot volumes to {where} (no copy)", if_cut=OURS_REMAIN),),
        ),
    )


def build_twin() -> PlannedStep:
    return PlannedStep(
        id="twin",
        title="Build the twin; our agent and the quiet list go into the snapshot",
        weight=20,
        writes=(Write(what="add our unit to the snapshot, never to the origin", if_cut=OURS_REMAIN),),
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


def ending(system: InstalledSystem) -> tuple[PlannedStep, ...]:
    """From a twin that was tested to its verdict: the same for every run that makes one."""
    sealed = "add the sealed snapshot, read-only"
    trial = "add the trial volume, a writable snapshot of the sealed one"
    if one_volume(system):
        sealed = "the twin's volume becomes the sealed one, read-only"
        trial = "the sealed volume becomes the trial volume"
    return (
        PlannedStep(
            id="seal",
            title="Freeze the twin and seal its volume while it runs",
            weight=20,
            writes=(Write(what=sealed, if_cut=OURS_REMAIN),),
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
