"""Which BootLoader a machine needs, and where its files and the sector lie: nothing else looks at the kind of
loader."""

from __future__ import annotations

import tempfile
from pathlib import Path

from appliance.boot.base import BootLoader
from appliance.boot.entries import FOLDER
from appliance.boot.grub import Grub
from appliance.boot.laid import named_sector
from appliance.boot.place import BootPlace, SectorPlace
from appliance.boot.systemd_boot import SystemdBoot
from appliance.errors import BootConfigFailed, CommandFailed, Refused
from appliance.host.mapper import name_of
from appliance.host.run import Host, read
from appliance.model.machine import Firmware, InstalledSystem, LoaderKind, Machine, Partition, Volume
from appliance.model.seen import BOOT_INSIDE
from appliance.probe import trouble
from appliance.probe.beneath import leg
from appliance.probe.lvm import lvm_config

XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
"""The type of an extended boot loader partition (Boot Loader Specification)."""


def grub_script_check(host: Host, text: str) -> None:
    """GRUB's own parser over a script of ours. Raises BootConfigFailed."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", prefix="twinboot-") as file:
        file.write(text)
        file.flush()
        try:
            host.run(read("grub-script-check", str(Path(file.name)), timeout=60))
        except CommandFailed as error:
            raise BootConfigFailed(f"GRUB would not parse our entries: {error.what}") from error


def loader_partition(system: InstalledSystem) -> Partition | Volume | None:
    """Where the loader reads kernels and configuration; None where that is no file system of its own."""
    return system.esp if system.loader.kind is LoaderKind.SYSTEMD_BOOT else system.own_boot


def boot_place(machine: Machine, system: InstalledSystem, mount: Path) -> BootPlace:
    """The place of the loader's files, to be mounted at `mount`. Raises BootConfigFailed, Refused."""
    part = system.root if system.boot_inside else loader_partition(system)
    if part is None:
        raise BootConfigFailed("This system has no partition of its own that its loader reads.")
    systemd = system.loader.kind is LoaderKind.SYSTEMD_BOOT
    return BootPlace(
        mount=mount,
        device=part.device if isinstance(part, Volume) else part.path,
        fstype=part.fstype,
        fsuuid=part.fsuuid,
        prefix="" if systemd else system.loader.boot_prefix,
        folder="loader" if systemd else system.loader.folder or "grub",
        target=system.esp_target if systemd else "/boot",
        root_device=system.root.device if system.root.subvolume else "",
        root_fsuuid=system.root.fsuuid if system.root.subvolume else "",
        up=() if systemd else _showing(machine, system.boot_volume),
        sector=None if systemd else sector_place(system, mount.parent / f"{mount.name}-esp"),
    )


def sector_place(system: InstalledSystem, mount: Path) -> SectorPlace | None:
    """Where the sector lies, to be mounted at `mount`, of a system whose /boot GRUB can not write; None where
    it can. Raises Refused where there is no such place."""
    volume, esp, target = system.boot_volume, system.esp, system.esp_target
    if volume is None:
        return None
    if esp is None or not target:
        raise Refused((trouble.no_fallback(volume.array or volume.path).sentence,))
    path = f"{FOLDER}/{volume.fsuuid}/env"
    return SectorPlace(mount, esp.path, esp.fstype, esp.fsuuid, target, path)


def _showing(machine: Machine, volume: Volume | None) -> tuple[str, ...]:
    """The command that makes /boot appear: a volume of LVM (lvchange(8)), or an array that nothing has up, by
    its first leg and to be read alone (dmsetup(8)). None where there is no such volume."""
    if volume is None:
        return ()
    if (mirror := machine.mirror_at(volume.device)) is not None:
        return ("dmsetup", "create", "--readonly", name_of(volume.device), "--table", *leg(mirror))
    group = machine.vg(volume.vg)
    pvs = tuple(pv.path for pv in group.pvs) if group else ()
    return ("lvchange", *lvm_config(pvs), "-ay", "-K", f"{volume.vg}/{volume.lv}")


def choose_loader(machine: Machine, system: InstalledSystem, host: Host) -> BootLoader:
    """The loader of `system`. Raises Refused for one that is not supported."""
    kind = system.loader.kind
    if kind is LoaderKind.UNKNOWN:
        raise Refused((f"{system.os_name} is started by nothing that is known: GRUB or systemd-boot is.",))
    if kind is LoaderKind.SYSTEMD_BOOT:
        if reasons := why_not_systemd_boot(machine, system):
            raise Refused(reasons)
        return SystemdBoot(system.loader.efi_path)
    if system.own_boot is None and (reasons := why_not_inside(machine, system)):
        raise Refused(reasons)
    place = boot_place(machine, system, Path("/"))
    return Grub(
        check=lambda text: grub_script_check(host, text), sector=named_sector(place), bls=system.loader.bls
    )


def why_not_inside(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Sentences on a /boot inside the root that GRUB could not write, or does not read. Pure."""
    root = system.root
    copies = {copy.name for disk in machine.disks for copy in disk.copies}
    if root.partition and root.partition in copies:
        return (f"GRUB's own files lie in the root that {root.partition} was made of, not in that.",)
    if not root.partition or root.fstype not in BOOT_INSIDE or machine.firmware is not Firmware.BIOS:
        return ("/boot is not a partition of its own: GRUB cannot write there, so no trial would end.",)
    return ()


def why_no_loader(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Sentences on a layout that the probe takes and this loader's promotion does not."""
    return why_not_systemd_boot(machine, system) if system.loader.kind is LoaderKind.SYSTEMD_BOOT else ()


def why_not_systemd_boot(machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
    """Layouts that systemd-boot reads and Debian does not make: kernels elsewhere than on the ESP."""
    parts = (part for disk in machine.disks for part in disk.partitions)
    checks = (
        (system.esp is None, "systemd-boot's EFI system partition was not found."),
        (
            not system.esp_target,
            "fstab mounts no EFI system partition at /efi or /boot/efi: a trial could not be kept.",
        ),
        (
            system.own_boot is not None,
            "/boot is a file system of its own beside systemd-boot: only one inside the root volume can be "
            "taken round (yet).",
        ),
        (
            system.loader.unified and machine.secure_boot,
            "Secure Boot is on: a unified kernel image then starts with no other command line than its own, "
            "which names the old root. Turn Secure Boot off in the firmware's setup.",
        ),
        (
            any(part.type_id.lower() == XBOOTLDR for part in parts),
            "There is an extended boot loader partition (XBOOTLDR): systemd-boot reads entries there too, "
            "which can not be taken round (yet).",
        ),
    )
    return tuple(sentence for against, sentence in checks if against)
