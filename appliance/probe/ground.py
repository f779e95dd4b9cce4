"""Everything below the installed systems: disks, volume groups, and every volume shown read-only."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.host.run import Host
from appliance.model.layers import Layer, LayerKind, layers_under, mirror_at
from appliance.model.machine import Disk, Partition, Trouble, VolumeGroup, mapper_path
from appliance.probe import trouble
from appliance.probe.blkid import Content, blkid, parse_blkid
from appliance.probe.fstab import Known
from appliance.probe.hardware import sys_text
from appliance.probe.lsblk import BlockDevice
from appliance.probe.lvm import read_groups
from appliance.probe.lvm_metadata import VgMetadata
from appliance.probe.mappings import (
    PREFIX,
    Mapping,
    Readable,
    Sources,
    linear,
    pools_of,
    readable,
    stores_of,
)
from appliance.probe.shown import FOLDER, Shown
from appliance.probe.thin_status import pool_usage, snapshot_percent, thin_percent

READABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "swap", "swsuspend"})
OURS_TAG = "twinboot"
BOOTED_TAGS = frozenset(
    f"twinboot.role={role}" for role in ("trial", "kept", "set-trial", "set-kept", "previous")
)
"""Tags of rehearsals' volumes that the machine itself boots from: these are looked at like any other."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What systems stand on. `trouble` is by volume group; `unread` names volumes nobody could look at."""

    shown: Shown
    disks: tuple[Disk, ...]
    groups: tuple[VolumeGroup, ...]
    known: tuple[Known, ...]
    trouble: dict[str, tuple[Trouble, ...]]
    unread: tuple[Trouble, ...] = ()
    layers: tuple[Layer, ...] = ()

    def partition(self, path: str) -> Partition | None:
        return next((p for d in self.disks for p in d.partitions if p.path == path), None)

    def under(self, known: Known) -> tuple[Layer, ...]:
        """What lies between a volume (its volume group) and the disks, the uppermost first."""
        return layers_under(self.layers, self._stands_on(known))

    def array(self, known: Known) -> str:
        """What the array is called that a volume is itself, without LVM; empty where it is none."""
        found = mirror_at(self.layers, known.path)
        return found.name if found is not None else ""

    def names_of(self, layer: Layer) -> frozenset[str]:
        """Every path under which crypttab may name what an encrypted device lies on."""
        parts = [p for p in map(self.partition, layer.below) if p is not None]
        return frozenset(layer.below) | {f"PARTUUID={p.partuuid}" for p in parts}

    def disks_of(self, known: Known) -> tuple[Disk, ...]:
        """The disks a volume lies on: all of its volume group's."""
        paths = self._stands_on(known) | {p for layer in self.under(known) for p in layer.below}
        return tuple(d for d in self.disks if paths & {d.path, *(p.path for p in d.partitions)})

    def _stands_on(self, known: Known) -> frozenset[str]:
        group = next((g for g in self.groups if known.vg and g.name == known.vg), None)
        return frozenset(pv.path for pv in group.pvs) if group else frozenset({known.path})


def pv_paths(devices: tuple[BlockDevice, ...]) -> tuple[str, ...]:
    """The machine's physical volumes: partitions and whole disks, never volumes or loops."""
    rows = [row for d in devices for row in (d, *(c for c in d.children if c.kind == "part"))]
    return tuple(row.path for row in rows if row.fstype == "LVM2_member")


