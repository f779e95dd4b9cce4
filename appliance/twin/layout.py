"""What the twin's disks are made of: pure arithmetic over segments, in 512-byte sectors.

For every disk that carries a physical volume (PV) of the root's volume group, /boot, the ESP or a mounted
partition, the twin gets a disk with the same partition table. Where the metal has partitions, the twin has
throw-away copy-on-write over them; where the metal has a PV, the twin has one with the same ids whose logical
volumes (LVs) are plain linear ones, mapped onto snapshot volumes. Where the PV lies in an encrypted device,
the header before it is throw-away copy-on-write as well, to be told that nothing is encrypted behind it.
Where it lies on a mirror, every leg has that header, and behind it the same volumes: what the twin writes to
one leg it writes to the other, in the same place. No I/O here: `devices` builds what is planned here. Where
the root is no LV, `plain_layout` plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from msgspec import structs

from appliance.errors import Refused
from appliance.model.machine import Disk, InstalledSystem, Layer, LayerKind, Machine, VolumeGroup
from appliance.probe.lvm_metadata import MetaLv, VgMetadata, parse
from appliance.twin.disks import blank, cow, disks_needed, twin_partition
from appliance.twin.extents import Extent, Place, PvRoom, lengthen, mirror_place, pack, pv_rooms
from appliance.twin.plain_layout import plan_plain_layout
from appliance.twin.segments import (
    ALIGN,
    SECTOR,
    Blank,
    CowRun,
    FromVolume,
    LuksPlace,
    PvPlace,
    Scratch,
    Segment,
    Source,
    SwapArea,
    TwinDisk,
    TwinLayout,
    TwinPartition,
)
from appliance.twin.shared_boot import SharedBoot, boot_array
from appliance.twin.vgtext import TwinLv, TwinPv, vg_text

GPT_BACKUP = 33
"""Blocks the backup GPT takes at the end of a disk: its header and 128 entries (of 4 KiB: fewer)."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the segments are cut from: PVs, where extents lie in them, which LVs are blank or linear.

    `cut` are those of PVs that were cut already, by their names in the group."""

    metadata: VgMetadata
    disks: tuple[Disk, ...]
    rooms: list[PvRoom]
    extents: list[Extent]
    swaps: tuple[SwapArea, ...]
    linear: frozenset[str]
    scratch: Scratch
    boot: SharedBoot | None = None
    cut: dict[str, tuple[Segment, ...]] = field(default_factory=dict)


def why_no_layout(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Full sentences why the twin's disks can not be planned; empty where they can."""
    try:
        plan_layout(machine, system)
    except Refused as refused:
        return refused.reasons
    return ()


def plan_layout(machine: Machine, system: InstalledSystem) -> TwinLayout:
    """The twin's disks for `system`. Raises Refused with every reason, DamagedData for odd VG metadata."""
    if not system.root.vg:
        return plan_plain_layout(machine, system)
    group = machine.vg(system.root.vg)
    if group is None or not group.metadata:
        raise Refused((f"The volume group {system.root.vg!r} of the root volume could not be read.",))
    metadata = parse(group.metadata, f"the metadata of {group.name}")
    _refuse_unreadable(machine, system, group, metadata)
    scratch = Scratch()
    shown, left_out = _shown_volumes(system, group, metadata)
    blanks = {v.lv: v.fsuuid for v in system.swap if v.lv and v.vg == group.name}
    apart = boot_array(machine, system)
    legs = frozenset(apart.below) if apart is not None else frozenset[str]()
    disks = disks_needed(machine, system, machine.places_of(group) | legs)
    layers = machine.layers_under(group)
    on_metal = pv_rooms(group, metadata, disks, layers)
    rooms = lengthen(on_metal, sum(lv.extents for lv in shown), metadata, disks)
    extents = pack(rooms, [(lv.name, lv.extents) for lv in shown])
    swaps = tuple(_swap_area(lv, blanks[lv.name], metadata, scratch) for lv in shown if lv.name in blanks)
    # What is sealed must be the snapshot itself; any other linear volume is only read where it lies.
    sealed = {volume.lv for volume in system.volume_set}
    linear = frozenset(
        lv.name for lv in shown if lv.name not in blanks and lv.name not in sealed and _is_linear(lv)
    )
    snapped = [lv for lv in shown if lv.name not in blanks and lv.name not in linear]
    shared = SharedBoot.of(apart, disks, scratch) if apart is not None else None
    ground = _Ground(metadata, disks, rooms, extents, swaps, linear, scratch, shared)
    twin_disks = tuple(_twin_disk(index, ground) for index in range(len(disks)))
    pv_texts = [TwinPv(r.pv, r.uuid, r.path, r.length, r.pe_start, r.extents) for r in rooms]
    lv_texts = [TwinLv(lv.name, lv.id, tuple(e for e in extents if e.lv == lv.name)) for lv in shown]
    return TwinLayout(
        disks=twin_disks,
        pvs=tuple(PvPlace(r.pv, r.uuid, r.disk, r.start, r.length) for r in rooms),
        vg=group.name,
        vg_text=vg_text(metadata, pv_texts, lv_texts),
        swaps=swaps,
        volumes=tuple(lv.name for lv in snapped),
        sizes=tuple(lv.extents * metadata.extent_size for lv in snapped),
        linear=tuple(sorted(linear)),
        scratch_sectors=scratch.sectors,
        boot=shared.partition if shared is not None else _boot_place(system, disks, ground),
        esp=twin_partition(system.esp, disks),
        left_out=left_out,
        encrypted=tuple(
            LuksPlace(layer.uuid, layer.below[0], room.disk, room.start - room.header, room.header)
            for room, layer in _within(rooms, layers, LayerKind.LUKS)
        ),
        mirrors=(
            *(
                mirror_place(layer, room.places, room.header, room.length)
                for room, layer in _within(rooms, layers, LayerKind.RAID1)
            ),
            *((shared.place,) if shared is not None else ()),
        ),
    )


