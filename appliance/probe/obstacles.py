"""What stands in the way of rehearsing one described system."""

from __future__ import annotations

import os
import re

from msgspec.structs import replace

from appliance.model.machine import (
    Firmware,
    InstalledSystem,
    LayerKind,
    LoaderKind,
    LogicalVolume,
    Storage,
    Trouble,
    Volume,
    VolumeGroup,
)
from appliance.model.seen import (
    BENEATH,
    BESIDE_THE_ROOT,
    BOOT_ON_LVM,
    BOOT_ON_RAID,
    ENCRYPTED,
    MIRRORED,
    PATCHED_WITH,
)
from appliance.probe import trouble, trouble_below
from appliance.probe.btrfs import named_in
from appliance.probe.fstab import Known, by_tag
from appliance.probe.ground import Ground
from appliance.probe.loaders import Found
from appliance.probe.luks import modules_of
from appliance.probe.superblock import Left, file_system_left, holds_hibernation, read_head
from appliance.probe.tree import Tree

SWAP_TYPES = frozenset({"swap", "swsuspend"})
TABLES = frozenset({"", "gpt", "dos"})
ON_BLS = frozenset({Storage.LVM_THIN, Storage.LVM_THICK})
"""How a root may be kept whose GRUB makes its entries of loader/entries (BLS), on a partition for /boot."""
LEAST_FREE = 32 << 20
"""Bytes that a file system of a system must have free: reserved blocks count, what we add is root's."""
LEAST_FILES = 200
"""Inodes, likewise."""
SERIAL = "ttyS0"
"""A twin's first serial line, on which it can be told a passphrase."""
SCREEN = re.compile(r"tty[0-9]{1,2}")
"""Its screen (serial-console.rst), where it can be told one too."""

SNAPPER = ".snapshots"
"""Where snapper keeps its snapshots of the root around it: no part of the system."""


def with_trouble(
    ground: Ground,
    system: InstalledSystem,
    volumes: tuple[Known, ...],
    boot: Known | None,
    more: tuple[Trouble, ...],
) -> InstalledSystem:
    """`system` with everything that stands in its way, in the order in which a person would put it right."""
    used = dict.fromkeys((*volumes, *((boot,) if boot else ())))
    why = [
        *of_disks(ground, tuple(used)),
        *of_groups(ground, system),
        *of_layers(ground, tuple(used), boot),
        *of_encryption(ground, system, tuple(used)),
        *of_mirrors(ground, system, tuple(used)),
        *of_storage(system),
        *of_entries(system),
        *of_contents(ground, tuple(used)),
        *of_sleep(ground, system),
        *more,
    ]
    if system.init != "systemd":
        why.append(trouble.not_systemd(system.init))
    if system.package_manager not in PATCHED_WITH:
        why.append(trouble.other_packages(system.package_manager))
    if not any(kernel.initrd for kernel in system.kernels):
        why.append(trouble.no_kernel())
    return replace(system, trouble=tuple(dict.fromkeys(why)))


def of_disks(ground: Ground, used: tuple[Known, ...]) -> list[Trouble]:
    """Failing disks and partition tables nobody here can write."""
    disks = dict.fromkeys(disk for known in used for disk in ground.disks_of(known))
    why = [trouble.failing_disk(disk) for disk in disks if disk.smart == "failing"]
    return why + [trouble.unknown_table(disk) for disk in disks if disk.table not in TABLES]


def of_groups(ground: Ground, system: InstalledSystem) -> list[Trouble]:
    """Incomplete volume groups, full or damaged pools, no room for the state volume."""
    why: list[Trouble] = []
    for name in dict.fromkeys(v.vg for v in system.volumes if v.vg):
        why += [t for t in ground.trouble.get(name, ()) if t.refuses]
    group = next((g for g in ground.groups if system.root.vg and g.name == system.root.vg), None)
    if group is not None and system.root.storage is Storage.LVM_THIN:
        why += [t for pool in _pools(group, system) for t in trouble.pool_full(group.name, pool)]
        why += trouble.no_state_room(group)
    return why


def _pools(group: VolumeGroup, system: InstalledSystem) -> tuple[LogicalVolume, ...]:
    lvs = (group.lv(v.lv) for v in system.volumes if v.vg == group.name)
    names = dict.fromkeys(lv.pool for lv in lvs if lv is not None and lv.pool)
    return tuple(pool for name in names if (pool := group.lv(name)) is not None)


def of_layers(ground: Ground, used: tuple[Known, ...], boot: Known | None) -> list[Trouble]:
    """Arrays and the like beneath what the system uses, and volumes that lie in such a thing without LVM."""
    return [
        trouble_below.lies_on(known.vg, layer)
        for known in used
        for layer in ground.under(known)
        if layer.kind not in BENEATH or not (known.vg or (known == boot and is_mirror(ground, known)))
    ]


