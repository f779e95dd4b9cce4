"""Installed systems: their volumes, loaders and kernels, and what stands in the way of a rehearsal."""

from __future__ import annotations

import enum

import msgspec

from appliance.model.btrfs import BtrfsRoot
from appliance.model.disks import Partition
from appliance.model.groups import VolumeGroup, group_of_subvolumes, mapper_path, subvolume_path
from appliance.model.partitions import uuid_called

ESP_TARGETS = ("/efi", "/boot/efi")
"""Where an EFI system partition is mounted."""


class Storage(enum.Enum):
    """How a volume is kept, which decides how a snapshot of it is taken."""

    LVM_THIN = "LVM thin"
    LVM_THICK = "LVM thick"
    BTRFS = "btrfs"
    PARTITION = "partition"


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
    system holds, where that is btrfs. `crypt_sources` are the devices that crypttab(5) names, in its words.
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
    crypt_sources: tuple[str, ...] = ()
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
    def addable(self) -> tuple[Volume, ...]:
        """Data that can go round with the root: on thin volumes beside a thin one, in its group."""
        root = self.root
        beside = (v for v in self.data if v.lv and (v.vg, v.storage) == (root.vg, root.storage))
        return tuple(beside) if root.storage is Storage.LVM_THIN else ()

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
