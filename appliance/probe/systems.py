"""Every volume that looks like a root, described as an InstalledSystem."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.errors import CommandFailed, DamagedData
from appliance.model.btrfs import BtrfsRoot
from appliance.model.groups import subvolume_path
from appliance.model.machine import (
    ESP_TARGETS,
    BootOrder,
    Firmware,
    FstabEntry,
    InstalledSystem,
    LayerKind,
    LoaderKind,
    Partition,
    Role,
    Storage,
    Trouble,
    Volume,
)
from appliance.model.partitions import part_name
from appliance.model.seen import BOOT_INSIDE
from appliance.probe import dpkg, grub, obstacles, osinfo, trouble, trouble_below
from appliance.probe.btrfs import as_started, has_tools, named_at_top
from appliance.probe.clock import of_clock
from appliance.probe.crypttab import CryptLine, parse_crypttab
from appliance.probe.fstab import Known, find_device, is_volume, parse_fstab, role_of
from appliance.probe.ground import BOOTED_TAGS, Ground
from appliance.probe.loaders import Found, efi_loader, find_loader
from appliance.probe.named import of_names
from appliance.probe.roots import Root, part_of, roots_in
from appliance.probe.tree import Tree

ROOT_TYPES = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs"})
BOOT_TARGETS = frozenset({"/boot", *ESP_TARGETS})
ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"


@dataclass(frozen=True, slots=True)
class Firmly:
    """What the firmware adds to the description of a system."""

    kind: Firmware
    order: BootOrder


@dataclass(frozen=True, slots=True)
class Layout:
    """fstab resolved; `trouble` is what is odd in it."""

    entries: tuple[FstabEntry, ...]
    root: Known
    volumes: tuple[tuple[Known, Volume], ...]
    boot: Known | None
    esp: Known | None
    trouble: tuple[Trouble, ...]
    crypt_sources: tuple[str, ...] = ()


def installed_systems(
    ground: Ground, firmly: Firmly
) -> tuple[tuple[InstalledSystem, ...], tuple[Trouble, ...]]:
    """Every installed system on shown volumes, and the volumes that could not be mounted to look.

    A plain snapshot of a system (same file system, origin still there) is none of its own.
    """
    found: list[InstalledSystem] = []
    unread: list[Trouble] = []
    for candidate in ground.known:
        if candidate.fstype not in ROOT_TYPES or not candidate.shown or _is_copy(ground, candidate):
            continue
        with contextlib.ExitStack() as stack:
            top = _enter(stack, ground, candidate, part_of(candidate.fstype))
            if top is None:
                unread.append(trouble.unreadable(candidate.path, f"its {candidate.fstype} does not mount"))
                continue
            try:
                roots = roots_in(ground.shown.host, top, candidate.fstype)
            except (CommandFailed, DamagedData) as error:
                unread.append(trouble.unreadable(candidate.path, error.what.rstrip(".")))
                continue
            found += _standing(ground, firmly, candidate, roots)
    return tuple(found), tuple(unread)


def _standing(
    ground: Ground, firmly: Firmly, known: Known, roots: tuple[Root, ...]
) -> tuple[InstalledSystem, ...]:
    """The machine's own system, and those that Twinboot made of it; the one that is started first.

    Its own lies in the subvolume that is started; else in the first there is. Elsewhere there is one root.
    """
    described = (_describe(ground, firmly, known, root) for root in roots)
    systems = [system for system in described if system is not None]
    theirs = [system for system in systems if not _is_ours(system)]
    found = [_started(theirs), *(system for system in systems if _is_ours(system))]
    return tuple(sorted((s for s in found if s is not None), key=lambda s: not _starts(s)))


def _started(systems: list[InstalledSystem]) -> InstalledSystem | None:
    return next(filter(_starts, systems), next(iter(systems), None))


def _starts(system: InstalledSystem) -> bool:
    return system.btrfs is None or system.btrfs.starts == system.btrfs.root


def _is_ours(system: InstalledSystem) -> bool:
    found = system.btrfs
    return found is not None and found.path(found.root) in {one.path for one in found.ours}


def _enter(
    stack: contextlib.ExitStack, ground: Ground, known: Known, more: tuple[str, ...] = ()
) -> Tree | None:
    """Mount a shown volume for the time of `stack`; None where it does not mount."""
    try:
        return stack.enter_context(ground.shown.tree(known.shown, known.fstype, more))
    except CommandFailed:
        return None


def _is_copy(ground: Ground, candidate: Known) -> bool:
    group = next((g for g in ground.groups if candidate.vg and g.name == candidate.vg), None)
    lv = group.lv(candidate.lv) if group else None
    if lv is None or not lv.origin or BOOTED_TAGS & set(lv.tags):
        return False
    origins = (k for k in ground.known if k.vg == candidate.vg and k.lv == lv.origin)
    return any(k.fsuuid == candidate.fsuuid for k in origins)


def _describe(ground: Ground, firmly: Firmly, root: Known, found: Root) -> InstalledSystem | None:
    """None where its fstab says that "/" is another volume here: a copy of that system, not a system."""
    tree = found.tree
    layout = _layout(ground, root, tree)
    if layout is None:
        return None
    boot = ground.partition(layout.boot.path) if layout.boot else None
    esp = _esp(ground, firmly, layout)
    with contextlib.ExitStack() as stack:
        unread = beneath(stack, ground, tree, layout.volumes)
        boot_tree, folder, lost = _boot_tree(stack, ground, layout, tree)
        release, damage = _os_release(tree)
        at_boot = esp is not None and layout.boot is not None and esp.path == layout.boot.path and not lost
        esp_tree = boot_tree if at_boot else _esp_tree(stack, ground, esp)
        path = efi_loader(firmly.order, esp, esp_tree, release.id) if firmly.kind is Firmware.UEFI else ""
        status = tree.text("/var/lib/dpkg/status") or ""
        loader = find_loader(boot_tree, folder, "" if layout.boot else "/boot", status, esp_tree, path)
        kernels = loader.kernels or osinfo.kernels(boot_tree.names(folder or "/"))
        held = found.btrfs and replace(as_started(found.btrfs, loader.arguments), tools=has_tools(tree))
        system = InstalledSystem(
            id=_id_of(root, held),
            os_id=release.id,
            os_name=release.name,
            os_version=release.version,
            hostname=osinfo.hostname(tree),
            init=osinfo.init_of(tree),
            root=in_subvolume(_volume(ground, root, "/", Role.ROOT), held),
            volumes=tuple(in_subvolume(volume, held, layout.entries) for _, volume in layout.volumes),
            fstab=layout.entries,
            boot=boot,
            esp=esp,
            loader=loader.loader,
            kernels=kernels,
            command_line=loader.arguments,
            default_target=osinfo.default_target(tree),
            packages=dpkg.summary(dpkg.parse_status(status)),
            package_manager=osinfo.package_manager(tree, release),
            btrfs=held,
            crypt_sources=layout.crypt_sources,
        )
        state = (*obstacles.of_free(system, tree), *of_clock(tree, time.time()))
    why = (*layout.trouble, *damage, *unread, *lost, *_loader_trouble(ground, firmly, layout, loader))
    why += obstacles.of_boot(ground, firmly.kind, system, layout.boot)
    why += (*obstacles.of_subvolumes(system, tree), *obstacles.of_fstab(tree), *state)
    why += of_names(ground, system.root.vg, tree, system.command_line)
    return obstacles.with_trouble(ground, system, tuple(k for k, _ in layout.volumes), layout.boot, why)


def _id_of(root: Known, held: BtrfsRoot | None) -> str:
    """The device, and of more than one system on it those of ours by their subvolume, too."""
    path = held.path(held.root) if held else ""
    return f"{root.path}[/{path}]" if held and path in {one.path for one in held.ours} else root.path


def in_subvolume(volume: Volume, held: BtrfsRoot | None, entries: tuple[FstabEntry, ...] = ()) -> Volume:
    """`volume` with what its subvolume is called, where it is the root, or data that `entries` (fstab) find
    by the name of one."""
    if held is None or volume.vg:
        return volume
    if volume.role is Role.DATA and volume.fsuuid == held.uuid:
        options = next((entry.options for entry in entries if entry.target == volume.target), "")
        return replace(volume, subvolume=named_at_top(held, options))
    if volume.role is not Role.ROOT:
        return volume
    path = held.path(held.root)
    ours = next((one.name for one in held.ours if one.path == path), "")
    # One of the machine's own that is called as ours are would be looked for among them.
    theirs = path if subvolume_path(path) == path else f"/{path}"
    return replace(volume, subvolume=ours or theirs)


def beneath(
    stack: contextlib.ExitStack, ground: Ground, tree: Tree, volumes: Iterable[tuple[Known, Volume]]
) -> tuple[Trouble, ...]:
    """Mount the LVs of the set where they belong in `tree`, for the time of `stack`; trouble for each that
    can not be."""
    why = []
    pairs = (p for p in volumes if p[1].role is Role.SET and p[1].lv and p[0].fstype != "btrfs")
    beside = {volume.target: (known, volume) for known, volume in pairs}.values()
    for known, volume in sorted(beside, key=lambda pair: pair[1].target.count("/")):
        at = tree.base / volume.target.strip("/")
        if not known.shown or tree.resolve(volume.target) != at or not at.is_dir():
            why.append(trouble.set_unreadable(volume, "it can not be shown there"))
            continue
        try:
            stack.enter_context(ground.shown.tree(known.shown, known.fstype, inside=at))
        except CommandFailed:
            why.append(trouble.set_unreadable(volume, f"its {known.fstype} does not mount"))
    return tuple(why)


def _os_release(tree: Tree) -> tuple[osinfo.OsRelease, tuple[Trouble, ...]]:
    try:
        text = tree.text("/etc/os-release", 65536) or tree.text("/usr/lib/os-release", 65536) or ""
        return osinfo.parse_os_release(text), ()
    except DamagedData as error:
        return osinfo.OsRelease(), (trouble.os_release_damaged(error.what),)


def _layout(ground: Ground, root: Known, tree: Tree) -> Layout | None:
    try:
        entries = parse_fstab(tree.text("/etc/fstab", 1 << 20) or "")
    except DamagedData as error:
        only = ((root, _volume(ground, root, "/", Role.ROOT)),)
        return Layout((), root, only, None, None, (trouble.fstab_damaged(error.what),))
    volumes = [(root, _volume(ground, root, "/", Role.ROOT))]
    found: dict[str, Known] = {}
    why: list[Trouble] = []
    crypttab = parse_crypttab(tree.text("/etc/crypttab", 1 << 20) or "")
    why += _unlocked_by(ground, root, crypttab)
    for entry in filter(is_volume, entries):
        known = find_device(entry.spec, ground.known, root)
        role = role_of(entry)
        if role is Role.ROOT:
            if known is not None and known != root:
                return None
        elif entry.target in BOOT_TARGETS:
            found |= {} if known is None else {entry.target: known}
            if known is not None and (known.lv or ground.array(known)) and entry.target == "/boot":
                volumes.append((known, _volume(ground, known, entry.target, Role.BOOT)))
            why += [trouble.device_missing(entry.spec, entry.target)] if known is None else []
        elif known is not None:
            volumes.append((known, _volume(ground, known, entry.target, role)))
        elif entry.spec.removeprefix("/dev/mapper/") in {line.name for line in crypttab}:
            why.append(trouble_below.encrypted(entry.spec))
        elif "nofail" not in entry.options.split(","):
            why.append(trouble.device_missing(entry.spec, entry.target))
    return Layout(
        entries=entries,
        root=root,
        volumes=tuple(volumes),
        boot=found.get("/boot"),
        esp=found.get("/boot/efi") or found.get("/efi"),
        trouble=tuple(why),
        crypt_sources=tuple(line.source for line in crypttab),
    )


def _unlocked_by(ground: Ground, root: Known, lines: tuple[CryptLine, ...]) -> list[Trouble]:
    """How the system's own start opens the encrypted devices that its root lies on, where nobody types."""
    why = []
    for layer in (layer for layer in ground.under(root) if layer.kind is LayerKind.LUKS):
        line = next((one for one in lines if one.means(layer.uuid, ground.names_of(layer))), None)
        if line is None:
            why.append(trouble_below.not_in_crypttab(layer))
        elif line.opened_by:
            why.append(trouble_below.opened_by_itself(layer, line.opened_by))
    return why


