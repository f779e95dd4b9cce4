"""Partitions that a technician may name for a second root: such as hold nothing, and nobody uses."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from appliance.model.disks import DOS, PRIMARY, Disk, Partition
from appliance.model.machine import InstalledSystem, Machine

LINUX = frozenset({"0x83", "0fc63daf-8483-4772-8e79-3d69d8477de4"})
"""Types of what is a Linux file system. Of others firmware, loaders or systems think something of their own:
GRUB lies in a BIOS boot partition, and no signature says so."""

NEVER_SPARE = ("UUID=", "LABEL=", "/dev/disk/by-uuid/", "/dev/disk/by-label/", "/dev/mapper/")
"""How a line of crypttab names what has a signature, which a spare one has not, or what is no partition."""


def spares(machine: Machine, system: InstalledSystem) -> tuple[Partition, ...]:
    """Those that could be named for a second root of `system`, whatever their size."""
    disk = machine.disk_of(system.root.device) if system.root.partition else None
    return tuple(p for p in disk.partitions if not why_no_spare(machine, system, p.path)) if disk else ()


def why_no_spare(machine: Machine, system: InstalledSystem, path: str) -> tuple[str, ...]:
    """Full sentences why `path` can not be named; empty where it can."""
    root = system.root
    own = machine.disk_of(root.device) if root.partition else None
    if own is None:
        return (
            f"{path} was named for a second root; that of {root.place} is kept as {root.storage.value}, "
            "beside which no partition is needed: leave --into out.",
        )
    disk = machine.disk_of(path)
    part = next((p for p in disk.partitions if p.path == path), None) if disk is not None else None
    if disk is None or part is None:
        able = ", ".join(p.path for p in spares(machine, system)) or "none"
        return (f"There is no partition {path} on this machine. That could be named: {able}.",)
    if disk.path != own.path:
        return (
            f"{path} lies on another disk than {root.device}, whose number the second root gets once it is "
            f"kept: only a partition of {own.path} can be named (yet).",
        )
    return tuple(_against(machine, disk, part))


def with_spare(machine: Machine, system: InstalledSystem, path: str) -> Machine:
    """`machine`, where `path` is named for a second root of `system`; as it is where it can not be."""
    if not path or why_no_spare(machine, system, path):
        return machine
    numbers = {part.path: part.number for disk in machine.disks for part in disk.partitions}
    own = machine.disk_of(path)
    disks = (replace(d, named=numbers[path]) if d is own else d for d in machine.disks)
    return replace(machine, disks=tuple(disks))


def _against(machine: Machine, disk: Disk, part: Partition) -> Iterator[str]:
    if any(copy.number == part.number for copy in disk.copies):
        yield f"{part.path} is a second root of ours already."
    elif part.fstype:
        named = f" ({part.label})" if part.label else ""
        yield (
            f"{part.path} holds {part.fstype}{named}: only a partition that holds nothing is taken. Look "
            f"first what is in it; on the running system, wipefs --all {part.path} empties it."
        )
    if disk.table == DOS and part.number > PRIMARY:
        yield f"{part.path} is a logical partition, whose place in the chain can not be changed (yet)."
    elif part.type_id.lower() not in LINUX:
        yield (
            f"{part.path} is of the type {part.type_id or 'unknown'}, not a Linux file system: others than "
            f"Linux may use it. Where none does: sfdisk --part-type {disk.path} {part.number} "
            f"{'83' if disk.table == DOS else 'linux'}."
        )
    if part.path in machine.taken or any(part.path in _mounted(system) for system in machine.systems):
        yield f"{part.path} is in use."
    for system in machine.systems:
        for named_by in _naming(machine, system, part):
            yield f"{named_by} of the system on {system.root.place}: it is not spare."


def _mounted(system: InstalledSystem) -> set[str]:
    parts = (part.path for part in (system.boot, system.esp) if part is not None)
    return {*(volume.device for volume in system.volumes), *parts}


def _naming(machine: Machine, system: InstalledSystem, part: Partition) -> Iterator[str]:
    """Lines that name it, or that may: the names of other partitions alone are known here."""
    if any(names(part) & {entry.spec.lower()} for entry in system.fstab):
        yield f"{part.path} stands in the fstab"
    others = {n for d in machine.disks for p in d.partitions if p.path != part.path for n in names(p)}
    for source in system.crypt_sources:
        if source.lower() in names(part):
            yield f"{part.path} stands in the crypttab"
        elif source.lower() not in others and not source.startswith(NEVER_SPARE):
            yield f"{part.path} may be {source}, which stands in the crypttab"


def names(part: Partition) -> set[str]:
    """What a line can call it that says nothing of what is in it."""
    by_id = part.partuuid.lower()
    return {part.path.lower(), *((f"partuuid={by_id}", f"/dev/disk/by-partuuid/{by_id}") if by_id else ())}
