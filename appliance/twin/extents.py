"""Physical volumes of the twin and how logical ones are packed into them, in whole extents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.errors import Refused
from appliance.model.machine import Disk, Layer, LayerKind, VolumeGroup
from appliance.probe.lvm_metadata import MetaPv, VgMetadata
from appliance.twin.segments import ALIGN, SECTOR, LegPlace, MirrorPlace


@dataclass(frozen=True, slots=True)
class Place:
    """Where on disk `disk` a PV begins, in sectors. `partition` is 0 where it is a whole disk."""

    disk: int
    partition: int
    start: int


@dataclass(frozen=True, slots=True)
class PvRoom:
    """A PV of the twin: `extents` of room on disk `disk`; sectors for start, length and `pe_start`.

    `partition` is 0 where the PV is a whole disk. `grown` says that it is longer than on the metal. `header`
    sectors before `start`, in the same partition, are those of an encrypted device that the PV lies in, or of
    a mirror's leg; `legs` are where that mirror has its others.
    """

    pv: str
    uuid: str
    path: str
    disk: int
    partition: int
    start: int
    length: int
    pe_start: int
    extents: int
    grown: bool = False
    header: int = 0
    legs: tuple[Place, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Everywhere it is found, the first first."""
        return (Place(self.disk, self.partition, self.start), *self.legs)


@dataclass(frozen=True, slots=True)
class Extent:
    """`count` extents of `lv` from its extent `lv_start` on, at extent `pv_start` of `pv`."""

    lv: str
    lv_start: int
    pv: str
    pv_start: int
    count: int


def pack(rooms: Sequence[PvRoom], volumes: Iterable[tuple[str, int]]) -> list[Extent]:
    """Lay `volumes` (name, extents) into `rooms` one after the other; a volume may go on in the next room.

    Raises ValueError where there is too little room: the caller lengthens first.
    """
    placed: list[Extent] = []
    free = [(room.pv, 0, room.extents) for room in rooms if room.extents]
    for name, wanted in volumes:
        at = 0
        while at < wanted:
            if not free:
                raise ValueError(f"no room for extent {at} of {name}")
            pv, start, left = free[0]
            count = min(left, wanted - at)
            placed.append(Extent(name, at, pv, start, count))
            at += count
            free[0] = (pv, start + count, left - count)
            if count == left:
                free.pop(0)
    return placed


def pv_rooms(
    group: VolumeGroup, metadata: VgMetadata, disks: tuple[Disk, ...], layers: tuple[Layer, ...] = ()
) -> list[PvRoom]:
    """Where each PV lies, as it is on the metal, in the order of the VG's text. Raises Refused.

    `layers` are the devices that some of them lie in."""
    places = {pv.uuid: pv.path for pv in group.pvs}
    within = {layer.path: layer for layer in layers}
    rooms = []
    for pv in metadata.pvs:
        path = places[pv.id]
        layer = within.get(path)
        room = _pv_room(pv, layer.below[0] if layer else path, metadata.extent_size, disks)
        rooms.append(_inside(room, layer, metadata.extent_size, disks) if layer else room)
    return rooms


def _inside(room: PvRoom, layer: Layer, extent: int, disks: tuple[Disk, ...]) -> PvRoom:
    """The room of a PV whose device begins behind the header of `layer`, on each of its legs."""
    header, length = layer.offset // SECTOR, layer.size // SECTOR
    if room.pe_start + room.extents * extent > length:
        raise Refused((f"The physical volume in {layer.name} is longer than the place it lies in.",))
    others = layer.below[1:] if layer.kind is LayerKind.RAID1 else ()
    legs = tuple(behind_header(path, header, length, disks) for path in others)
    return replace(room, path=layer.path, start=room.start + header, length=length, header=header, legs=legs)


def behind_header(path: str, header: int, length: int, disks: tuple[Disk, ...]) -> Place:
    """Where the content of a mirror's leg lies: `length` sectors behind its `header`. Raises Refused."""
    for place, size in _places(path, disks):
        if header + length > size:
            raise Refused((f"The leg {path} of a mirror is shorter than what it holds.",))
        return replace(place, start=place.start + header)
    raise Refused((f"The leg {path} of a mirror is on none of the machine's disks.",))


def mirror_place(array: Layer, places: Iterable[Place], header: int, length: int) -> MirrorPlace:
    """The array whose legs' content lies at `places`, in their order."""
    pairs = zip(array.below, places, strict=True)
    legs = tuple(LegPlace(device, place.disk, place.start - header) for device, place in pairs)
    return MirrorPlace(array.name, legs, header, length)


def _places(path: str, disks: tuple[Disk, ...]) -> Iterator[tuple[Place, int]]:
    """The disk or partition at `path`, and how many sectors it has."""
    for index, disk in enumerate(disks):
        spans = [(p.path, p.number, p.start, p.size) for p in disk.partitions]
        for where, number, start, size in [(disk.path, 0, 0, disk.size), *spans]:
            if where == path:
                yield Place(index, number, start // SECTOR), size // SECTOR


def _pv_room(pv: MetaPv, path: str, extent: int, disks: tuple[Disk, ...]) -> PvRoom:
    for at, length in _places(path, disks):
        if pv.pe_start + pv.pe_count * extent > length:
            raise Refused((f"The physical volume {path} is longer than the place it lies in.",))
        where = (path, at.disk, at.partition, at.start)
        return PvRoom(pv.name, pv.id, *where, length, pv.pe_start, pv.pe_count)
    raise Refused((f"The physical volume {path} is on none of the machine's disks.",))


def lengthen(rooms: list[PvRoom], wanted: int, metadata: VgMetadata, disks: tuple[Disk, ...]) -> list[PvRoom]:
    """Room for `wanted` extents: the last PV that ends its disk grows by what is missing. Raises Refused."""
    missing = wanted - sum(room.extents for room in rooms)
    if missing <= 0:
        return rooms
    growable = [r for r in rooms if all(_ends_its_disk(place, disks[place.disk]) for place in r.places)]
    if not growable:
        raise Refused(
            (
                "The volumes' virtual sizes sum past the disks, and behind every physical volume lies "
                "another partition, so the twin's disk can not be lengthened.",
            )
        )
    last = growable[-1]
    extents = last.extents + missing
    end = -(-(last.start + last.pe_start + extents * metadata.extent_size) // ALIGN) * ALIGN
    length = max(last.length, end - last.start)
    grown = replace(last, extents=extents, length=length, grown=True)
    return [grown if room is last else room for room in rooms]


def _ends_its_disk(place: Place, disk: Disk) -> bool:
    """Whether nothing that a move of the PV's end would touch lies behind it.

    A logical partition of an MBR always has its extended one around it.
    """
    if not place.partition:
        return True
    if disk.table == "dos" and place.partition > 4:
        return False
    return all(p.start // SECTOR < place.start for p in disk.partitions if p.number != place.partition)