def lay(
    host: Host,
    root: Path,
    devices: tuple[BlockDevice, ...],
    disks: tuple[Disk, ...],
    shown: Shown,
    layers: tuple[Layer, ...] = (),
) -> Ground:
    """Read volume groups and make every volume visible. Raises ProbeFailed, DamagedData.

    `devices` are the machine's disks and what stands on `layers`, which are up.
    """
    read = read_groups(host, pv_paths(devices), root / FOLDER)
    parts = _partitions(shown.count, devices)
    mappings = [mapping for mapping, _ in parts]
    plans: list[Readable] = []
    for group, meta in read:
        plan = _plan(shown, group, meta, shown.count + len(mappings))
        plans.append(plan)
        mappings += plan.mappings
    shown.show(tuple(mappings))
    telling = any(plan.pools for plan in plans) or any(
        lv.segtype == "snapshot" for g, _ in read for lv in g.lvs
    )
    usage = shown.status() if telling else {}
    names = _aliases(root) | array_names(layers)
    known = [_known_partition(row, mapping, names) for mapping, row in parts]
    groups = []
    troubles: dict[str, tuple[Trouble, ...]] = {}
    for (group, meta), plan in zip(read, plans, strict=True):
        full, why = _fill(group, meta, plan, usage)
        groups.append(full)
        troubles[group.name] = why
        known += _known_volumes(shown, full, plan)
    unread = [_unread(shown, group, plan) for (group, _), plan in zip(read, plans, strict=True)]
    return Ground(
        shown=shown,
        disks=disks,
        groups=tuple(groups),
        known=tuple(known),
        trouble=troubles,
        unread=tuple(t for several in unread for t in several),
        layers=layers,
    )


def _partitions(first: int, devices: tuple[BlockDevice, ...]) -> list[tuple[Mapping, BlockDevice]]:
    """A read-only device over every partition (or whole disk) that holds a file system or swap area."""
    rows = [row for d in devices for row in (d, *(c for c in d.children if c.kind == "part"))]
    wanted = [row for row in rows if row.fstype in READABLE and row.size]
    return [
        (Mapping(name=f"{PREFIX}{number}", table=linear(row.path, row.size or 0)), row)
        for number, row in enumerate(wanted, first)
    ]


def _plan(shown: Shown, group: VolumeGroup, meta: VgMetadata, first: int) -> Readable:
    """What shows this volume group; thin pools and thick snapshots that are booted from get their memory,
    other volumes of rehearsals are left alone."""
    active = _active_pools(shown.root, meta)
    ours = frozenset(lv.name for lv in group.lvs if OURS_TAG in lv.tags and not BOOTED_TAGS & set(lv.tags))
    pools = (name for name in pools_of(meta) if name not in active)
    stores = (name for name in stores_of(meta, OURS_TAG) if name not in ours)
    asked = (*pools, *stores)
    sources = Sources(
        pvs={pv.uuid: pv.path for pv in group.pvs},
        cows={name: shown.cow(f"{group.name}-{name}") for name in asked},
        active=active,
    )
    return readable(meta, sources, first, ours)


def _active_pools(root: Path, meta: VgMetadata) -> dict[str, str]:
    """Pools that LVM has up, by the names it gives their devices (lvm2: the layer is called tpool)."""
    names = {sys_text(file) for file in (root / "sys/block").glob("dm-*/dm/name")}
    paths = {name: f"{mapper_path(meta.name, name)}-tpool" for name in pools_of(meta)}
    return {name: path for name, path in paths.items() if path.rpartition("/")[2] in names}


def _fill(
    group: VolumeGroup, meta: VgMetadata, plan: Readable, status: dict[str, str]
) -> tuple[VolumeGroup, tuple[Trouble, ...]]:
    """The group with how full its thin volumes and snapshots are, and what is wrong with it."""
    why = [trouble.missing_pv(group)] if group.missing_pvs else []
    percents: dict[str, tuple[float, float]] = {}
    for name, device in plan.pools:
        usage = pool_usage(status.get(device, ""))
        if usage is None:
            continue
        percents[name] = (usage.data_percent, usage.metadata_percent)
        pool = meta.lv(name)
        announced = pool.segments[0].transaction_id if pool else 0
        if usage.needs_check:
            why.append(trouble.pool_damaged(group.name, name))
        if announced != usage.transaction:
            why.append(trouble.pool_disagrees(group.name, name, announced, usage.transaction))
    for name, device in plan.volumes:
        said = status.get(device, "")
        percents[name] = (thin_percent(said) or snapshot_percent(said), 0.0)
    lvs = tuple(
        replace(lv, data_percent=percents[lv.name][0], metadata_percent=percents[lv.name][1])
        if lv.segtype in ("thin", "thin-pool", "snapshot") and lv.name in percents
        else lv
        for lv in group.lvs
    )
    return replace(group, lvs=lvs), tuple(why)


