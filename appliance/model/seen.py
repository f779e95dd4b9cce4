"""What has been seen to go round on a machine, each kind of thing by itself. This page alone says so.

What a set below does not name is refused, or only rehearsed or recognised, as its sentence says. Home,
inspect and README say it alike. A word is added once a machine of the lab has gone round with it, not before.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from appliance.model.machine import InstalledSystem, LayerKind, LoaderKind, Storage

BENEATH = frozenset({LayerKind.LUKS, LayerKind.RAID1})
"""What may lie between a system's volume group and the disks. A system on anything else is refused."""

ENCRYPTED = frozenset({Storage.LVM_THIN, Storage.LVM_THICK})
"""How a root inside LUKS may be kept. One kept otherwise is refused there."""

MIRRORED = frozenset({Storage.LVM_THIN, Storage.LVM_THICK})
"""How a root on MD RAID 1 may be kept. One kept otherwise is refused there."""

BESIDE_THE_ROOT = frozenset({"/usr", "/var"})
"""Where package files may lie on a volume of their own beside a thin root. Elsewhere they are refused."""

BOOT_ON_LVM = frozenset({Storage.LVM_THIN})
"""How a root may be kept whose /boot is a linear volume beside it. Another such /boot is refused."""

BOOT_ON_RAID = frozenset({Storage.LVM_THIN})
"""How a root on MD RAID 1 may be kept whose /boot is an array of its own beside it. Another such /boot is
refused."""

BESIDE_ITSELF = frozenset({"ext4", "xfs"})
"""The file system of a root on a partition, which gets a second one beside it. A root with another is only
rehearsed."""

BOOT_INSIDE = frozenset({"ext4"})
"""The file system of a root on a partition that may have /boot inside, where a BIOS starts GRUB. With a /boot
inside any other root GRUB's is only rehearsed."""

ELSEWHERE = frozenset({Storage.LVM_THICK, Storage.BTRFS, Storage.PARTITION})
"""How a root may be kept whose copy lies elsewhere (a stick, a USB disk, memory), for a rehearsal alone. The
way of it is the same for each."""

PATCHED_WITH = frozenset({"apt"})
"""The package managers. A system that has another is recognised, and refused."""


class Seen(enum.Enum):
    """The words themselves."""

    BOOTED = "BOOTED BY US"
    RECOGNISED = "ONLY RECOGNISED"


MEANS = {
    Seen.BOOTED: "test machines promoted such a system and took it back",
    Seen.RECOGNISED: "we have never promoted such a system on a machine",
}


class Circle(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of system that lab machines took all the way round: rehearsed, promoted, kept, rolled back.

    `bls` and `unified` are how its loader keeps its entries (`Loader`).
    """

    os_id: str
    os_version: str
    os_name: str
    loader: LoaderKind
    storage: Storage
    bls: bool = False
    unified: bool = False


def _debian(
    loader: LoaderKind, storage: Storage, version: str = "12", *, bls: bool = False, unified: bool = False
) -> Circle:
    return Circle(
        os_id="debian",
        os_version=version,
        os_name=f"Debian {version}",
        loader=loader,
        storage=storage,
        bls=bls,
        unified=unified,
    )


BOOTED = (
    _debian(LoaderKind.GRUB, Storage.LVM_THIN),
    _debian(LoaderKind.GRUB, Storage.LVM_THICK),
    _debian(LoaderKind.GRUB, Storage.BTRFS),
    _debian(LoaderKind.GRUB, Storage.PARTITION),
    _debian(LoaderKind.SYSTEMD_BOOT, Storage.LVM_THIN),
    _debian(LoaderKind.GRUB, Storage.LVM_THIN, "13"),
    _debian(LoaderKind.GRUB, Storage.LVM_THIN, "13", bls=True),
    _debian(LoaderKind.GRUB, Storage.LVM_THICK, "13", bls=True),
    _debian(LoaderKind.SYSTEMD_BOOT, Storage.LVM_THIN, "13", unified=True),
)
RECOGNISED_SYSTEMS = (
    "any other Debian 13",
    "Ubuntu",
    "Fedora",
    "RHEL",
    "AlmaLinux",
    "Rocky Linux",
    "CentOS Stream",
    "openSUSE",
    "SLES",
)
"""Systems whose layouts the tests' corpus of configurations holds and no lab machine has taken round."""
RECOGNISED_LOADERS = (
    "any other GRUB with BLS entries",
    "any other systemd-boot with unified kernel images (UKI)",
)


def seen(system: InstalledSystem) -> Seen:
    """Whether just this kind of system has gone round: its release, its loader, how its root is kept, and
    what of its packages lies beside that."""
    loader = system.loader
    kept = (system.root.storage, loader.bls, loader.unified)
    mine = (system.os_id, system.os_version, loader.kind, *kept)
    known = ((c.os_id, c.os_version, c.loader, c.storage, c.bls, c.unified) for c in BOOTED)
    beside = all(volume.target in BESIDE_THE_ROOT for volume in system.beside_root)
    alone = system.root.storage is not Storage.PARTITION or system.root.fstype in BESIDE_ITSELF
    if system.boot_inside:
        alone = system.root.storage is Storage.PARTITION and system.root.fstype in BOOT_INSIDE
    return Seen.BOOTED if mine in known and beside and alone else Seen.RECOGNISED


def seen_sentence(system: InstalledSystem) -> str:
    """The words and what they mean, for somebody who has not read README."""
    word = seen(system)
    return f"{word.value}: {MEANS[word]}"


def only_recognised() -> str:
    """README's sentence on what no machine has shown yet."""
    return (
        f"{Seen.RECOGNISED.value}, by recorded configurations: {_listed(RECOGNISED_SYSTEMS)};"
        f" {_listed(RECOGNISED_LOADERS)}; a root on a partition that is kept otherwise than as"
        f" {_listed(sorted(BESIDE_ITSELF))}."
    )


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