def is_mirror(ground: Ground, known: Known) -> bool:
    """Whether it is an array itself, without LVM, and that lies on nothing but disks."""
    return bool(ground.array(known)) and len(ground.under(known)) == 1


def of_encryption(ground: Ground, system: InstalledSystem, used: tuple[Known, ...]) -> list[Trouble]:
    """What keeps a twin from being encrypted in form as the system is, and from being told the passphrase."""
    under = dict.fromkeys(layer for known in used for layer in ground.under(known))
    layers = tuple(layer for layer in under if layer.kind is LayerKind.LUKS)
    why = [trouble_below.luks_kind(layer) for layer in layers if not modules_of(layer.cipher)]
    if layers and system.root.storage not in ENCRYPTED:
        why.append(trouble_below.encrypted_root(system.root))
    if len(layers) > 1:
        why.append(trouble_below.several_encrypted(tuple(layer.name for layer in layers)))
    elif layers and (console := console_of(system.command_line)) != SERIAL and not SCREEN.fullmatch(console):
        why.append(trouble_below.asks_elsewhere(layers[0], console))
    return why


def of_mirrors(ground: Ground, system: InstalledSystem, used: tuple[Known, ...]) -> list[Trouble]:
    """What keeps a twin from having the mirror that the system lies on."""
    under = dict.fromkeys(layer for known in used if known.vg for layer in ground.under(known))
    layers = tuple(layer for layer in under if layer.kind is LayerKind.RAID1)
    boot = system.boot_volume
    own = tuple(layer for layer in ground.layers if boot and layer.path == boot.device)
    why = [trouble_below.mirrored_root(system.root)] if layers and system.root.storage not in MIRRORED else []
    if layers and len(under) > 1:
        why.append(trouble_below.several_beneath(tuple(under)))
    return why + [trouble_below.raid_kind(layer) for layer in (*layers, *own) if not layer.offset]


def console_of(command_line: str) -> str:
    """The console that the kernel's own programs ask on: the last one named (serial-console.rst)."""
    words = (word.removeprefix("console=") for word in command_line.split() if word.startswith("console="))
    return [word.partition(",")[0] for word in ("tty0", *words)][-1]


def of_storage(system: InstalledSystem) -> list[Trouble]:
    """Package files elsewhere than in the root."""
    why = []
    for volume in system.beside_root:
        if volume.target not in BESIDE_THE_ROOT or system.root.storage is not Storage.LVM_THIN:
            why.append(trouble.set_outside(volume))
        else:
            why += of_line(system, volume)
    return why


def of_line(system: InstalledSystem, volume: Volume) -> tuple[Trouble, ...]:
    """What keeps the line of fstab for `volume` from naming a snapshot of it."""
    specs = [entry.spec for entry in system.fstab if entry.target == volume.target]
    if any(map(by_tag, specs)):
        return (trouble.set_by_tag(volume),)
    return (trouble.set_twice(volume),) if len(specs) > 1 else ()


def of_entries(system: InstalledSystem) -> tuple[Trouble, ...]:
    """Entries that GRUB makes of loader/entries, with a root or a /boot that none has gone round with."""
    if not system.loader.bls or system.loader.kind is not LoaderKind.GRUB:
        return ()
    goes = system.root.storage in ON_BLS and system.boot is not None
    return () if goes else (trouble.bls_entries(),)


def of_boot(
    ground: Ground, firmware: Firmware, system: InstalledSystem, boot: Known | None
) -> tuple[Trouble, ...]:
    """What stands against a /boot that is no partition: GRUB reads more than it can write (its manual, "The
    GRUB environment block"), so what ends a trial must lie elsewhere."""
    if boot is None or system.boot is not None or system.loader.kind is LoaderKind.SYSTEMD_BOOT:
        return ()
    esp, place = system.esp, ground.array(boot) or boot.path
    if firmware is not Firmware.UEFI or esp is None:
        return (trouble.no_fallback(place),)
    if not system.esp_target:
        return (trouble.no_fallback(place, "/etc/fstab mounts none at /boot/efi or /efi"),)
    if esp.fstype != "vfat" or sum(known.fsuuid == esp.fsuuid for known in ground.known) != 1:
        return (trouble.no_fallback(place, f"the one on {esp.path} can not be told from others"),)
    if not _beside_its_root(ground, system, boot):
        return (trouble.boot_not_partition(place),)
    return ()


