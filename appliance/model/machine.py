"""What a machine is: firmware, disks, volumes, installed systems. Frozen, versioned, no I/O."""

from __future__ import annotations

import enum

import msgspec

from appliance.model.btrfs import BtrfsRoot
from appliance.model.disks import Bus as Bus
from appliance.model.disks import Disk as Disk
from appliance.model.disks import Partition as Partition
from appliance.model.groups import PARTITION as PARTITION
from appliance.model.groups import SUBVOLUME as SUBVOLUME
from appliance.model.groups import LogicalVolume as LogicalVolume
from appliance.model.groups import PhysicalVolume as PhysicalVolume
from appliance.model.groups import VolumeGroup as VolumeGroup
from appliance.model.groups import group_of_subvolumes, subvolume_path
from appliance.model.groups import mapper_path as mapper_path
from appliance.model.groups import root_called as root_called
from appliance.model.partitions import group_of_partitions, uuid_called

SCHEMA = 1
ESP_TARGETS = ("/efi", "/boot/efi")
"""Where an EFI system partition is mounted."""


class Firmware(enum.Enum):
    BIOS = "bios"
    UEFI = "uefi"


class Storage(enum.Enum):
    """How a volume is kept, which decides how a snapshot of it is taken."""

    LVM_THIN = "LVM thin"
    LVM_THICK = "LVM thick"
    BTRFS = "btrfs"
    PARTITION = "partition"


class LayerKind(enum.Enum):
    """What may lie between the partitions of disks and a volume group."""

    RAID1 = "MD RAID 1"
    LUKS = "LUKS"


class LoaderKind(enum.Enum):
    GRUB = "GRUB"
    SYSTEMD_BOOT = "systemd-boot"
    UNKNOWN = "unknown"


class Role(enum.Enum):
    """What a volume is to the rehearsal."""

    ROOT = "root"
    SET = "volume set"
    DATA = "data"
    SWAP = "swap"
    BOOT = "boot"


class Tpm(msgspec.Struct, frozen=True, kw_only=True):
    """What binds the key of an encrypted device to the machine's TPM.

    `pcrs` are the registers whose values must be what they were (UAPI.7, Linux TPM PCR Registry), `signed`
    those for whose values a signature will do.
    """

    pcrs: tuple[int, ...] = ()
    signed: tuple[int, ...] = ()


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A device made of those at `below`, which are partitions or whole disks.

    `path` is where it is found while somebody looks at it; `name` is what a person calls it. What it holds
    begins `offset` bytes into each of `below` and is `size` bytes long. `cipher` is what encrypts it, as
    dm-crypt names that ("aes-xts-plain64"); empty where nothing does. `tpm` opens it where that is there.
    """

    kind: LayerKind
    path: str
    uuid: str
    name: str
    below: tuple[str, ...]
    offset: int
    size: int
    cipher: str = ""
    tpm: Tpm | None = None


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """An encrypted device that nobody has unlocked; `name` is what a person calls it."""

    path: str
    uuid: str
    name: str


class FstabEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of fstab(5), its own words kept."""

    spec: str
    target: str
    fstype: str
    options: str
    freq: int = 0
    passno: int = 0


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume the installed system mounts. `vg` and `lv` are empty where it is not LVM.

    `subvolume` is what a subvolume of btrfs is called: its path, or the plan's name for one of ours. Empty
    where all of the file system is mounted, or where it has no name that a snapshot could take.
    `partition` is what a root on a partition is called: by its number, or the plan's name for one of ours;
    `disk` is its disk's name as a group (`Disk.group`). Both are empty where none can stand beside it.
    `array` is what a person calls the array that it is itself, without LVM.
    """

    device: str
    role: Role
    target: str
    fstype: str
    fsuuid: str
    size: int
    storage: Storage
    vg: str = ""
    lv: str = ""
    subvolume: str = ""
    partition: str = ""
    disk: str = ""
    array: str = ""

    @property
    def path(self) -> str:
        """What a partition calls it."""
        return self.device

    @property
    def group(self) -> str:
        """The volume group it belongs to; a file system with subvolumes is one, called by its UUID, and so
        is a disk with a root on a partition."""
        return self.vg or (f"btrfs-{self.fsuuid[:8]}" if self.subvolume else self.disk)

    @property
    def member(self) -> str:
        """Its name in that group."""
        return self.lv or self.subvolume or self.partition

    @property
    def name(self) -> str:
        """What our names for its snapshots begin with: its own in its group, or its device's ("sda2")."""
        return self.member or self.device.rpartition("/")[2]

    @property
    def place(self) -> str:
        """What a person calls it: "vg0/root", "/dev/sda2" where it is a partition, "md0" an array."""
        if self.group and not self.partition:
            return f"{self.group}/{self.member}"
        return self.array or self.device

    def root_called(self, member: str) -> str:
        """What a boot entry calls the root that lies in `member` of the same group (boot/rootname.py)."""
        if self.subvolume:
            return f"UUID={self.fsuuid}[/{subvolume_path(member)}]"
        if self.partition:
            return f"UUID={uuid_called(self.partition, self.fsuuid, member)}"
        return mapper_path(self.vg, member)


class LoaderEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the loader's own menu; `kernel` is empty where it starts something else than Linux.

    `default` marks the one an unattended start takes.
    """

    title: str
    id: str = ""
    kernel: str = ""
    default: bool = False


class Loader(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` is the loader's folder inside /boot's file system, e.g. "grub".

    `boot_prefix` is the path of /boot as the loader sees it: "" where /boot is a file system of its own.
    `bls` says that GRUB takes its entries from loader/entries (blscfg), not from grub.cfg, `unified` that
    systemd-boot's default entry is a unified kernel image.
    """

    kind: LoaderKind
    version: str = ""
    folder: str = ""
    boot_prefix: str = ""
    sources_custom_cfg: bool = False
    custom_cfg_sha256: str = ""
    custom_cfg_ours: bool = False
    efi_path: str = ""
    bls: bool = False
    unified: bool = False
    entries: tuple[LoaderEntry, ...] = ()

    @property
    def name(self) -> str:
        """What it is called where how it keeps its entries matters."""
        how = " with BLS entries" if self.bls else " with UKI" if self.unified else ""
        return f"{self.kind.value}{how}"


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    vmlinuz: str
    initrd: str


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed, in numbers: all zero where the package database does not say.

    `bytes` is what all of it takes unpacked; `kernel_bytes` the largest of the installed kernels' packages.
    """

    count: int = 0
    bytes: int = 0
    kernel_bytes: int = 0


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stands in the way. `refuses` says whether a rehearsal is refused for it."""

    code: str
    sentence: str
    refuses: bool


class InstalledSystem(msgspec.Struct, frozen=True, kw_only=True):
    """One operating system found on the disks. `id` is stable: the root volume's device name.

    `package_manager` is apt, dnf, zypper or empty where it is none of these. `btrfs` is what its root's file
    system holds, where that is btrfs.
    """

    id: str
    os_id: str
    os_name: str
    os_version: str
    hostname: str
    init: str
    root: Volume
    volumes: tuple[Volume, ...]
    fstab: tuple[FstabEntry, ...]
    boot: Partition | None
    esp: Partition | None
    loader: Loader
    kernels: tuple[Kernel, ...]
    command_line: str = ""
    default_target: str = ""
    packages: Packages = Packages()
    package_manager: str = ""
    btrfs: BtrfsRoot | None = None
    trouble: tuple[Trouble, ...] = ()

    @property
    def boot_inside(self) -> bool:
        """Whether GRUB's own files and the kernels it starts lie in the root volume."""
        return self.own_boot is None and self.loader.kind is LoaderKind.GRUB

    @property
    def root_part(self) -> tuple[str, ...]:
        """Mount options that show the root alone, where its volume holds more: a subvolume (btrfs(5))."""
        return (f"subvolid={self.btrfs.root}",) if self.btrfs else ()

    @property
    def starts_unnamed(self) -> int:
        """The id of its root's subvolume, where a start names none and takes the default one; else 0."""
        return self.btrfs.root if self.btrfs and self.root.subvolume and not self.btrfs.named else 0

    @property
    def of_subvolumes(self) -> VolumeGroup | None:
        """The file system of its root as a group of volumes; None where that is no btrfs on a partition."""
        root = self.root
        if self.btrfs is None or not root.subvolume:
            return None
        return group_of_subvolumes(root.group, root.device, root.size, self.btrfs)

    @property
    def volume_set(self) -> tuple[Volume, ...]:
        return tuple(v for v in self.volumes if v.role in (Role.ROOT, Role.SET))

    @property
    def beside_root(self) -> tuple[Volume, ...]:
        """The volumes of the set but the root, those above before what is mounted inside them."""
        found = (v for v in self.volumes if v.role is Role.SET)
        return tuple(sorted(found, key=lambda v: (v.target.rstrip("/").count("/"), v.target)))

    @property
    def data(self) -> tuple[Volume, ...]:
        return tuple(v for v in self.volumes if v.role is Role.DATA)

    @property
    def swap(self) -> tuple[Volume, ...]:
        return tuple(v for v in self.volumes if v.role is Role.SWAP)

    @property
    def esp_target(self) -> str:
        """Where fstab mounts the EFI system partition; empty where it does not."""
        return next((entry.target for entry in self.fstab if entry.target in ESP_TARGETS), "")

    @property
    def boot_volume(self) -> Volume | None:
        """/boot, where it is a logical volume or an array: GRUB reads one, and can not write there."""
        return next((v for v in self.volumes if v.role is Role.BOOT), None)

    @property
    def own_boot(self) -> Partition | Volume | None:
        """The file system that /boot has for itself; None where it is a folder of the root volume."""
        return self.boot or self.boot_volume


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


def mirror_at(layers: tuple[Layer, ...], path: str) -> Layer | None:
    """The one of `layers` that is an array of several disks and is found at `path`."""
    found = (layer for layer in layers if layer.kind is LayerKind.RAID1)
    return next((layer for layer in found if layer.path == path), None)


def layers_under(layers: tuple[Layer, ...], paths: frozenset[str]) -> tuple[Layer, ...]:
    """Those of `layers` that the devices at `paths` stand on, the uppermost first.

    In `layers`, what stands on another comes after it.
    """
    found: list[Layer] = []
    for layer in reversed(layers):
        if layer.path in paths:
            found.append(layer)
            paths |= set(layer.below)
    return tuple(found)