def _volume(ground: Ground, known: Known, target: str, role: Role) -> Volume:
    group = next((g for g in ground.groups if known.vg and g.name == known.vg), None)
    lv = group.lv(known.lv) if group else None
    if lv is not None:
        storage = Storage.LVM_THIN if lv.segtype == "thin" else Storage.LVM_THICK
    else:
        storage = Storage.BTRFS if known.fstype == "btrfs" else Storage.PARTITION
    named = _on_partition(ground, known) if role is Role.ROOT and storage is Storage.PARTITION else ("", "")
    return Volume(
        device=known.path,
        role=role,
        target=target,
        fstype=known.fstype,
        fsuuid=known.fsuuid,
        size=known.size,
        storage=storage,
        vg=known.vg,
        lv=known.lv,
        partition=named[0],
        disk=named[1],
        array=ground.array(known),
    )


def _on_partition(ground: Ground, known: Known) -> tuple[str, str]:
    """What a root on a partition is called, and its disk as a group; nothing where it lies elsewhere."""
    disk = next((d for d in ground.disks if any(p.path == known.path for p in d.partitions)), None)
    part = ground.partition(known.path)
    if disk is None or part is None or not disk.group:
        return "", ""
    ours = next((copy.name for copy in disk.copies if copy.number == part.number), "")
    return ours or part_name(part.number), disk.group