def _beside_its_root(ground: Ground, system: InstalledSystem, boot: Known) -> bool:
    """Whether /boot is a linear volume in the root's volume group, and that on nothing but disks; or an array
    beside the one that the root's volume group lies on."""
    if is_mirror(ground, boot):
        root = next((known for known in ground.known if known.path == system.root.device), None)
        kinds = [layer.kind for layer in ground.under(root)] if root is not None else []
        return kinds == [LayerKind.RAID1] and system.root.storage in BOOT_ON_RAID
    group = next((g for g in ground.groups if boot.vg and g.name == boot.vg == system.root.vg), None)
    lv = group.lv(boot.lv) if group else None
    plain = lv is not None and lv.segtype == "linear" and not ground.under(boot)
    return plain and system.root.storage in BOOT_ON_LVM


def of_subvolumes(system: InstalledSystem, tree: Tree) -> tuple[Trouble, ...]:
    """What keeps a root that is a btrfs subvolume from being taken round, beside its storage."""
    found, root = system.btrfs, system.root
    if found is None:
        return ()
    why = [trouble.btrfs_in_lvm(root)] if root.vg else []
    if found.devices > 1:
        why.append(trouble.several_devices(root.device, found.devices))
    named = [named_in(found, e.options) for e in system.fstab if e.target == "/"]
    others = {found.starts, *(id for id in named if id is not None)} - {found.root}
    if others:
        why.append(trouble.another_subvolume(root.device, found.path(found.root)))
    mounted = {entry.target.strip("/") for entry in system.fstab}
    left_out = (path for path in found.inside if path not in mounted and tree.names(f"/{path}"))
    return (*why, *(trouble.left_out(path) for path in left_out if path != SNAPPER))


def of_fstab(tree: Tree) -> tuple[Trouble, ...]:
    """The trial's names its own root: what is a link may lead out of the volume."""
    target = tree.link("/etc/fstab")
    return (trouble.fstab_link(target),) if target else ()


def of_free(system: InstalledSystem, tree: Tree) -> tuple[Trouble, ...]:
    """File systems of the set, mounted in `tree`, that can not take our agent and the metal's edits."""
    seen: set[int] = set()
    why = []
    for volume in system.volume_set:
        at = tree.base / volume.target.strip("/")
        try:
            device, said = at.stat().st_dev, os.statvfs(at)
        except OSError:
            continue  # said elsewhere: it does not mount
        if device in seen:
            continue  # it is not mounted there, and said elsewhere
        seen.add(device)
        free, files = said.f_bfree * said.f_frsize, said.f_ffree
        if free < LEAST_FREE:
            why.append(trouble.file_system_full(volume, f"{free >> 20} MiB", f"up to {LEAST_FREE >> 20} MiB"))
        elif said.f_files and files < LEAST_FILES:  # btrfs counts none
            why.append(trouble.file_system_full(volume, f"{files} inodes", f"up to {LEAST_FILES}"))
    return tuple(why)


def of_contents(ground: Ground, used: tuple[Known, ...]) -> list[Trouble]:
    """How the file systems were left."""
    why = []
    for known in used:
        if not known.shown or known.fstype in SWAP_TYPES:
            continue
        left = file_system_left(read_head(ground.shown.file(known.shown)))
        if left is Left.ERRORS:
            why.append(trouble.damaged(known.path))
        elif left is Left.DIRTY:
            why.append(trouble.dirty(known.path))
            if known.fstype == "btrfs" and not known.vg:
                why.append(trouble.log_to_replay(known.path))
    return why


def of_sleep(ground: Ground, system: InstalledSystem) -> list[Trouble]:
    """Hibernation in one of the system's swap areas, or in one that belongs to no system's fstab we know."""
    own = {volume.device for volume in system.swap}
    why = []
    for known in ground.known:
        if known.fstype in SWAP_TYPES and known.shown and (known.path in own or not own):
            asleep = known.fstype == "swsuspend" or holds_hibernation(
                read_head(ground.shown.file(known.shown))
            )
            why += [trouble.hibernated(known.path)] if asleep else []
    return why


def of_loader(found: Found, *, has_esp: bool, firmware: Firmware) -> tuple[Trouble, ...]:
    """A loader that is not GRUB, or a GRUB that would not read what we write."""
    loader = found.loader
    why: list[Trouble] = [trouble.no_esp()] if firmware is Firmware.UEFI and not has_esp else []
    if loader.kind is LoaderKind.UNKNOWN:
        return (*why, trouble.unknown_loader())
    if loader.kind is LoaderKind.SYSTEMD_BOOT:
        return tuple(why)  # what else it needs is asked of the loader itself
    if not loader.sources_custom_cfg:
        why.append(trouble.no_custom_cfg())
    if found.has_custom_cfg and not loader.custom_cfg_ours:
        why.append(trouble.foreign_custom_cfg(loader.folder))
    return tuple(why)
