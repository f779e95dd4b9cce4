"""Ways on from a refusal: room for a rehearsal that can be promoted, each with its price, and a repair.

Pure: from what was probed.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.model.machine import (
    Bus,
    Disk,
    InstalledSystem,
    LogicalVolume,
    Machine,
    Trouble,
    VolumeGroup,
)
from appliance.model.plan import RepairKind
from appliance.model.spares import spares

MIB = 1 << 20
SWAP_LEAST = 256 * MIB
"""Bytes of swap that are not given away."""
EDGE = MIB
"""Bytes at either end of a disk that belong to its table."""


def repair_for(trouble: Trouble, system: InstalledSystem) -> RepairKind | None:
    """The repair that sets `trouble` right; None where none does."""
    if trouble.code == "no-kernel":
        return RepairKind.INITRD
    of_root = f" {system.root.device} " in trouble.sentence
    return RepairKind.FSCK if trouble.code == "damaged-fs" and of_root else None


def repair_by(option: str) -> str:
    """The beginning of the sentence that offers a repair: `option` is one of `twinboot repair`."""
    return f"Repair a copy of it (X on the console, or `twinboot repair --{option}`)"


def ways_to_repair(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """The one repair of `system` that lifts all that stands in the way, as a sentence."""
    kinds = {repair_for(t, system) for t in (*machine.trouble, *system.trouble) if t.refuses}
    return tuple(
        f"{repair_by(kind.value)}. The original stays as it is."
        for kind in kinds
        if kind is not None and len(kinds) == 1
    )


def ways_to_room(machine: Machine, system: InstalledSystem, lacking: int) -> tuple[str, ...]:
    """Sentences on how there are `lacking` bytes more for runs beside `system`: the cheapest first.

    What gives less than that is named as well, since two of them may do.
    """
    group = machine.vg(system.root.vg)
    held = system.of_subvolumes
    if held is not None and lacking > 0:
        return (*_runs(held), *_in_the_file_system(held, lacking))
    disk = machine.disk_of(system.root.device) if system.root.partition else None
    if disk is not None and (lacking > 0 or disk.is_full):
        beside = machine.group(system.root.group)
        return (
            *_spares(machine, system, disk.clear.size + lacking if lacking > 0 else 0),
            *(_runs(beside) if beside is not None else ()),
            *(_beside_the_root(disk, system, lacking) if lacking > 0 else ()),
        )
    if group is None or lacking <= 0:
        return ()
    found = (
        *_runs(group),
        *_swap(group, system, lacking),
        *_gaps(machine, group),
        *_disks(machine, group),
        *_unused(machine, group),
    )
    needs = f"{-(-lacking // MIB)} MiB more are needed in {group.name}"
    return (
        *(found or (f"Give this machine another disk and the volume group that one: {needs}.",)),
        *_not(system),
    )


def _runs(group: VolumeGroup) -> Iterator[str]:
    ours = [lv for lv in group.lvs if "twinboot" in lv.tags]
    runs = {t.removeprefix("twinboot.run=") for lv in ours for t in lv.tags if t.startswith("twinboot.run=")}
    for run in sorted(runs):
        size = sum(lv.size for lv in ours if f"twinboot.run={run}" in lv.tags)
        hold = f"up to {size // MIB} MiB" if size else "a part"  # a subvolume has no size of its own
        yield (
            f"Retire {run}: its volumes hold {hold} of {group.name}. Price: what it tested "
            "can not be promoted any more, or where it was kept, there is no way back to the old system."
        )


def _in_the_file_system(group: VolumeGroup, lacking: int) -> Iterator[str]:
    device = group.pvs[0].path
    yield (
        f"Delete files or snapshots of your own in the btrfs on {device}: {-(-lacking // MIB)} MiB more must "
        "be free there. Price: what was in them; look first."
    )


def _spares(machine: Machine, system: InstalledSystem, needed: int) -> Iterator[str]:
    for part in (p for p in spares(machine, system) if p.size >= needed):
        yield (
            f"The partition {part.path} ({part.size // MIB} MiB) holds nothing known, and nobody uses it: "
            f"name it for the second root (I on the new rehearsal, or --into {part.path}). Price: what lies "
            "in it is overwritten."
        )


def _beside_the_root(disk: Disk, system: InstalledSystem, lacking: int) -> Iterator[str]:
    """What is free must be in one piece: only what lies beside the largest one helps."""
    free = disk.clear
    swaps = {volume.device for volume in system.swap}
    for part in disk.partitions:
        touches = abs(part.start + part.size - free.start) < EDGE or abs(part.start - free.end) < EDGE
        if part.path in swaps and touches:
            yield (
                f"Remove the swap partition {part.path} ({part.size // MIB} MiB), which lies beside what is "
                f"free. On the running system: swapoff {part.path}, its line out of /etc/fstab, sfdisk "
                f"--delete {disk.path} {part.number}. Price: no swap until there is a file for it, and its "
                "partition table is written."
            )
    yield (
        f"Make {-(-lacking // MIB)} MiB more free on {disk.path} in one piece with the {free.size // MIB} "
        "that no partition takes: with a partition editor, make a partition beside it smaller. Price: that "
        "is done with the system off, and a power cut just then can damage what is moved."
    )
    yield from _not(system)


def _swap(group: VolumeGroup, system: InstalledSystem, lacking: int) -> Iterator[str]:
    for volume in system.swap:
        lv = group.lv(volume.lv) if volume.vg == group.name else None
        if lv is None or lv.size <= SWAP_LEAST:
            continue
        gives = min(-(-lacking // group.extent_size) * group.extent_size, lv.size - SWAP_LEAST) // MIB
        path, uuid = f"/dev/{group.name}/{lv.name}", f"-U {volume.fsuuid} " if volume.fsuuid else ""
        yield (
            f"Make the swap volume {group.name}/{lv.name} ({lv.size // MIB} MiB) smaller by {gives} MiB. On "
            f"the running system: swapoff {path} && lvreduce -f -L -{gives}m {path} && mkswap {uuid}{path} "
            f"&& swapon {path}. Price: that much less to swap to, and enough free memory while swap is off."
        )


def _gaps(machine: Machine, group: VolumeGroup) -> Iterator[str]:
    for disk in machine.disks:
        size = _gap(disk)
        if disk.bus is not Bus.USB and disk.partitions and size >= group.extent_size + EDGE:
            yield (
                f"The disk {disk.path} has {size // MIB} MiB in one piece that belong to no partition. On "
                f"the running system: make one there of the type Linux LVM, then vgextend {group.name} with "
                "it. Price: its partition table is written, and a power cut just then can damage that."
            )


def _gap(disk: Disk) -> int:
    """Bytes of the longest stretch that no partition lies in."""
    at, longest = EDGE, 0
    for part in sorted(disk.partitions, key=lambda p: p.start):
        longest = max(longest, part.start - at)
        at = max(at, part.start + part.size)
    return max(longest, disk.size - EDGE - at)


def _disks(machine: Machine, group: VolumeGroup) -> Iterator[str]:
    used = machine.taken | {volume.device for system in machine.systems for volume in system.volumes}
    for disk in machine.disks:
        if disk.bus is not Bus.USB and not disk.table and not disk.partitions and disk.path not in used:
            yield (
                f"The disk {disk.path} ({disk.size // MIB} MiB) has no partitions and no system here uses "
                f"it; look first what it holds. On the running system: vgextend {group.name} {disk.path}. "
                "Price: all on it is lost, and the volume group then needs both disks: either failing takes "
                "the system along."
            )


def _unused(machine: Machine, group: VolumeGroup) -> Iterator[str]:
    mounted = {v.lv for system in machine.systems for v in system.volumes if v.vg == group.name}
    for lv in group.lvs:
        if lv.name not in mounted and _stands_alone(lv):
            yield (
                f"No system here mounts {group.name}/{lv.name} ({lv.size // MIB} MiB): lvremove gives that "
                "back. Price: what is in it is gone for good; look into it first."
            )


def _stands_alone(lv: LogicalVolume) -> bool:
    return "twinboot" not in lv.tags and not lv.pool and lv.segtype not in ("thin-pool", "thin")


def _not(system: InstalledSystem) -> Iterator[str]:
    if system.root.fstype == "xfs":
        yield "The root volume itself gives nothing: its file system, XFS, can not be made smaller."