def _esp(ground: Ground, firmly: Firmly, layout: Layout) -> Partition | None:
    """The ESP fstab names, else (UEFI) one by its type on a disk of the system."""
    if layout.esp is not None:
        return ground.partition(layout.esp.path)
    if firmly.kind is not Firmware.UEFI:
        return None
    disks = ground.disks_of(layout.root)
    return next((p for d in disks for p in d.partitions if p.type_id.lower() == ESP_TYPE), None)


def _boot_tree(
    stack: contextlib.ExitStack, ground: Ground, layout: Layout, root: Tree
) -> tuple[Tree, str, tuple[Trouble, ...]]:
    """The tree that holds /boot and the folder in it; trouble where /boot's own volume does not mount."""
    if layout.boot is None:
        return root, "/boot", ()
    boot = _enter(stack, ground, layout.boot) if layout.boot.shown else None
    if boot is None:
        return Tree(root.base / "boot"), "", (trouble.boot_unreadable(layout.boot.path),)
    return boot, "", ()


def _esp_tree(stack: contextlib.ExitStack, ground: Ground, esp: Partition | None) -> Tree | None:
    known = next((k for k in ground.known if esp is not None and k.path == esp.path), None)
    return None if known is None or not known.shown else _enter(stack, ground, known)


def _boot_inside(ground: Ground, firmly: Firmly, root: Known, found: Found) -> tuple[Trouble, ...]:
    """What is wrong with a /boot inside `root`, whose file system GRUB itself must be able to write."""
    plain = ground.partition(root.path) is not None and root.fstype in BOOT_INSIDE
    if not plain or firmly.kind is not Firmware.BIOS or found.loader.bls:
        return (trouble.boot_in_root(root.path),)
    name, _ = _on_partition(ground, root)
    ours = {copy.name for disk in ground.disks for copy in disk.copies}
    return (trouble.boot_in_another(root.path, name),) if name in ours else ()


def _loader_trouble(ground: Ground, firmly: Firmly, layout: Layout, found: Found) -> tuple[Trouble, ...]:
    """What is wrong with where the system boots from."""
    why = obstacles.of_loader(found, has_esp=_esp(ground, firmly, layout) is not None, firmware=firmly.kind)
    if layout.boot is None and found.loader.kind is not LoaderKind.SYSTEMD_BOOT:
        why += _boot_inside(ground, firmly, layout.root, found)
    named = grub.root_argument(found.arguments)
    target = find_device(named, ground.known, layout.root) if named else None
    if named and target is not None and target != layout.root:
        why += (trouble.boots_another(layout.root.path, target.path),)
    return why
