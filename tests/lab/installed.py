"""Installed systems: a Debian with GRUB or systemd-boot, on a disk image, as its installer leaves it.

Everything forky is done natively; one short VM per system lays out LVM, if any (this needs device-mapper),
copies the root file system in and runs grub-install and update-grub, or bootctl and kernel-install, so that
disk and variable store are what real tools wrote.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import bls_packages, cache, encrypted, fstab, mirrored, mirrored_boot
from tests.lab.firmware import BIOS, UEFI, variables_template
from tests.lab.installer import install
from tests.lab.native import LabError, chroot_mounts, run, stage
from tests.lab.pool import LUKS, MIRROR, Offers, offers, tree_of
from tests.lab.suite import BOOKWORM, TRIXIE, Suite, real_archive
from tests.lab.tree import layered

HERE = Path(__file__).parent
MIB = 1 << 20

BOOT_UUID = "6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61"
ROOT_UUID = "2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052"
SRV_UUID = "c4e1f7b0-6d28-4c93-b5a9-0f3e8d7a2b16"
SWAP_UUID = "9b7d3e52-8f41-4d06-a2c8-5e1f6a0b9c34"
ESP_ID = "7A3B91C4"

# (name, sfdisk's type, start MiB, size MiB; 0 = the rest) of partitions 1 to 4.
PARTITIONS = (
    ("bios", "21686148-6449-6E6F-744E-656564454649", 1, 1),
    ("esp", "U", 2, 128),
    ("boot", "L", 130, 512),
    ("lvm", "V", 642, 0),
)
BOOT, LVM = PARTITIONS[2:]
BOOT_NUMBER = 3
ROOT, SWAP = 4, 5
"""Their numbers where there is no LVM: root and swap are partitions, and the rest of the disk is free."""
WITHOUT_BOOT = (PARTITIONS[0], ("esp", "U", 2, 640), LVM)
"""With systemd-boot kernels lie on the ESP, and /boot is a folder of the root volume, as Debian has it."""
LEG = ("raid", "R", LVM[2], 0)
"""What stands in for LVM where the volume group lies on a mirror; the second disk has the like alone."""
BOOT_LEG = ("boot", "R", BOOT[2], BOOT[3])
"""What stands in for /boot where that lies on a mirror of its own, on both disks."""
BOOT_ON_ARRAY = BOOT[3] - 16
"""MiB of /boot on a mirror: the legs' super blocks and bitmaps lie before it."""
SECOND_DISK = "/dev/vdc"
"""In the installation VM, where the root file system to be copied is the second disk."""
BOOT_DEVICE = "/dev/mapper/vg0-boot"
"""That of a /boot on LVM, in the installed system."""
GRUB, SYSTEMD_BOOT = "grub", "systemd-boot"

THIN, THICK, PARTITION = "thin", "thick", "partition"
EXT4, XFS, BTRFS = "ext4", "xfs", "btrfs"


