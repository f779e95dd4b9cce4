"""What a machine is: firmware, disks, volumes, installed systems. Frozen, versioned, no I/O."""

from __future__ import annotations

import enum

import msgspec

from appliance.model.disks import Bus as Bus
from appliance.model.disks import Disk as Disk
from appliance.model.disks import Partition as Partition
from appliance.model.groups import PARTITION as PARTITION
from appliance.model.groups import SUBVOLUME as SUBVOLUME
from appliance.model.groups import LogicalVolume as LogicalVolume
from appliance.model.groups import PhysicalVolume as PhysicalVolume
from appliance.model.groups import VolumeGroup as VolumeGroup
from appliance.model.groups import mapper_path as mapper_path
from appliance.model.groups import root_called as root_called
from appliance.model.layers import Layer as Layer
from appliance.model.layers import LayerKind as LayerKind
from appliance.model.layers import Locked as Locked
from appliance.model.layers import Tpm as Tpm
from appliance.model.layers import layers_under, mirror_at
from appliance.model.partitions import group_of_partitions
from appliance.model.systems import ESP_TARGETS as ESP_TARGETS
from appliance.model.systems import FstabEntry as FstabEntry
from appliance.model.systems import InstalledSystem as InstalledSystem
from appliance.model.systems import Kernel as Kernel
from appliance.model.systems import Loader as Loader
from appliance.model.systems import LoaderEntry as LoaderEntry
from appliance.model.systems import LoaderKind as LoaderKind
from appliance.model.systems import Packages as Packages
from appliance.model.systems import Role as Role
from appliance.model.systems import Storage as Storage
from appliance.model.systems import Trouble as Trouble
from appliance.model.systems import Volume as Volume

SCHEMA = 1


class Firmware(enum.Enum):
    BIOS = "bios"
    UEFI = "uefi"


class BootEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A UEFI Boot#### variable as efibootmgr shows it."""

    number: str
    label: str
    path: str
    active: bool = True


class BootOrder(msgspec.Struct, frozen=True, kw_only=True):
    current: str = ""
    next: str = ""
    order: tuple[str, ...] = ()
    entries: tuple[BootEntry, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Everything inspect found. `identity` is the serial number, or what stands in where that is junk."""

    schema: int = SCHEMA
    vendor: str
    product: str
    serial: str
    serial_is_junk: bool
    identity: str
    uuid: str
    firmware: Firmware
    secure_boot: bool = False
    cpu: str = ""
    cpus: int = 1
    virtualisation: str = ""
    kvm: bool = False
    ram: int = 0
    bmc: str = ""
    disks: tuple[Disk, ...] = ()
    layers: tuple[Layer, ...] = ()
    locked: tuple[Locked, ...] = ()
    volume_groups: tuple[VolumeGroup, ...] = ()
    systems: tuple[InstalledSystem, ...] = ()
    boot_order: BootOrder = BootOrder()
    trouble: tuple[Trouble, ...] = ()

    @property
    def groups(self) -> tuple[VolumeGroup, ...]:
        """Every group of volumes that a snapshot could be taken in: LVM's, then file systems of btrfs, then
        disks with a root on a partition."""
        found = (group for system in self.systems if (group := system.of_subvolumes) is not None)
        disks = (group for disk in self.disks if (group := self._of_partitions(disk)) is not None)
        return (*self.volume_groups, *{group.name: group for group in (*found, *disks)}.values())

    def _of_partitions(self, disk: Disk) -> VolumeGroup | None:
        """None for a disk without such a root."""
        roots = [s.root for s in self.systems if s.root.disk and s.root.disk == disk.group]
        own = {part.path for part in disk.partitions}
        members = tuple(
            LogicalVolume(name=root.partition, uuid=root.fsuuid, size=root.size, segtype=PARTITION)
            for root in roots
            if root.device in own
        )
        if not members:
            return None
        whole = PhysicalVolume(path=disk.path, uuid=disk.table_id, size=disk.size)
        return group_of_partitions(disk.group, whole, disk.clear.size, members, disk.copies)

    def group(self, name: str) -> VolumeGroup | None:
        return next((g for g in self.groups if g.name == name), None)

    def vg(self, name: str) -> VolumeGroup | None:
        """One of LVM's alone."""
        return next((g for g in self.volume_groups if g.name == name), None)

    def system(self, system_id: str) -> InstalledSystem | None:
        return next((s for s in self.systems if s.id == system_id), None)

    def disk_of(self, path: str) -> Disk | None:
        """The disk that holds the partition or PV at `path`."""
        for disk in self.disks:
            if path == disk.path or any(p.path == path for p in disk.partitions):
                return disk
        return None

    def layers_under(self, group: VolumeGroup) -> tuple[Layer, ...]:
        """What `group` stands on between its PVs and the disks, the uppermost first."""
        return layers_under(self.layers, frozenset(pv.path for pv in group.pvs))

    def disks_under(self, group: VolumeGroup) -> tuple[Disk, ...]:
        """The disks that `group` lies on, in the machine's order."""
        paths = self.places_of(group)
        return tuple(d for d in self.disks if paths & {d.path, *(p.path for p in d.partitions)})

    def places_of(self, group: VolumeGroup) -> frozenset[str]:
        """The partitions and whole disks that hold `group`, itself or what it stands on."""
        below = (path for layer in self.layers_under(group) for path in layer.below)
        return frozenset(pv.path for pv in group.pvs) | frozenset(below)

    def encrypted_under(self, group: VolumeGroup) -> tuple[Layer, ...]:
        """Those of them that ask for a passphrase at every start of the machine."""
        return tuple(layer for layer in self.layers_under(group) if layer.kind is LayerKind.LUKS)

    def mirrors_under(self, group: VolumeGroup) -> tuple[Layer, ...]:
        """Those of them that are arrays of several disks."""
        return tuple(layer for layer in self.layers_under(group) if layer.kind is LayerKind.RAID1)

    def mirror_at(self, path: str) -> Layer | None:
        """The array that is found at `path`."""
        return mirror_at(self.layers, path)

    def boot_mirrors(self, group: VolumeGroup) -> tuple[Layer, ...]:
        """The arrays that are /boot itself, of the systems whose root lies in `group`."""
        boots = (system.boot_volume for system in self.systems if system.root.vg == group.name)
        found = (self.mirror_at(boot.device) for boot in boots if boot is not None)
        return tuple(dict.fromkeys(layer for layer in found if layer is not None))

    @property
    def taken(self) -> frozenset[str]:
        """Every partition and whole disk that holds a volume group, an array, or what nobody unlocked."""
        groups = (path for group in self.volume_groups for path in self.places_of(group))
        below = (path for layer in self.layers for path in layer.below)
        return frozenset((*groups, *below, *(one.path for one in self.locked)))
