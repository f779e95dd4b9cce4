"""The laboratory itself: systems boot on two kinds of hardware, patches install, cut power loses writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.hardware import Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.root]


@pytest.mark.timeout(900)
def test_bios_virtio_boots_the_installed_system_and_installs_a_patch(tmp_path: Path) -> None:
    system = installed_system(SystemSpec("bios"))
    offers = system.offers
    lab = offers.pool.publish(tmp_path / "lab", offers.select("1.1"))
    with Machine.with_system(system, Hardware(write_log=True), site={"lab": lab}) as machine:
        machine.power_on()
        proof = machine.proof_of_boot()
        assert proof.root == "/dev/mapper/vg0-root"
        assert proof.kernel == offers.installed.release
        assert proof.ledger == "1.0"
        assert proof.ledger_answer.startswith("ledger 1.0 schema 1")
        assert proof.virtualisation == "qemu"
        assert proof.failed_units == ()
        shell = machine.shell()
        source = "-o Dir::Etc::SourceList=/dev/null"
        shell.read(f"apt-get -qq {source} update", limit=180)
        shell.read(f"apt-get -qq -y {source} install ledger", limit=180)
        assert shell.read("curl -s http://127.0.0.1:8377/").startswith("ledger 1.1 ")
        assert "GET /lab/pool/ledger_1.1_all.deb" in machine.site.requests
        shell.read("sync; echo flushed > /boot/kept; sync; fsfreeze -f /boot && fsfreeze -u /boot")
        assert machine.written()
        shell.send("echo unflushed > /boot/lost\n")
        machine.power_cut()
        machine.power_on()
        shell = machine.shell()
        assert shell.read("cat /boot/kept") == "flushed"
        assert shell.run("test -s /boot/lost").status != 0
        assert machine.proof_of_boot().ledger == "1.1"


@pytest.mark.timeout(900)
def test_uefi_nvme_boots_by_the_entry_grub_install_wrote(tmp_path: Path) -> None:
    system = installed_system(SystemSpec("uefi"))
    with Machine.with_system(system, Hardware(firmware="uefi", bus="nvme")) as machine:
        machine.power_on()
        proof = machine.proof_of_boot()
        assert proof.root == "/dev/mapper/vg0-root"
        assert proof.failed_units == ()
        shell = machine.shell()
        assert "/EFI/debian/" in shell.read("find /boot/efi -name 'shimx64.efi'").replace("/boot/efi", "")
        assert shell.run("test -e /boot/efi/EFI/BOOT/BOOTX64.EFI").status != 0
        entries = shell.read("efibootmgr")
        assert "debian" in entries
        assert shell.read("lsblk -dno SERIAL /dev/nvme0n1").strip() == machine.hardware.disk_serial
        machine.screenshot(tmp_path / "screen.png")
        assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
        machine.power_off()