LOADER = {
    (GRUB, BIOS): ("grub-pc",),
    (GRUB, UEFI): ("grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed", "efibootmgr"),
    (SYSTEMD_BOOT, UEFI): ("systemd-boot", "efibootmgr"),
}


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """What is installed: firmware ("bios" or "uefi"), how the root is kept, and sizes in MiB.

    The thin pool is over-provisioned by half: root + srv = 1.5 x pool. A thick root has no pool, and /srv
    where `srv` is not 0; one that is a partition has neither. `var` and `usr`, where not 0, are thin volumes
    of their own; `second` is a second disk, the whole of it a physical volume, and the pool goes over both.
    The rest of the disk stays free, on LVM in the VG; where `swap` is 0, it is swap, and no extent is free.
    `root_fs` is the file system of the root; with `by_default` a btrfs root is what a mount takes unasked,
    named neither in fstab nor for the kernel, as SUSE does it. `luks`: the volume group lies inside LUKS,
    which asks for a passphrase at every start. `mirror`: it lies on MD RAID 1, whose second leg is on
    a second disk. `boot_lv`: /boot is a linear volume beside the root, and has no partition. `bls`: GRUB
    takes its entries from /boot/loader/entries.
    """

    firmware: str = BIOS
    disk: int = 6144
    pool: int = 3072
    root: int = 3584
    srv: int = 1024
    swap: int = 512
    storage: str = THIN
    loader: str = GRUB
    root_fs: str = EXT4
    var: int = 0
    usr: int = 0
    second: int = 0
    luks: bool = False
    mirror: bool = False
    boot_md: bool = False
    boot_lv: bool = False
    by_default: bool = False
    bls: bool = False
    suite: Suite = BOOKWORM

    @property
    def partitions(self) -> tuple[tuple[str, str, int, int], ...]:
        if self.storage == PARTITION:
            start = BOOT[2] + BOOT[3]
            return (
                *PARTITIONS[:3],
                ("root", "L", start, self.root),
                ("swap", "S", start + self.root, self.swap),
            )
        if self.mirror:
            return (*PARTITIONS[:2], BOOT_LEG if self.boot_md else BOOT, LEG)
        return PARTITIONS if self.loader == GRUB and not self.boot_lv else WITHOUT_BOOT

    @property
    def mirrored(self) -> tuple[tuple[str, str, int, int], ...]:
        """The partitions of its second disk, where that has the other leg of each mirror."""
        return (PARTITIONS[0], *((BOOT_LEG,) if self.boot_md else ()), LEG)

    @property
    def boot_device(self) -> str:
        """Where /boot is found while it is installed."""
        if self.boot_md:
            return mirrored_boot.ARRAY
        return BOOT_DEVICE if self.boot_lv else f"/dev/vda{BOOT_NUMBER}"

    @property
    def boot_apart(self) -> bool:
        """Whether /boot waits for a device that is made in the installation VM."""
        return self.boot_lv or self.boot_md

    @property
    def beneath(self) -> str:
        """What its volume group lies on, as tests.lab.pool calls it."""
        return LUKS if self.luks else MIRROR if self.mirror else ""

    @property
    def devices(self) -> tuple[str, str]:
        """Those of root and swap, as the installed system has them on a virtio disk."""
        if self.storage == PARTITION:
            return f"/dev/vda{ROOT}", f"/dev/vda{SWAP}"
        return "/dev/mapper/vg0-root", "/dev/mapper/vg0-swap"

    def __post_init__(self) -> None:
        if self.firmware not in (BIOS, UEFI):
            raise LabError(f"there is no firmware {self.firmware!r}: it is {BIOS!r} or {UEFI!r}.")
        if (self.loader, self.firmware) not in LOADER:
            raise LabError(f"there is no {self.loader} for {self.firmware}.")
        if self.beneath and self.suite is not BOOKWORM:
            raise LabError(f"{self.suite} has not been made {self.beneath} yet.")
        if self.luks and self.mirror:
            raise LabError("LUKS on a mirror has not been made yet.")
        if self.boot_md and not self.mirror:
            raise LabError("/boot on a mirror beside a volume group that is on none has not been made yet.")
        if self.bls and (self.suite is not TRIXIE or self.firmware != BIOS):
            raise LabError("/boot/loader/entries have been made of Debian 13 and a BIOS alone yet.")
        if self.boot_lv and (self.beneath or self.second or self.storage == PARTITION):
            raise LabError("/boot on a volume beside anything unusual has not been made yet.")

    def __str__(self) -> str:
        sizes = f"{self.disk}-{self.pool}-{self.root}-{self.srv}-{self.swap}"
        sizes += f"-{self.var}-{self.usr}-{self.second}" if self.var or self.usr or self.second else ""
        return f"{self.firmware}-{self.storage}-{sizes}" + self.unusual

    @property
    def unusual(self) -> str:
        """What tells it from one with the usual loader and file system, in a name."""
        loader = "" if self.loader == GRUB else f"-{self.loader}"
        beside = "".join(f"-{name}" for name in ("var", "usr", "second") if getattr(self, name))
        fs = "" if self.root_fs == EXT4 else f"-{self.root_fs}"
        marks = (
            ("-default", self.by_default),
            ("-luks", self.luks),
            ("-mirror", self.mirror),
            ("-bootmd", self.boot_md),
            ("-bootlv", self.boot_lv),
            ("-bls", self.bls),
        )
        last = "".join(mark for mark, has in marks if has)
        return loader + fs + beside + last + self.suite.unusual


