"""A root on a linear volume of LVM: which store it calls for, what room that needs, what is against it."""

from __future__ import annotations

from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine
from appliance.probe.lvm import lvm_config
from appliance.volumes import thick_room
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.kind import ProbedRoom, Traits, group_of, no_group
from appliance.volumes.lvm_group import every_pv
from appliance.volumes.lvm_thick import LvmThickStore

TRAITS = Traits(place="the volume group", one_volume=True, shares_blocks=True, repairable=True)


def why_not(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """A snapshot needs a linear volume under it, and goes with one volume at a time."""
    group = machine.vg(system.root.vg)
    if group is None:
        return (no_group(system),)
    root = group.lv(system.root.lv)
    if root is None:
        return (f"The root volume {system.root.device} was not found.",)
    if root.segtype == "snapshot":
        return (
            f"The root volume {system.root.device} is itself a snapshot of {group.name}/{root.origin}, and "
            "LVM takes no snapshot of a snapshot: retire the old system first.",
        )
    if root.segtype != "linear":
        return (
            f"The root volume {system.root.device} is kept as {root.segtype}, not as a plain linear volume: "
            "that can not be rehearsed (yet).",
        )
    others = (v for v in system.volumes if v.lv and v.lv != system.root.lv and v not in system.swap)
    return tuple(
        f"{volume.target} ({volume.device}) is a volume of its own beside a root volume that is not in a "
        "thin pool: that can not be rehearsed (yet)."
        for volume in others
    )


def room(machine: Machine, system: InstalledSystem) -> ProbedRoom:
    group = group_of(machine, system)
    return ProbedRoom(group.name, thick_room.free_bytes(group))


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    """What the patch writes does not matter: its snapshot covers the whole of its origin."""
    return thick_room.why_not(group_of(machine, system), system.root.lv)


def lacking_bytes(machine: Machine, system: InstalledSystem, expected: int) -> int:
    return thick_room.lacking_bytes(group_of(machine, system), system.root.lv)


def store(
    host: Host,
    machine: Machine,
    system: InstalledSystem,
    run: str,
    expected: int,
    tell: Tell = nobody_listens,
) -> LvmThickStore:
    config = lvm_config(every_pv(machine))
    return LvmThickStore(host, group_of(machine, system), config, system.root.lv)
