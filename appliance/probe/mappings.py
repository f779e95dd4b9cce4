"""Pure arithmetic: device-mapper tables that show a volume group's volumes without being able to write them.

Positions and lengths in tables are 512-byte sectors. The tables follow the kernel's documentation of the
linear, striped, snapshot, thin-pool and thin targets.
"""

from __future__ import annotations

import msgspec

from appliance.probe.lvm_metadata import MetaLv, Segment, VgMetadata

PREFIX = "twinboot-probe-"
BELOW = "twinboot-below-"
"""What lies beneath a volume group has one name for ever, since LVM and plans know it by that."""
SECTOR = 512


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """One device to make: `table` holds its lines.

    `writable` are a pool, which the kernel makes in no other way, and the copy-on-write of its metadata; what
    lies below them on the disk is not.
    """

    name: str
    table: tuple[str, ...]
    writable: bool = False

    @property
    def path(self) -> str:
        return f"/dev/mapper/{self.name}"


class Readable(msgspec.Struct, frozen=True, kw_only=True):
    """What one volume group needs to be read, in the order in which the devices are made.

    `volumes` maps the names of visible volumes to the devices that show them, `pools` those of thin pools to
    the device whose status tells how full they are. `unreadable` names volumes of kinds that are not read,
    with the reason in words.
    """

    mappings: tuple[Mapping, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    pools: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the devices of a volume group are made from.

    `pvs` maps ids of physical volumes to device paths (a missing one is left out), `cows` names of thin pools
    and of thick snapshots' stores to the device in RAM that takes what the kernel would write to their
    metadata. `active` maps pools that are up to the device they are up as: those are asked themselves, as
    their metadata may be changing.
    """

    pvs: dict[str, str]
    cows: dict[str, str] = {}
    active: dict[str, str] = {}


class _Plan:
    """Collects mappings of one volume group; names count upwards, so later ones depend on earlier ones."""

    def __init__(self, vg: VgMetadata, sources: Sources, first: int, prefix: str) -> None:
        self.vg = vg
        self.prefix = prefix
        self.pvs = sources.pvs
        self.cows = sources.cows
        self.first = first
        self.mappings: list[Mapping] = []
        self.volumes: list[tuple[str, str]] = []
        self.pools: dict[str, str] = dict(sources.active)
        self.unreadable: list[tuple[str, str]] = []

    def add(self, table: tuple[str, ...], *, writable: bool = False) -> str:
        name = f"{self.prefix}{self.first + len(self.mappings)}"
        mapping = Mapping(name=name, table=table, writable=writable)
        self.mappings.append(mapping)
        return mapping.path


def pools_of(vg: VgMetadata) -> tuple[str, ...]:
    """Names of the thin pools, each of which needs a copy-on-write device for its metadata."""
    return tuple(lv.name for lv in vg.lvs if lv.segments and lv.segments[0].kind == "thin-pool")


def stores_of(vg: VgMetadata, tag: str) -> tuple[str, ...]:
    """Names of the stores of thick snapshots with `tag`, and of those being written back."""
    found = ((lv.thick_snapshot, vg.lv(lv.thick_snapshot.cow_store)) for lv in vg.lvs if lv.thick_snapshot)
    return tuple(
        store.name for segment, store in found if store is not None and (segment.merging or tag in store.tags)
    )


def linear(device: str, size: int) -> tuple[str, ...]:
    """The table that shows `size` bytes of a device from its start."""
    return (f"0 {size // SECTOR} linear {device} 0",)


def readable(
    vg: VgMetadata,
    sources: Sources,
    first: int = 0,
    skip: frozenset[str] = frozenset(),
    prefix: str = PREFIX,
) -> Readable:
    """The devices that show the volumes of `vg` read-only, but those in `skip`.

    Their names are `prefix` and a number, from `first` on.
    """
    plan = _Plan(vg, sources, first, prefix)
    for name in pools_of(vg):
        why = "" if name in sources.active else _pool(plan, name)
        if why:
            plan.unreadable.append((name, why))
    for lv in vg.lvs:
        name = lv.thick_snapshot.cow_store if lv.thick_snapshot is not None else lv.name
        wanted = lv.visible and lv.segments and name not in skip
        if wanted and lv.segments[0].kind != "thin-pool":
            why = _volume(plan, lv)
            if why:
                plan.unreadable.append((name, why))
    return Readable(
        mappings=tuple(plan.mappings),
        volumes=tuple(plan.volumes),
        pools=tuple(plan.pools.items()),
        unreadable=tuple(plan.unreadable),
    )


def _volume(plan: _Plan, lv: MetaLv) -> str:
    """Add the devices of one volume; the reason where it can not be read."""
    first = lv.segments[0]
    if first.kind == "thin":
        pool = plan.pools.get(first.thin_pool)
        if pool is None:
            return f"its pool {first.thin_pool} can not be read"
        if first.external_origin:
            return "it has an external origin"
        sectors = lv.extents * plan.vg.extent_size
        plan.volumes.append((lv.name, plan.add((f"0 {sectors} thin {pool} {first.device_id}",))))
        return ""
    snapshot = first if lv.thick_snapshot is not None else plan.vg.merging_into(lv.name)
    if snapshot is not None:
        return _thick_snapshot(plan, snapshot, lv.name if snapshot.merging else snapshot.cow_store)
    table, why = _stripes(plan, lv)
    if not why:
        plan.volumes.append((lv.name, plan.add(table)))
    return why


def _thick_snapshot(plan: _Plan, snapshot: Segment, name: str) -> str:
    """Show `name` as origin and store together make it; the store lies behind a copy-on-write in RAM."""
    origin, store = plan.vg.lv(snapshot.origin), plan.vg.lv(snapshot.cow_store)
    if origin is None or store is None or not snapshot.chunk_size:
        return "its parts are not described"
    if store.name not in plan.cows:
        return "it is a snapshot"
    origin_table, why = _stripes(plan, origin)
    store_table, also = _stripes(plan, store)
    if why or also:
        return why or also
    below, held = plan.add(origin_table), plan.add(store_table)
    size = store.extents * plan.vg.extent_size
    shield = plan.add((f"0 {size} snapshot {held} {plan.cows[store.name]} N 8",), writable=True)
    length = origin.extents * plan.vg.extent_size
    table = (f"0 {length} snapshot {below} {shield} P {snapshot.chunk_size}",)
    plan.volumes.append((name, plan.add(table)))
    return ""


def _pool(plan: _Plan, name: str) -> str:
    """A pool of our own over the same extents: metadata through a copy-on-write in RAM, data read-only."""
    pool = plan.vg.lv(name)
    segment = pool.segments[0] if pool else None
    meta = plan.vg.lv(segment.metadata_lv) if segment else None
    data = plan.vg.lv(segment.data_lv) if segment else None
    if segment is None or meta is None or data is None or not segment.chunk_size:
        return "its parts are not described"
    meta_table, why = _stripes(plan, meta)
    data_table, also = _stripes(plan, data)
    if why or also:
        return why or also
    if name not in plan.cows:
        return "no memory was set aside for it"
    origin = plan.add(meta_table)
    size = meta.extents * plan.vg.extent_size
    shown = plan.add((f"0 {size} snapshot {origin} {plan.cows[name]} N 8",), writable=True)
    bulk = plan.add(data_table)
    length = data.extents * plan.vg.extent_size
    features = "3 read_only skip_block_zeroing ignore_discard"
    table = (f"0 {length} thin-pool {shown} {bulk} {segment.chunk_size} 0 {features}",)
    plan.pools[name] = plan.add(table, writable=True)
    return ""


def _stripes(plan: _Plan, lv: MetaLv) -> tuple[tuple[str, ...], str]:
    """Table lines of a linear or striped volume, or the reason why there are none."""
    lines = []
    for segment in lv.segments:
        if segment.kind != "striped":
            return (), f"it is of the kind {segment.kind}"
        places = []
        for stripe in segment.stripes:
            pv = plan.vg.pv(stripe.pv)
            device = plan.pvs.get(pv.id) if pv else None
            if pv is None or device is None:
                return (), f"its physical volume {stripe.pv} is missing"
            places.append(f"{device} {pv.pe_start + stripe.start * plan.vg.extent_size}")
        lines.append(_line(plan.vg.extent_size, segment, places))
    return tuple(lines), ""


def _line(extent: int, segment: Segment, places: list[str]) -> str:
    begin, length = segment.start * extent, segment.extents * extent
    if len(places) == 1:
        return f"{begin} {length} linear {places[0]}"
    return f"{begin} {length} striped {len(places)} {segment.stripe_size} {' '.join(places)}"