THICK_ROOT = SystemSpec(storage=THICK, disk=8192, pool=0, root=2048, srv=0)
"""A plain linear root, and room for a snapshot that covers it and what a rehearsal throws away."""


SET_TWO_DISKS = SystemSpec(disk=4096, pool=4096, root=3072, var=1536, usr=2048, second=3072)
"""/var and /usr on thin volumes of their own, in a pool that lies on two disks."""


ENCRYPTED = SystemSpec(luks=True)
"""As Debian's installer makes "encrypted LVM": /boot beside a partition of LUKS with everything else."""


MIRRORED = SystemSpec(mirror=True)
"""As Debian's installer makes it of two disks: /boot on the first, a mirror of both with everything else."""


ALL_MIRRORED = SystemSpec(firmware=UEFI, mirror=True, boot_md=True)
"""The same with /boot on a mirror of its own, which GRUB reads and can not write. The ESP is on the first."""


BOOT_ON_LVM = SystemSpec(firmware=UEFI, boot_lv=True)
"""/boot is a linear volume beside a thin root: GRUB reads it and can not write there."""


PLAIN = SystemSpec(storage=PARTITION, disk=6144, pool=0, root=2048, srv=0)
"""Root and swap as partitions, without LVM; room on the disk for a second root beside them."""


PLAIN_BTRFS = SystemSpec(storage=PARTITION, disk=6144, pool=0, root=4096, srv=0, root_fs=BTRFS)
"""A root of btrfs with room, in the subvolume that Debian's installer makes, and /home in one beside it."""


BTRFS_BY_DEFAULT = SystemSpec(
    storage=PARTITION, disk=6144, pool=0, root=4096, srv=0, root_fs=BTRFS, by_default=True
)
"""The same, with the root's subvolume as the default one of its file system."""


SMALL_BTRFS = SystemSpec(storage=PARTITION, disk=6144, pool=0, root=2048, srv=0, root_fs=BTRFS)
"""The same without the room for a copy that could be promoted."""


DEBIAN_13 = SystemSpec(firmware=UEFI, suite=TRIXIE)
"""The next release, started by its GRUB 2.12 under UEFI."""


ON_SYSTEMD_BOOT = SystemSpec(firmware=UEFI, loader=SYSTEMD_BOOT)
"""A thin root with /boot inside, started by systemd-boot from the ESP at /boot/efi."""


@dataclass(frozen=True, slots=True)
class InstalledSystem:
    """A finished system in the cache: never written again, machines run on overlays of it.

    `more` are its further disks.
    """

    spec: SystemSpec
    disk: Path
    variables: Path | None
    offers: Offers
    more: tuple[Path, ...] = ()


FS_TOOLS: dict[str, tuple[str, ...]] = {EXT4: (), XFS: ("xfsprogs",), BTRFS: ("btrfs-progs",)}
FS_OPTIONS = {XFS: "defaults", BTRFS: "defaults,subvol=@rootfs"}
LETTER = "home/letter"
"""A file in /home, which is no part of the system: nothing that Twinboot does may touch it."""
SOURCES = ("installed.py", "fstab.py", "installer.py", "firmware.py", "mirrored_boot.py")


def installed_system(spec: SystemSpec | None = None) -> InstalledSystem:
    """The system `spec` describes, built when the cache does not hold it (about two minutes)."""
    wanted = spec or SystemSpec()
    available = offers(wanted.suite, wanted.beneath)
    sources = [HERE / name for name in SOURCES]
    tree = tree_of(wanted.suite, wanted.beneath).parent
    parts: tuple[str | Path, ...] = (tree.name, available.pool.folder.name, HERE / "system/install.sh")
    parts += bls_packages.sources() if wanted.bls else ()
    key = cache.key_of(str(wanted), *parts, *sources)
    name = f"system-{wanted.firmware}" + ("" if wanted.storage == THIN else f"-{wanted.storage}")
    name += wanted.unusual
    folder = cache.cached(name, key, lambda place: _build(place, wanted, available))
    variables = folder / "vars.fd" if wanted.firmware == UEFI else None
    more = (folder / "second.qcow2",) if wanted.second or wanted.mirror else ()
    return InstalledSystem(wanted, folder / "disk.qcow2", variables, available, more)