def _boot_place(system: InstalledSystem, disks: tuple[Disk, ...], ground: _Ground) -> TwinPartition | None:
    """Where /boot lies on the twin's disks. Raises Refused for a volume that does not lie in one piece."""
    volume = system.boot_volume
    if volume is None:
        return twin_partition(system.boot, disks)
    pieces = [extent for extent in ground.extents if extent.lv == volume.lv]
    room = next((room for room in ground.rooms if room.pv == pieces[0].pv), None) if pieces else None
    if len(pieces) != 1 or room is None or room.legs:
        raise Refused((f"/boot ({volume.place}) can not be shown to the twin in one piece.",))
    size = ground.metadata.extent_size
    start = room.start + room.pe_start + pieces[0].pv_start * size
    return TwinPartition(room.disk, 0, start, pieces[0].count * size)


def _within(
    rooms: list[PvRoom], layers: tuple[Layer, ...], kind: LayerKind
) -> Iterator[tuple[PvRoom, Layer]]:
    by_path = {layer.path: layer for layer in layers if layer.kind is kind}
    return ((room, by_path[room.path]) for room in rooms if room.path in by_path)


def _refuse_unreadable(
    machine: Machine, system: InstalledSystem, group: VolumeGroup, metadata: VgMetadata
) -> None:
    by_uuid = {pv.uuid for pv in group.pvs}
    reasons = [
        f"The physical volume {pv.device} of {group.name} was not found."
        for pv in metadata.pvs
        if pv.id not in by_uuid
    ]
    within = {layer.path: layer for layer in machine.layers_under(group)}
    reasons += [
        f"{found.path} of {group.name} is neither a disk nor a partition of one."
        for found in group.pvs
        if found.path not in within and machine.disk_of(found.path) is None
    ]
    reasons += [
        f"{group.name} lies on {layer.kind.value} ({layer.name}): the twin can not show that."
        for layer in within.values()
        if any(machine.disk_of(path) is None for path in layer.below)
    ]
    reasons += [
        f"{volume.target} is in the volume group {volume.vg}, the root in {group.name}."
        for volume in (*system.volume_set, *system.data)
        if volume.vg not in ("", group.name)
    ]
    if reasons:
        raise Refused(tuple(reasons))


def _shown_volumes(
    system: InstalledSystem, group: VolumeGroup, metadata: VgMetadata
) -> tuple[list[MetaLv], tuple[str, ...]]:
    """The LVs the twin has, in the order of their names, and the names of those left out."""
    wanted = {v.lv for v in system.volumes if v.lv and v.vg == group.name}
    shown, left_out, reasons = [], [], []
    seen = (as_seen for lv in metadata.lvs if (as_seen := _as_seen(lv, metadata)) is not None)
    for lv in sorted(seen, key=lambda lv: lv.name):
        if lv.name in wanted:
            shown.append(lv)
        elif lv.visible and "twinboot" not in lv.tags and not any(s.kind == "thin-pool" for s in lv.segments):
            left_out.append(lv.name)
    swap = {v.lv for v in system.swap}
    for lv in shown:
        if lv.name not in swap and not (_is_linear(lv) or _is_thin(lv) or lv.thick_snapshot):
            kinds = ", ".join(sorted({s.kind for s in lv.segments}))
            reasons.append(
                f"The volume {group.name}/{lv.name} is kept as {kinds}; the twin can not show that."
            )
    missing = wanted - {lv.name for lv in shown}
    reasons += [f"The volume {group.name}/{name} was not found." for name in sorted(missing)]
    if reasons:
        raise Refused(tuple(reasons))
    return shown, tuple(left_out)


