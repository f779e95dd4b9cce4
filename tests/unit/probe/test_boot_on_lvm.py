"""/boot on a logical volume: what is found, what is taken, and what leaves a machine without a way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.model.machine import InstalledSystem, Role
from appliance.probe import hardware
from tests.unit.probe.recorded import RecordedMachine, ext_head
from tests.unit.probe.test_machine import BOOT, SWAP, edit, edit_answer, look, only, play

FSTAB = "twinboot-probe-6/etc/fstab"
VOLUME = "/dev/mapper/vg0-swap"
ESP = "/boot/efi       vfat"


def on_lvm(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The recorded machine with what was swap as its /boot: a linear volume."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play(name, root)
    machine.heads[SWAP] = ext_head()
    shutil.copytree(machine.trees / f"twinboot-probe-{BOOT}", machine.trees / f"twinboot-probe-{SWAP}")
    edit_answer(machine, "blkid", "TYPE=swap", "TYPE=ext4")
    edit(machine, FSTAB, f"{VOLUME} none            swap    sw ", "# none")
    edit(machine, FSTAB, "UUID=6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61 /boot ", f"{VOLUME} /boot ")
    return machine


@pytest.fixture
def uefi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    return on_lvm("thin-uefi", tmp_path, monkeypatch)


def refusing(system: InstalledSystem) -> list[str]:
    return [t.code for t in system.trouble if t.refuses]


def test_a_linear_volume_beside_a_thin_root_is_read_and_taken(uefi: RecordedMachine) -> None:
    system = only(look(uefi))
    assert refusing(system) == [] and system.boot is None
    assert system.boot_volume is not None and system.own_boot == system.boot_volume
    assert (system.boot_volume.path, system.boot_volume.role) == (VOLUME, Role.BOOT)
    assert system.boot_volume.fstype == "ext4" and system.loader.boot_prefix == ""
    assert [k.version for k in system.kernels] and system.loader.sources_custom_cfg
    assert not {Role.BOOT} & {v.role for v in (*system.volume_set, *system.data, *system.swap)}


def without_fallback(machine: RecordedMachine) -> str:
    system = only(look(machine))
    assert refusing(system) == ["no-fallback"]
    (said,) = [t.sentence for t in system.trouble if t.code == "no-fallback"]
    assert said.startswith("There is no automatic fallback on this machine: GRUB can read /boot on ")
    return said


def test_without_uefi_there_is_no_automatic_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = on_lvm("thin-bios", tmp_path, monkeypatch)
    assert "no EFI system partition" in without_fallback(machine)


def test_nor_where_the_system_does_not_mount_its_esp(uefi: RecordedMachine) -> None:
    edit(uefi, FSTAB, "UUID=7A3B-91C4  /boot/efi ", "UUID=7A3B-91C4  /mnt/efi ")
    assert "mounts none at /boot/efi or /efi" in without_fallback(uefi)


def test_nor_where_another_partition_could_be_taken_for_it(uefi: RecordedMachine) -> None:
    edit_answer(uefi, "lsblk", '"uuid": "6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61"', '"uuid": "7A3B-91C4"')
    assert "can not be told from others" in without_fallback(uefi)


def test_a_thin_boot_is_refused(uefi: RecordedMachine) -> None:
    edit(uefi, FSTAB, VOLUME, "/dev/mapper/vg0-srv")
    edit(uefi, FSTAB, "/dev/mapper/vg0-srv /srv ", "# /srv ")
    assert "boot-not-partition" in refusing(only(look(uefi)))
