"""Groups of volumes in which snapshots are taken: LVM's, and the subvolumes of a btrfs."""

from __future__ import annotations

import re

import msgspec

from appliance.model.btrfs import BtrfsRoot

OURS_AT = "twinboot"
"""The folder at the top level of a btrfs in which subvolumes of ours lie, under their names in the plan."""
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@_.+-]{0,100}")
_OF_A_RUN = re.compile(r".+-tb\d+(?:-[a-z-]+)?\Z")


def is_subvolume_name(name: str) -> bool:
    """Whether a subvolume of ours may be called so, or one of the machine's that ours are made of."""
    return bool(_NAME.fullmatch(name))


def subvolume_path(name: str) -> str:
    """Where the subvolume lies that a plan calls `name`, from the top level: one of a run is ours."""
    return f"{OURS_AT}/{name}" if _OF_A_RUN.match(name) else name


SUBVOLUME = "subvolume"
"""The segment type of what is no logical volume, but a subvolume of btrfs: it has no size of its own."""

PARTITION = "partition"
"""That of a partition, or of a copy that is to become one: its UUID is that of its file system."""


class LogicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`size` in bytes; `segtype` as LVM says it; `thin_id` is the device id in the pool, 0 where none."""

    name: str
    uuid: str
    size: int
    segtype: str
    pool: str = ""
    origin: str = ""
    thin_id: int = 0
    tags: tuple[str, ...] = ()
    skip_activation: bool = False
    writable: bool = True
    data_percent: float = 0.0
    metadata_percent: float = 0.0


class PhysicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    uuid: str
    size: int


class VolumeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """`extent_size` in bytes; `metadata` is the VG's own text (vgcfgbackup), the source of all extents.

    One of LVM's, or what stands for the subvolumes of a btrfs (`group_of_subvolumes`).
    """

    name: str
    uuid: str
    extent_size: int
    extent_count: int
    free_count: int
    seqno: int
    pvs: tuple[PhysicalVolume, ...]
    lvs: tuple[LogicalVolume, ...]
    metadata: str = ""
    missing_pvs: int = 0

    def lv(self, name: str) -> LogicalVolume | None:
        return next((lv for lv in self.lvs if lv.name == name), None)


def mapper_path(vg: str, lv: str) -> str:
    """The device of a logical volume; hyphens inside the names are doubled (lvm(8), VALID NAMES)."""
    return f"/dev/mapper/{vg.replace('-', '--')}-{lv.replace('-', '--')}"


def root_called(group: VolumeGroup, member: str) -> str:
    """What a boot entry calls the root that lies in `member` of `group` (boot/rootname.py)."""
    if any(lv.segtype == SUBVOLUME for lv in group.lvs):
        return f"UUID={group.uuid}[/{subvolume_path(member)}]"
    if any(lv.segtype == PARTITION for lv in group.lvs):
        return f"UUID={found.uuid}" if (found := group.lv(member)) is not None else ""
    return mapper_path(group.name, member)


def group_of_subvolumes(name: str, device: str, size: int, held: BtrfsRoot) -> VolumeGroup:
    """The btrfs `held` on `device`, of `size` bytes, as a group: the machine's own subvolumes, and ours."""
    ours = {one.path for one in held.ours}
    theirs = (s for s in held.subvolumes if s.path not in ours and "/" not in s.path)
    members = [LogicalVolume(name=s.path, uuid=s.uuid, size=0, segtype=SUBVOLUME) for s in theirs]
    for one in held.ours:
        there = held.subvolume(held.at(one.path))
        words = {"role": one.role, "run": one.run, "origin": one.origin}
        tags = (f"twinboot.{key}={value}" for key, value in words.items() if value)
        members.append(
            LogicalVolume(
                name=one.name,
                uuid=there.uuid if there else "",
                size=0,
                segtype=SUBVOLUME,
                origin=one.origin,
                tags=("twinboot", *tags),
            )
        )
    return VolumeGroup(
        name=name,
        uuid=held.uuid,
        extent_size=1,
        extent_count=size,
        free_count=held.free,
        seqno=0,
        pvs=(PhysicalVolume(path=device, uuid=held.uuid, size=size),),
        lvs=tuple(members),
    )
