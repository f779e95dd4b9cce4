"""Which loader a machine gets, where its files lie, and what is refused before anything is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import choose
from appliance.boot.choose import boot_place, choose_loader, loader_partition, why_no_loader
from appliance.boot.grub import Grub
from appliance.boot.place import SectorPlace
from appliance.boot.systemd_boot import SystemdBoot
from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.machine import InstalledSystem, Loader, LoaderKind, Machine, Role
from tests.fixtures.machines.derive import load

BINARY = "\\EFI\\systemd\\systemd-bootx64.efi"
HOST = RealHost()


def uefi() -> tuple[Machine, InstalledSystem]:
    machine = load("thin-uefi")
    return machine, machine.systems[0]


def on_systemd_boot(system: InstalledSystem) -> InstalledSystem:
    return replace(system, boot=None, loader=Loader(kind=LoaderKind.SYSTEMD_BOOT, efi_path=BINARY))


def test_grub_reads_its_own_boot_and_systemd_boot_the_esp() -> None:
    machine, system = uefi()
    assert loader_partition(system) == system.boot
    own = boot_place(machine, system, Path("/m"))
    assert (own.target, own.sector, own.up) == ("/boot", None, ())
    other = on_systemd_boot(system)
    place = boot_place(machine, other, Path("/m"))
    assert loader_partition(other) == system.esp and system.esp is not None
    assert (place.device, place.target, place.prefix, place.folder) == (
        system.esp.path,
        "/boot/efi",
        "",
        "loader",
    )


def on_lvm(system: InstalledSystem) -> InstalledSystem:
    boot = replace(
        system.root, role=Role.BOOT, target="/boot", lv="boot", device="/dev/mapper/vg0-boot", fsuuid="b007"
    )
    return replace(system, boot=None, volumes=(*system.volumes, boot))


def test_the_sector_of_a_boot_on_lvm_lies_on_the_esp_in_a_folder_of_its_own() -> None:
    machine, system = uefi()
    mine = on_lvm(system)
    place = boot_place(machine, mine, Path("/run/boot"))
    assert (place.device, place.target, place.folder) == ("/dev/mapper/vg0-boot", "/boot", "grub")
    assert place.up[0] == "lvchange" and place.up[-3:] == ("-ay", "-K", "vg0/boot")
    assert machine.volume_groups[0].pvs[0].path in place.up[2].replace("\\", "")
    assert system.esp is not None and place.sector == SectorPlace(
        mount=Path("/run/boot-esp"),
        device=system.esp.path,
        fstype="vfat",
        fsuuid=system.esp.fsuuid,
        target="/boot/efi",
        path="twinboot/b007/env",
    )
    loader = choose_loader(machine, mine, HOST)
    assert loader.words.place == "one sector of /boot/efi/twinboot/b007/env"
    said = [write.what for write in loader.writes("tb1")]
    assert said[-1] == "/boot/efi/twinboot/b007/env: one sector, the next boot is the trial"


@pytest.mark.parametrize("lost", [{"esp": None}, {"fstab": ()}])
def test_without_a_place_for_the_sector_nothing_is_armed(lost: dict[str, object]) -> None:
    machine, system = uefi()
    without = replace(on_lvm(system), **lost)
    with pytest.raises(Refused, match="no automatic fallback on this machine"):
        choose_loader(machine, without, HOST)
    with pytest.raises(Refused, match="no automatic fallback on this machine"):
        boot_place(machine, without, Path("/m"))


def test_grub_is_taken_and_what_is_not_known_is_not() -> None:
    machine, system = uefi()
    assert isinstance(choose_loader(machine, system, HOST), Grub)
    unknown = replace(system, loader=replace(system.loader, kind=LoaderKind.UNKNOWN))
    with pytest.raises(Refused, match="is started by nothing that is known"):
        choose_loader(machine, unknown, HOST)


def test_debian_s_layout_of_systemd_boot_is_taken_and_others_are_not() -> None:
    machine, system = uefi()
    mine = on_systemd_boot(system)
    assert choose_loader(machine, mine, HOST) == SystemdBoot(BINARY) and why_no_loader(machine, mine) == ()
    for wrong, why in (
        (replace(mine, boot=system.boot), "/boot is a file system of its own"),
        (on_lvm(mine), "/boot is a file system of its own"),
        (replace(mine, fstab=()), "fstab mounts no EFI system partition"),
        (replace(mine, esp=None), "was not found"),
    ):
        with pytest.raises(Refused, match=why):
            choose_loader(machine, wrong, HOST)
    disks = tuple(
        replace(d, partitions=tuple(replace(p, type_id=choose.XBOOTLDR.upper()) for p in d.partitions))
        for d in machine.disks
    )
    assert "XBOOTLDR" in " ".join(why_no_loader(replace(machine, disks=disks), mine))
    assert why_no_loader(machine, system) == ()


def test_unified_images_are_taken_unless_secure_boot_is_on() -> None:
    machine, system = uefi()
    plain = on_systemd_boot(system)
    mine = replace(plain, loader=replace(plain.loader, unified=True))
    assert choose_loader(replace(machine, secure_boot=False), mine, HOST) == SystemdBoot(BINARY)
    on = replace(machine, secure_boot=True)
    assert why_no_loader(on, plain) == ()
    with pytest.raises(Refused, match=r"Secure Boot is on.*Turn Secure Boot off in the firmware's setup"):
        choose_loader(on, mine, HOST)
