"""Rehearse only: where the copy can lie when the machine has no room, what it takes, what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.model.machine import Bus, InstalledSystem, Machine, Partition
from appliance.model.plan import Plan, Request
from appliance.twin.layout import why_no_layout
from appliance.twin.sizing import RESERVE
from appliance.volumes import choose
from appliance.volumes.elsewhere import bytes_for, free_bytes
from appliance.volumes.file_room import MEMORY, SPARE, Place
from appliance.workflow.ways import ways_to_room
from appliance.workflow.workplace import Workplace

MIB = 1 << 20
STICK, RAM = "stick", "ram"
TWIN = 1024
"""MiB of memory kept for the twin where nobody says how much it gets. Assumed: a server boots in it."""

MORE = 5 / 4
"""How much larger than needed the room is made where there is more: an estimate can err."""

TAKES = ("vfat", "exfat", "ext4", "xfs")
"""File systems of a USB disk that the copy can lie in."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A place for the copy. `store` is the word for it in a request, `called` what a person calls it.

    `free`: bytes that a copy may take there; of a partition that is not mounted, at most.
    """

    store: str
    called: str
    free: int


def offers(machine: Machine, stick_free: int, available: int, memory: int) -> tuple[Offer, ...]:
    """Every place this appliance has. `stick_free` bytes, 0 where there is no stick; `available` MiB of RAM,
    `memory` MiB wanted for the twin. Pure."""
    found = [Offer(STICK, "the stick", max(0, stick_free - SPARE))] if stick_free else []
    found += [
        Offer(p.path, f"{p.path} ({p.label or p.fstype})", max(0, p.size - SPARE)) for p in usb(machine)
    ]
    spare = max(0, available - RESERVE - (memory or TWIN)) * MIB
    return (*found, Offer(RAM, "memory", max(0, spare - SPARE)))


def usb(machine: Machine) -> Iterator[Partition]:
    """Partitions of USB disks that a file can be put on; what the machine itself uses is none of them."""
    used = {v.device for system in machine.systems for v in system.volumes}
    used |= {p.path for system in machine.systems for p in (system.boot, system.esp) if p is not None}
    used |= machine.taken
    for disk in machine.disks:
        if disk.bus is Bus.USB and not used & {disk.path, *(p.path for p in disk.partitions)}:
            yield from (p for p in disk.partitions if p.fstype in TAKES)


def fitting(
    machine: Machine, system: InstalledSystem, expected: int, there: tuple[Offer, ...]
) -> tuple[Offer, ...]:
    """Where a run that writes `expected` bytes could have its copy. Pure."""
    if _why_no_copy(machine, system):
        return ()
    return tuple(offer for offer in there if offer.free >= bytes_for(expected))


def why_not(
    machine: Machine, system: InstalledSystem, request: Request, expected: int, there: tuple[Offer, ...]
) -> tuple[str, ...]:
    """Full sentences why `request` can not have its copy where it says. Pure."""
    if reasons := _why_no_copy(machine, system):
        return reasons
    words = ", ".join(offer.store for offer in there)
    if not request.store:
        return (f"Nothing says where the copy shall lie: give --store one of {words}.",)
    offer = chosen(request, there)
    if offer is None:
        return (
            f"There is no place {request.store} for the copy here: --store takes {words}. A partition must "
            f"be one of a USB disk, with a file system of {', '.join(TAKES)}.",
        )
    if offer.free < (needed := bytes_for(expected)):
        return (
            f"The copy needs {needed // MIB} MiB on {offer.called}, which has {offer.free // MIB} MiB for "
            "it: choose another place, or rehearse fewer patches at once.",
        )
    return ()


def _why_no_copy(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Sentences why no copy of `system` can be made anywhere, or no twin's disks of it. Pure."""
    return choose.why_not_elsewhere(machine, system) or why_no_layout(machine, system)


def chosen(request: Request, there: tuple[Offer, ...]) -> Offer | None:
    return next((offer for offer in there if offer.store == request.store), None)


def size_of(offer: Offer, expected: int) -> int:
    """Bytes of room that a run takes there, in whole MiB. Pure."""
    return min(int(bytes_for(expected) * MORE), offer.free) // MIB * MIB


def with_copy(plan: Plan, machine: Machine, expected: int, there: tuple[Offer, ...]) -> Plan:
    """`plan`, which is not refused, with the room its copy takes, and ways to room on the machine. Pure."""
    offer = chosen(plan.request, there)
    assert offer is not None  # why_not has looked
    size = size_of(offer, expected)
    stick = any(other.store == STICK for other in there)
    lacking = choose.lacking_bytes(machine, plan.system, expected)
    return replace(
        plan,
        expected_bytes=expected,
        free_bytes=free_bytes(size),
        pool=offer.called,
        copy_bytes=size,
        ways=ways_to_room(machine, plan.system, lacking),
        warnings=(*warnings(offer, stick), *choose.why_no_store(machine, plan.system), *plan.warnings),
    )


def place_of(plan: Plan, work: Workplace) -> Place:
    """Where the copy of `plan` lies on this appliance."""
    store, at = plan.request.store, work.runtime / "copies"
    if store == STICK:
        return Place(work.data)
    if store == RAM:
        return Place(at, "twinboot", MEMORY)
    fstype = next((p.fstype for p in usb(work.machine) if p.path == store), "")
    return Place(at, store, fstype)


def warnings(offer: Offer, stick: bool) -> tuple[str, ...]:
    """What must be read before a rehearsal of that kind begins."""
    found = ["Rehearsed only: the copy is thrown away at the end, and there will be nothing to promote."]
    if offer.store not in (STICK, RAM):
        found.append(
            f"Should the power go meanwhile, a folder twinboot-copies stays on {offer.store}: the next "
            "rehearsal there removes it."
        )
    if not stick:
        found.append("There is no stick: export the report before this appliance is switched off.")
    return tuple(found)


def nothing_to_promote(plan: Plan) -> str:
    """Why no act on the run of `plan` is possible."""
    then = "Its report says how to make room; rehearse again then."
    if not plan.ways:
        then = "One that is not rehearsed only can be promoted; where none is possible, the reasons are said."
    return (
        f"{plan.names.run} was rehearsed only: its copy lay on {plan.pool} and was thrown away, so there is "
        f"nothing to promote, keep, roll back or retire. {then}"
    )