def _known_partition(row: BlockDevice, mapping: Mapping, aliases: dict[str, set[str]]) -> Known:
    return Known(
        path=row.path,
        names=frozenset(aliases.get(row.path, ())),
        size=row.size or 0,
        fstype=row.fstype or "",
        fsuuid=row.uuid or "",
        label=row.label or "",
        partuuid=row.partuuid or "",
        partlabel=row.partlabel or "",
        shown=mapping.path,
    )


def _known_volumes(shown: Shown, group: VolumeGroup, plan: Readable) -> list[Known]:
    """The group's volumes with what lies on them, by their own bytes."""
    devices = {name: device for name, device in plan.volumes if device not in shown.failed}
    contents = parse_blkid(shown.host.run(blkid(tuple(devices.values()))).stdout) if devices else {}
    known = []
    for lv in group.lvs:
        content = contents.get(devices.get(lv.name, ""), Content())
        group_id, lv_id = group.uuid.replace("-", ""), lv.uuid.replace("-", "")
        path = mapper_path(group.name, lv.name)
        by_id = f"/dev/disk/by-id/dm-name-{path.rpartition('/')[2]}"
        names = (f"/dev/{group.name}/{lv.name}", by_id, f"/dev/disk/by-id/dm-uuid-LVM-{group_id}{lv_id}")
        known.append(
            Known(
                path=path,
                names=frozenset(names),
                size=lv.size,
                fstype=content.fstype,
                fsuuid=content.uuid,
                label=content.label,
                shown=devices.get(lv.name, ""),
                vg=group.name,
                lv=lv.name,
                ours=OURS_TAG in lv.tags,
            )
        )
    return known


def _unread(shown: Shown, group: VolumeGroup, plan: Readable) -> list[Trouble]:
    """One sentence for each volume whose content could not be seen."""
    refused = [(n, "the kernel refused it") for n, d in (*plan.pools, *plan.volumes) if d in shown.failed]
    return [trouble.unreadable(f"{group.name}/{name}", why) for name, why in (*plan.unreadable, *refused)]


def array_names(layers: tuple[Layer, ...]) -> dict[str, set[str]]:
    """Under which paths the machine's own start has its arrays, by where they are shown here.

    After mdadm(8), --name, and udev's 63-md-raid-arrays.rules. What two could be called is said of neither.
    A name that is a number is that of the device, too. What mdadm.conf calls one otherwise is not known here.
    """
    found: dict[str, set[str]] = {}
    for layer in (layer for layer in layers if layer.kind is LayerKind.RAID1):
        short = layer.name.rpartition(":")[2]
        by_id = {f"/dev/disk/by-id/md-uuid-{layer.uuid}", f"/dev/disk/by-id/md-name-{layer.name}"}
        number = {f"/dev/md{short}"} if short.isdecimal() else set()
        found[layer.path] = {*by_id, f"/dev/md/{short}", *number}
    times = Counter(name for names in found.values() for name in names)
    return {path: {name for name in names if times[name] == 1} for path, names in found.items()}


def _aliases(root: Path) -> dict[str, set[str]]:
    """udev's stable names of partitions (/dev/disk/by-id and by-path) by device path."""
    found: dict[str, set[str]] = {}
    for folder in ("by-id", "by-path"):
        with contextlib.suppress(OSError):
            for link in (root / "dev/disk" / folder).iterdir():
                device = os.path.basename(os.readlink(link))
                found.setdefault(f"/dev/{device}", set()).add(f"/dev/disk/{folder}/{link.name}")
    return found
