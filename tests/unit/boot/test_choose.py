"""Which loader a machine gets, where its files lie, and what is refused before anything is asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import choose
from appliance.boot.choose import boot_place, choose_loader, loader_partition, why_no_loader
from appliance.boot.grub import Grub
from appliance.boot.systemd_boot import SystemdBoot
from appliance.errors import Refused
from appliance.host.run import RealHost
from appliance.model.machine import InstalledSystem, Loader, LoaderKind, Machine
from tests.fixtures.machines.derive import load

BINARY = "\\EFI\\systemd\\systemd-bootx64.efi"
HOST = RealHost()


def uefi() -> tuple[Machine, InstalledSystem]:
    machine = load("thin-uefi")
    return machine, machine.systems[0]


def on_systemd_boot(system: InstalledSystem) -> InstalledSystem:
    return replace(system, boot=None, loader=Loader(kind=LoaderKind.SYSTEMD_BOOT, efi_path=BINARY))


def test_grub_reads_its_own_boot_and_systemd_boot_the_esp() -> None:
    _, system = uefi()
    assert loader_partition(system) == system.boot
    assert boot_place(system, Path("/m")).target == "/boot"
    other = on_systemd_boot(system)
    place = boot_place(other, Path("/m"))
    assert loader_partition(other) == system.esp and system.esp is not None
    assert (place.device, place.target, place.prefix, place.folder) == (
        system.esp.path,
        "/boot/efi",
        "",
        "loader",
    )


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