def _build(folder: Path, spec: SystemSpec, available: Offers) -> None:
    with tempfile.TemporaryDirectory(prefix="twinboot-system-", dir="/var/tmp") as name:
        scratch = Path(name)
        disk, root = scratch / "disk.raw", scratch / "root.raw"
        with layered(tree_of(spec.suite, spec.beneath)) as tree:
            with stage(f"{spec.firmware} system (packages)"), chroot_mounts(tree):
                _install_packages(tree, spec, available)
            kernel, initrd = scratch / "vmlinuz", scratch / "initrd"
            shutil.copy(tree / f"boot/vmlinuz-{available.installed.release}", kernel)
            shutil.copy(tree / f"boot/initrd.img-{available.installed.release}", initrd)
            with stage(f"{spec.firmware} system (file systems)"):
                _partition(disk, spec)
                _name_file_systems(tree, spec)
                _fill_boot(tree, disk, scratch, spec)
                _fill_root(tree, root, spec)
        if spec.firmware == UEFI:
            shutil.copy(variables_template(), folder / "vars.fd")
        with stage(f"{spec.firmware} system ({spec.storage} and {spec.loader}, in a VM)"):
            settings = {
                "storage": spec.storage,
                "loader": spec.loader,
                "pv": f"/dev/vda{len(spec.partitions)}",
                "root_dev": spec.devices[0],
                "swap_dev": spec.devices[1],
                "pool": spec.pool,
                "root": spec.root,
                "srv": spec.srv,
                "swap": spec.swap,
                "root_fs": spec.root_fs,
                "by_default": int(spec.by_default),
                "root_uuid": ROOT_UUID,
                "srv_uuid": SRV_UUID,
                "swap_uuid": SWAP_UUID,
                "var": spec.var,
                "usr": spec.usr,
                "second": spec.second,
                "luks_uuid": encrypted.UUID,
                "luks_name": encrypted.NAME,
                "passphrase": encrypted.PASSPHRASE if spec.luks else "",
                "second_leg": f"{SECOND_DISK}{len(spec.mirrored)}" if spec.mirror else "",
                "array_uuid": mirrored.UUID,
                "array_name": mirrored.NAME,
                "boot_dev": spec.boot_device,
                "boot": BOOT[3] if spec.boot_lv else 0,
                "boot_legs": f"/dev/vda{BOOT_NUMBER},{SECOND_DISK}2" if spec.boot_md else "",
                "boot_array_uuid": mirrored_boot.UUID,
                "boot_array_name": mirrored_boot.NAME,
            }
            variables = folder / "vars.fd" if spec.firmware == UEFI else None
            raw = [disk, root]
            if spec.second or spec.mirror:
                raw.append(scratch / "second.raw")
                run("truncate", "-s", f"{spec.second or spec.disk}M", raw[-1])
            if spec.mirror:
                _table(raw[-1], spec.mirrored)
            given = (*raw, scratch / "boot.raw") if spec.boot_apart else tuple(raw)
            log = install(kernel, initrd, given, variables, settings, scratch)
            (folder / "install.log").write_text(log)
        with stage(f"{spec.firmware} system (disk image)"):
            for image in (disk, *raw[2:]):
                to = folder / f"{image.stem}.qcow2"
                run("qemu-img", "convert", "-O", "qcow2", image, to, timeout=300)
        for path in folder.iterdir():
            path.chmod(0o444)


