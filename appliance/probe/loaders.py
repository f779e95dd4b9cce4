"""Which boot loader a system has, what its menu offers and what it would start."""

from __future__ import annotations

import hashlib
import re

import msgspec
from msgspec.structs import replace

from appliance.model.machine import BootOrder, Kernel, Loader, LoaderEntry, LoaderKind, Partition
from appliance.probe import bls, efi, grub, unified
from appliance.probe.loader_conf import LOADER_CONF, choose, parse_loader_conf
from appliance.probe.osinfo import installed_version
from appliance.probe.tree import Tree

GRUB_FOLDERS = ("grub", "grub2")
GRUB_PACKAGES = ("grub-efi-amd64", "grub-pc", "grub-efi-arm64", "grub2-common", "grub-common")
MARKER = "# twinboot"
FALLBACK_LOADER = "\\EFI\\BOOT\\BOOTX64.EFI"
ENTRY_LIMIT = 65536
"""Bytes one entry or env block may have; a larger one is no such file."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`arguments` and `kernel` are of the entry started by default, `has_custom_cfg` as on the disk.

    `kernels` are those the entries name, for a loader whose kernels do not lie in /boot under their names.
    """

    loader: Loader
    arguments: str = ""
    kernel: str = ""
    has_custom_cfg: bool = False
    kernels: tuple[Kernel, ...] = ()


def find_loader(boot: Tree, folder: str, prefix: str, status: str, esp: Tree | None, efi_path: str) -> Found:
    """The loader whose files lie in `boot` below `folder` ("" where /boot is a file system of its own).

    `prefix` is the loader's own path of /boot, `status` dpkg's status file, `efi_path` the loader the
    firmware starts. RHEL 8 keeps grub.cfg on the ESP.
    """
    base = Loader(kind=LoaderKind.UNKNOWN, efi_path=efi_path, boot_prefix=prefix)
    for name in GRUB_FOLDERS:
        text = boot.text(f"{folder}/{name}/grub.cfg")
        if text is not None:
            return _grub(boot, folder, replace(base, folder=name), status, (boot, f"{folder}/{name}"), text)
    for vendor in esp.names("EFI") if esp is not None else ():
        text = None if esp is None else esp.text(f"EFI/{vendor}/grub.cfg")
        if esp is not None and text is not None and grub.reads_bls(text):
            place = (esp, f"EFI/{vendor}")
            return _grub(boot, folder, replace(base, folder=GRUB_FOLDERS[1]), status, place, text)
    if esp is not None and (esp.is_file(LOADER_CONF) or esp.names("EFI/systemd")):
        return _systemd_boot(boot, folder, base, esp)
    return Found(loader=base)


def _grub(
    boot: Tree, folder: str, base: Loader, status: str, place: tuple[Tree, str], grub_cfg: str
) -> Found:
    """`place` is where grub.cfg lies: the tree and the folder in it."""
    config, at = place
    custom = config.data(f"{at}/custom.cfg")
    packages = GRUB_PACKAGES if base.efi_path else ("grub-pc", *GRUB_PACKAGES[3:])
    environment = grub.parse_env_block(config.text(f"{at}/grubenv", ENTRY_LIMIT) or "")
    entries = _blscfg(boot, folder, grub.variables(grub_cfg, environment))
    entry = grub.default_entry(grub_cfg, environment, entries)
    return Found(
        loader=replace(
            base,
            kind=LoaderKind.GRUB,
            version=installed_version(status, packages),
            sources_custom_cfg=grub.sources_custom_cfg(grub_cfg),
            custom_cfg_sha256="" if custom is None else hashlib.sha256(custom).hexdigest(),
            custom_cfg_ours=custom is not None and custom.startswith(MARKER.encode()),
            bls=grub.reads_bls(grub_cfg),
            entries=grub.shown(grub_cfg, entry, entries),
        ),
        arguments=entry.arguments if entry else "",
        kernel=entry.kernel if entry else "",
        has_custom_cfg=custom is not None,
    )


