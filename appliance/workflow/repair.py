"""The repair, as one readable page: what is refused, and the steps in their order.

A control boot that fails is a finding. The repair tries one thing on a copy and then goes the way of every
rehearsal: checks, seal, proof boot, verdict. The original is not touched, and stays as it is.
"""

from __future__ import annotations

from appliance.boot.artifacts import version_key
from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import Plan, PlannedStep, RepairKind, Request, Write, fingerprint
from appliance.volumes.choose import traits, why_no_store
from appliance.workflow.naming import choose_names, next_run
from appliance.workflow.rehearse import (
    OURS_REMAIN,
    beginning,
    build_twin,
    by_hand,
    ending,
    remember_data,
    warnings_of,
    why_no_kvm,
)
from appliance.workflow.room import expected_bytes, why_no_room, with_room
from appliance.workflow.selection import choose_system
from appliance.workflow.ways import repair_for

TITLES = {
    RepairKind.OLDER_KERNEL: "Boot the kernel before the newest",
    RepairKind.INITRD: "Build the initrd anew",
    RepairKind.FSCK: "Check and mend the root file system",
    RepairKind.FINISH_PACKAGES: "Finish the last package transaction",
    RepairKind.UNDO_PACKAGES: "Undo the last package transaction",
    RepairKind.BY_HAND: "Work in the twin, then approve to go on",
}
ANOTHER = (
    "Try another repair (X on the console, or `twinboot repair --help`). Each starts from the original.",
    "Work in the twin by hand: `twinboot repair --by-hand`.",
    "Look at the twin's console in the report.",
)
FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs")


def build_plan(machine: Machine, request: Request, lineage: Lineage) -> Plan:
    """What a repair will do on `machine`. Raises Refused with every reason at once."""
    system = choose_system(machine, request, lineage)
    expected = expected_bytes(system, request)
    reasons = (*refusals(machine, system, request), *why_no_room(machine, system, expected))
    if reasons:
        raise Refused(reasons)
    assert request.repair is not None  # refused above
    run = next_run(machine, system.root.group, lineage)
    made = Plan(
        request=request,
        names=choose_names(system, run),
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=system,
        steps=planned_steps(request.repair, request.watch, system),
        warnings=_warnings(machine, system, request.repair),
    )
    return with_room(made, machine, expected)


def refusals(machine: Machine, system: InstalledSystem, request: Request) -> tuple[str, ...]:
    """Every reason not to repair, as sentences. What the repair is for is none."""
    kind = request.repair
    if kind is None:
        return ("No repair was named: twinboot repair --help lists them.",)
    found = (*machine.trouble, *system.trouble)
    reasons = [t.sentence for t in found if t.refuses and repair_for(t, system) is not kind]
    reasons += why_no_kvm(machine, request)
    if kind is RepairKind.FSCK and system.root.fstype not in FILE_SYSTEMS:
        reasons.append(f"The root file system is {system.root.fstype}: only ext and XFS can be mended here.")
    if system.own_boot is None:
        reasons.append("/boot lies in the root volume: such a system can not be repaired (yet).")
    if kind is RepairKind.OLDER_KERNEL and not older_kernel(system):
        reasons.append("There is only one kernel in /boot: no older one to boot.")
    if kind is RepairKind.OLDER_KERNEL and system.loader.bls:
        reasons.append(
            "GRUB takes its entries from /boot/loader/entries: an older one can not be named (yet)."
        )
    if not traits(system).repairable:
        reasons.append(f"The root is kept as {system.root.storage.value}: it can not be repaired (yet).")
    reasons += why_no_store(machine, system)
    return tuple(dict.fromkeys(reasons))


def older_kernel(system: InstalledSystem) -> str:
    """The version before the newest of those in /boot; empty where there is none."""
    versions = sorted({k.version for k in system.kernels}, key=version_key, reverse=True)
    return versions[1] if len(versions) > 1 else ""


def _warnings(machine: Machine, system: InstalledSystem, kind: RepairKind) -> tuple[str, ...]:
    found = [*warnings_of(machine, system)]
    found += [t.sentence for t in system.trouble if t.refuses]  # what this repair is for
    if kind is RepairKind.OLDER_KERNEL:
        found.append(
            f"The copy stays at kernel {older_kernel(system)} until /etc/default/grub.d/twinboot-kernel.cfg "
            "is deleted in it."
        )
    return tuple(found)


def planned_steps(kind: RepairKind, watch: bool, system: InstalledSystem) -> tuple[PlannedStep, ...]:
    """The order is the product: snapshot, watch it fail, attempt, boot, checks, seal, proof boot, verdict."""
    return (
        *beginning(system),
        *_middle(kind, watch, system),
        PlannedStep(id="repaired", title="Repaired boot", weight=150),
        PlannedStep(id="checks", title="Judge the repaired boot", weight=5),
        *ending(system),
    )


def _middle(kind: RepairKind, watch: bool, system: InstalledSystem) -> tuple[PlannedStep, ...]:
    """Twin, watch and attempt in the order that `kind` needs; data is remembered where it can be frozen.

    A file system is mended before anything mounts it to write, so there is nothing to watch before it.
    """
    twin = build_twin()
    watched = PlannedStep(id="watch", title="Boot the copy as it is, to see how it fails", weight=150)
    data = remember_data()
    if kind is RepairKind.BY_HAND:
        return (twin, data, watched, *by_hand())
    attempt = _attempt(kind, system)
    if kind is RepairKind.FSCK:
        return (attempt, twin, data)
    return (twin, *((watched,) if watch else ()), data, attempt)


def _attempt(kind: RepairKind, system: InstalledSystem) -> PlannedStep:
    title = TITLES[kind]
    if kind is RepairKind.OLDER_KERNEL:
        title = f"Boot the kernel before the newest: {older_kernel(system)}"
    what = "the snapshot and the twin's throw-away /boot, never the original"
    write = Write(what=f"{title.lower()}: {what}", if_cut=OURS_REMAIN)
    return PlannedStep(id=kind.value, title=title, weight=60, writes=(write,))
