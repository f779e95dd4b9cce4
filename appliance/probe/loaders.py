"""Which boot loader a system has, and what it would start."""

from __future__ import annotations

import hashlib

import msgspec

from appliance.model.machine import BootOrder, Loader, LoaderKind, Partition
from appliance.probe import efi, grub
from appliance.probe.osinfo import installed_version
from appliance.probe.tree import Tree

GRUB_FOLDERS = ("grub", "grub2")
GRUB_PACKAGES = ("grub-efi-amd64", "grub-pc", "grub-efi-arm64", "grub2-common", "grub-common")
MARKER = "# twinboot"
FALLBACK_LOADER = "\\EFI\\BOOT\\BOOTX64.EFI"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`arguments` and `kernel` are of the entry started by default, `has_custom_cfg` as on the disk."""

    loader: Loader
    arguments: str = ""
    kernel: str = ""
    has_custom_cfg: bool = False


def find_loader(boot: Tree, folder: str, prefix: str, status: str, esp: Tree | None, efi_path: str) -> Found:
    """The loader whose files lie in `boot` below `folder` ("" where /boot is a file system of its own).

    `prefix` is the loader's own path of /boot, `status` dpkg's status file, `efi_path` the loader the
    firmware starts.
    """
    for name in GRUB_FOLDERS:
        text = boot.text(f"{folder}/{name}/grub.cfg")
        if text is not None:
            return _grub(boot, f"{folder}/{name}", name, prefix, status, efi_path, text)
    if esp is not None and (esp.is_file("loader/loader.conf") or esp.names("EFI/systemd")):
        return Found(loader=Loader(kind=LoaderKind.SYSTEMD_BOOT, efi_path=efi_path, boot_prefix=prefix))
    return Found(loader=Loader(kind=LoaderKind.UNKNOWN, efi_path=efi_path, boot_prefix=prefix))


def _grub(boot: Tree, place: str, name: str, prefix: str, status: str, efi_path: str, grub_cfg: str) -> Found:
    custom = boot.data(f"{place}/custom.cfg")
    packages = GRUB_PACKAGES if efi_path else ("grub-pc", *GRUB_PACKAGES[3:])
    entry = grub.default_entry(grub_cfg, grub.parse_env_block(boot.text(f"{place}/grubenv", 65536) or ""))
    return Found(
        loader=Loader(
            kind=LoaderKind.GRUB,
            version=installed_version(status, packages),
            folder=name,
            boot_prefix=prefix,
            sources_custom_cfg=grub.sources_custom_cfg(grub_cfg),
            custom_cfg_sha256="" if custom is None else hashlib.sha256(custom).hexdigest(),
            custom_cfg_ours=custom is not None and custom.startswith(MARKER.encode()),
            efi_path=efi_path,
        ),
        arguments=entry.arguments if entry else "",
        kernel=entry.kernel if entry else "",
        has_custom_cfg=custom is not None,
    )


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