def _as_seen(lv: MetaLv, metadata: VgMetadata) -> MetaLv | None:
    """A thick snapshot by its own name and as long as its origin; None for the nameless LV behind it."""
    if lv.thick_snapshot is not None:
        return None
    snapshot = metadata.snapshot_by(lv.name)
    if snapshot is None or snapshot.merging:
        return lv
    return structs.replace(lv, segments=(snapshot,), status=(*lv.status, "VISIBLE"))


def _is_thin(lv: MetaLv) -> bool:
    return all(segment.kind == "thin" for segment in lv.segments)


def _is_linear(lv: MetaLv) -> bool:
    return all(segment.kind == "striped" and len(segment.stripes) == 1 for segment in lv.segments)


def _swap_area(lv: MetaLv, uuid: str, metadata: VgMetadata, scratch: Scratch) -> SwapArea:
    length = lv.extents * metadata.extent_size
    return SwapArea(lv.name, uuid, scratch.take(length), length)


def _twin_disk(index: int, ground: _Ground) -> TwinDisk:
    disk = ground.disks[index]
    here = ((place, room) for room in ground.rooms for place in room.places if place.disk == index)
    places = sorted(here, key=lambda one: one[0].start)
    grown = next(((place, room) for place, room in places if room.grown), None)
    real = sectors = disk.size // SECTOR
    if grown is not None:
        place, room = grown
        tail = GPT_BACKUP * disk.sector // SECTOR if place.partition else 0
        sectors = max(real, -(-(place.start + room.length + tail) // ALIGN) * ALIGN)
    segments: list[Segment] = []
    at = 0
    for place, room in places:
        segments += _between(ground, index, at, place.start)
        segments += _pv_segments_at(place, room, ground)
        at = place.start + room.length
    if grown is not None:
        segments += blank(at, sectors - at, ground.scratch)
    else:
        segments += _between(ground, index, at, sectors)
    return TwinDisk(
        path=disk.path,
        sectors=sectors,
        real_sectors=real,
        sector_size=disk.sector,
        table=disk.table,
        segments=tuple(segments),
        lengthened=grown[0].partition if grown is not None else 0,
        lengthened_end=grown[0].start + grown[1].length if grown is not None else 0,
    )


def _between(ground: _Ground, index: int, start: int, end: int) -> Iterator[Segment]:
    """What a disk has from `start` to `end`, where no PV lies: its own, but for the content of a /boot that
    is an array."""
    device, at = ground.disks[index].path, start
    for segment in ground.boot.on(index) if ground.boot is not None else ():
        if start <= segment.start and segment.end <= end:
            yield from cow(device, at, at, segment.start - at, ground.scratch)
            yield segment
            at = segment.end
    yield from cow(device, at, at, end - at, ground.scratch)


def _pv_segments_at(place: Place, room: PvRoom, ground: _Ground) -> Iterator[Segment]:
    """What a PV is made of, at one of its places: the same everywhere, but that no two runs of copy-on-write
    share a store."""
    if room.pv not in ground.cut:
        ground.cut[room.pv] = tuple(_pv_segments(room, ground))
    for segment in ground.cut[room.pv]:
        if place == room.places[0]:
            yield segment
            continue
        source = segment.source
        if isinstance(source, CowRun):
            source = replace(source, store=ground.scratch.take(source.store_length))
        yield Segment(segment.start - room.start + place.start, segment.length, source)


def _pv_segments(room: PvRoom, ground: _Ground) -> Iterator[Segment]:
    """The PV's header, its extents in order, and what is left behind the last of them."""
    size = ground.metadata.extent_size
    blanks = {swap.lv: swap.offset for swap in ground.swaps}
    yield from blank(room.start, room.pe_start, ground.scratch)
    at = room.start + room.pe_start
    for extent in sorted((e for e in ground.extents if e.pv == room.pv), key=lambda e: e.pv_start):
        length, offset = extent.count * size, extent.lv_start * size
        if extent.lv in ground.linear:
            yield from _linear_segments(at, extent, ground)
        else:
            source: Source = FromVolume(extent.lv, offset)
            yield Segment(at, length, Blank(blanks[extent.lv] + offset) if extent.lv in blanks else source)
        at += length
    yield from blank(at, room.start + room.length - at, ground.scratch)


def _linear_segments(at: int, extent: Extent, ground: _Ground) -> Iterator[Segment]:
    """Copy-on-write over the places on the metal's own disks where a linear LV lies."""
    size = ground.metadata.extent_size
    lv = ground.metadata.lv(extent.lv)
    assert lv is not None  # it is one of the shown
    real = {room.pv: (ground.disks[room.disk].path, room.start + room.pe_start) for room in ground.rooms}
    for piece in lv.segments:
        first = max(piece.start, extent.lv_start)
        last = min(piece.start + piece.extents, extent.lv_start + extent.count)
        if first >= last:
            continue
        stripe = piece.stripes[0]
        device, begin = real[stripe.pv]
        offset = begin + (stripe.start + first - piece.start) * size
        start = at + (first - extent.lv_start) * size
        yield from cow(device, start, offset, (last - first) * size, ground.scratch)