def _install_packages(tree: Path, spec: SystemSpec, available: Offers) -> None:
    """The kernel, ledger 1.0 and the loader packages Debian's installer picks for this firmware."""
    pool = available.pool
    shutil.copy(pool.public_key, tree / "etc/apt/keyrings/lab.gpg")
    debs = [pool.deb("ledger", "1.0"), *available.kernel_debs(available.installed)]
    (tree / "tmp/debs").mkdir()
    for deb in debs:
        shutil.copy(deb, tree / "tmp/debs")
    with real_archive(tree, spec.suite) as apt:
        if spec.bls:
            apt = bls_packages.install_grub(tree, apt)
        tools = (*(() if spec.bls else LOADER[spec.loader, spec.firmware]), *FS_TOOLS[spec.root_fs])
        run(*apt, "install", *tools, timeout=600)
        run(*apt, "install", *(f"/tmp/debs/{deb.name}" for deb in debs), timeout=600)
    run("chroot", tree, "apt-mark", "-qq", "auto", f"linux-image-{available.installed.release}")
    shutil.rmtree(tree / "tmp/debs")
    if spec.bls:
        bls_packages.save_default(tree, available.installed.release)


def _partition(disk: Path, spec: SystemSpec) -> None:
    run("truncate", "-s", f"{spec.disk}M", disk)
    _table(disk, spec.partitions)


def _table(disk: Path, partitions: tuple[tuple[str, str, int, int], ...]) -> None:
    lines = ["label: gpt"]
    for _, kind, start, size in partitions:
        lines.append(f"start={start}MiB, type={kind}" + (f", size={size}MiB" if size else ""))
    run("sfdisk", "--quiet", disk, stdin="\n".join(lines).encode())


def _name_file_systems(tree: Path, spec: SystemSpec) -> None:
    """fstab, and what else names a file system, for disks laid out so."""
    if not spec.srv:
        fstab.without(tree, "/srv")
    if spec.loader == SYSTEMD_BOOT:
        fstab.without(tree, "/boot")
    if spec.root_fs != EXT4:
        options = "defaults" if spec.by_default else FS_OPTIONS[spec.root_fs]
        fstab.root_of(tree, spec.root_fs, options, home=spec.root_fs == BTRFS)
    if spec.root_fs == BTRFS:
        (tree / LETTER).write_text("theirs\n")
    if spec.storage == PARTITION:
        root, swap = SystemSpec().devices
        fstab.by_uuid(tree, (root, ROOT_UUID), (swap, SWAP_UUID))
    if spec.boot_lv:
        fstab.boot_on(tree, BOOT_UUID, BOOT_DEVICE)
    if spec.boot_md:
        mirrored_boot.name_boot(tree)
    fstab.beside(tree, [name for name in ("var", "usr") if getattr(spec, name)])


def _fill_boot(tree: Path, disk: Path, scratch: Path, spec: SystemSpec) -> None:
    """Make the ESP (empty) and, where it is one of its own, /boot (moved out of the tree): in its partition,
    or waiting for its volume."""
    boot, esp = scratch / "boot.raw", scratch / "esp.raw"
    _, _, start, size = spec.partitions[1]
    run("mkfs.vfat", "-C", "-F", "32", "-i", ESP_ID, esp, str(size * 1024))
    _write(esp, disk, start)
    if spec.loader == SYSTEMD_BOOT:
        return
    content = scratch / "boot"
    shutil.copytree(tree / "boot", content, symlinks=True)
    run("chown", "-R", "0:0", content)
    run("truncate", "-s", f"{BOOT_ON_ARRAY if spec.boot_md else BOOT[3]}M", boot)
    run("mkfs.ext4", "-q", "-U", BOOT_UUID, "-d", content, boot)
    if not spec.boot_apart:
        _write(boot, disk, BOOT[2])


def _write(image: Path, disk: Path, start: int) -> None:
    """Put a file system into its partition, `start` MiB from the beginning of the disk."""
    run("dd", f"if={image}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none")


def _fill_root(tree: Path, image: Path, spec: SystemSpec) -> None:
    """Make a file system of the tree, without what lies elsewhere or is never on disk.

    It is the root itself where that is ext4; else install.sh copies the files out of it, beside a root that
    has the UUID (mkfs.btrfs looks whether another has it).
    """
    for folder in ("tmp", "run", *(("boot",) if spec.loader == GRUB else ())):
        for entry in (tree / folder).iterdir():
            run("rm", "-rf", entry)
    run("truncate", "-s", f"{spec.root}M", image)
    uuid = ROOT_UUID if spec.root_fs == EXT4 else "random"
    run("mkfs.ext4", "-q", "-U", uuid, "-d", tree, image, timeout=300)