def _blscfg(boot: Tree, folder: str, environment: dict[str, str]) -> tuple[grub.Entry, ...]:
    """What blscfg makes of /boot/loader/entries, in its order."""
    texts = _entry_files(boot, f"{folder}/{bls.ENTRIES}")
    found = (bls.for_grub(file, text, environment) for file, text in texts)
    return tuple(grub.from_bls(entry) for entry in bls.in_grub_order(e for e in found if e is not None))


def _entry_files(tree: Tree, folder: str) -> list[tuple[str, str]]:
    names = [name for name in tree.names(folder) if name.lower().endswith(".conf")]
    texts = ((name, tree.text(f"{folder}/{name}", ENTRY_LIMIT)) for name in names)
    return [(name, text) for name, text in texts if text is not None]


def _systemd_boot(boot: Tree, folder: str, base: Loader, esp: Tree) -> Found:
    """Entries of the ESP and, where /boot is a file system of its own, of that one (XBOOTLDR)."""
    trees = [esp] if folder or boot.base == esp.base else [esp, boot]
    texts = [pair for tree in trees for pair in _entry_files(tree, bls.ENTRIES)]
    found = [e for e in (bls.for_systemd_boot(file, text) for file, text in texts) if e is not None]
    found += [entry for tree in trees for entry in _images(tree)]
    order = bls.in_systemd_boot_order(found)
    taken = choose(order, parse_loader_conf(esp.text(LOADER_CONF, ENTRY_LIMIT) or ""))
    loader = replace(
        base,
        kind=LoaderKind.SYSTEMD_BOOT,
        unified=taken is not None and taken.is_image,
        entries=tuple(
            LoaderEntry(title=e.shown, id=e.id, kernel=e.linux or e.efi, default=e is taken) for e in order
        ),
    )
    return Found(
        loader=loader,
        arguments=taken.options if taken else "",
        kernel=taken.linux or taken.efi if taken else "",
        kernels=tuple(dict.fromkeys(_kernel(e) for e in order if e.linux or e.is_image)),
    )


def _images(tree: Tree) -> list[bls.BlsEntry]:
    names = unified.images(tree.names(unified.FOLDER))
    return [unified.entry_of(name, _image(tree, f"{unified.FOLDER}/{name}")) for name in names]


def _image(tree: Tree, path: str) -> unified.Unified | None:
    return unified.read_unified(lambda at, length: tree.part(path, at, length))


def _kernel(entry: bls.BlsEntry) -> Kernel:
    """The kernel of an entry; without a version line the path says it, as kernel-install lays it out."""
    path = (entry.linux or entry.efi).lstrip("/")
    by_path = re.fullmatch(r".*/([^/]+)/linux", path)
    version = entry.release or (by_path[1] if by_path else entry.name.stem)
    initrd = entry.initrds[-1].lstrip("/") if entry.initrds else ""
    return Kernel(version=version, vmlinuz=path, initrd=path if entry.efi else initrd)


def efi_loader(order: BootOrder, esp: Partition | None, files: Tree | None, os_id: str) -> str:
    r"""The loader of this ESP that the firmware starts first, like \EFI\debian\shimx64.efi.

    Without a boot entry for it: the distribution's own folder, else the fallback path; empty where none is.
    """
    if esp is None:
        return ""
    by_number = {entry.number: entry for entry in order.entries}
    numbers = dict.fromkeys([number for number in order.order if number in by_number] + list(by_number))
    for number in numbers:
        entry = by_number[number]
        if esp.partuuid and efi.partition_of(entry) == esp.partuuid.lower() and efi.file_of(entry):
            return efi.file_of(entry)
    if files is None:
        return ""
    vendor = next((n for n in files.names("EFI") if n.lower() == os_id.lower()), "")
    for name in ("shimx64.efi", "grubx64.efi") if vendor else ():
        if files.is_file(f"EFI/{vendor}/{name}"):
            return f"\\EFI\\{vendor}\\{name}"
    return FALLBACK_LOADER if files.is_file("EFI/BOOT/BOOTX64.EFI") else ""
