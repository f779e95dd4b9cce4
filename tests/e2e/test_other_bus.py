"""A disk on a controller that no twin has, in a machine whose initrds are packed for itself alone.

What such a system packs in its twin finds the twin's disk only. It is caught, made anew for the metal, and
what is made then is proven and promoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.lab.appliance import REHEARSAL, RUNS, Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.hardware import Hardware
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import stage
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

KIND = Kind(frozenset({"root", "srv", "swap", "twinboot-state"}))
FOR_ONE_MACHINE = (
    "sed -i 's/^MODULES=.*/MODULES=dep/' /etc/initramfs-tools/initramfs.conf"
    " && grep -qx MODULES=dep /etc/initramfs-tools/initramfs.conf",
    # As sites do that pack something of their own: dpkg's own trigger runs before the new kernel has one.
    """echo 'DPkg::Post-Invoke { "update-initramfs -u"; };' >/etc/apt/apt.conf.d/90initrd && sync""",
)
DRIVER = "basename $(readlink -f /sys/class/block/sda/device/../../../../driver)"
"""Of the adapter that the machine's disk hangs on: above its target, its host and its port."""
LIBVIRTS = "/var/log/libvirt/qemu"
"""Where the appliance's libvirt writes how it started each twin."""
LIMIT = 2 * REHEARSAL
"""Seconds: two initrds are built on the way, one of them in the twin."""


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    inspected: dict[str, Any]
    planned: str
    said: str
    verdict: dict[str, Any]
    told: str
    proof: ProofOfBoot
    driver: str
    initrds: dict[str, str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update whose initrd is packed in the twin; kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("otherbus"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(SystemSpec())
    packages = ("--packages", "ledger", "linux-image-amd64")
    hardware = Hardware(bus="ide")
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True, hardware=hardware)) as machine:
        machine.pull_stick()
        with stage("its own system is told to pack initrds for this machine alone"):
            machine.power_on()
            for command in FOR_ONE_MACHINE:
                machine.shell().read(command)
            machine.power_off()
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        planned = appliance.read("rehearse", "--dry-run", *packages)
        said = appliance.twinboot("rehearse", *packages, limit=LIMIT)
        assert said.status == 0, said.text
        verdict = json.loads(appliance.shell.read(f"cat {RUNS}/tb1/verdict.json"))
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        driver = shell.read(DRIVER).strip()
        initrds = {
            kernel: shell.read(f"lsinitramfs /boot/initrd.img-{kernel}", limit=900)
            for kernel in (system.offers.installed.release, proof.kernel)
        }
        machine.power_off()
        return Kept(machine, system, inspected, planned, said.text, verdict, told, proof, driver, initrds)


def test_what_stands_in_is_said_before_and_in_the_verdict(kept: Kept) -> None:
    (disk,) = [d for d in kept.inspected["disks"] if d["partitions"]]
    assert (disk["bus"], disk["driver"]) == ("sata", "ata_piix")
    assert "a controller that no twin has (ata_piix): in the twin ahci stands in for it" in kept.planned
    (check,) = [c for c in kept.verdict["checks"] if c["name"] == "disk controller"]
    assert (check["outcome"], check["before"]) == ("NOT TESTED", "ahci for ata_piix")
    assert "in the twin ahci stood in for it" in kept.told


def test_an_initrd_packed_in_the_twin_is_caught_and_made_anew(kept: Kept) -> None:
    release = kept.system.offers.update.release
    assert f"update-initramfs: Generating /boot/initrd.img-{release}" in kept.said
    assert "The new initrd lacks the driver ata_piix, which this machine's root disk needs." in kept.said
    assert "the trial volume's initrd is made anew for this machine" in kept.said
    assert "the new initrd holds every driver of this machine's root disk" in kept.said
    assert kept.verdict["result"] == "PASS" and kept.verdict["proof_boot"]


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    proof = kept.proof
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    assert proof.kernel == kept.system.offers.update.release
    assert kept.driver == "ata_piix"
    assert all("/ata_piix.ko" in names for names in kept.initrds.values())


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))


def test_with_no_driver_of_a_twin_its_kernel_is_started_and_that_is_said(tmp_path: Path) -> None:
    """The installed initrd is packed for this machine, so that no controller of a twin can stand in by it."""
    system = installed_system(SystemSpec())
    packed = (
        "update-initramfs -u && sync",
        "! lsinitramfs /boot/initrd.img-$(uname -r) | grep -E '/ahci.ko'",
    )
    hardware = Hardware(bus="ide")
    with machine_with_stick(system, tmp_path, "1.1", hardware=hardware) as machine:
        machine.pull_stick()
        with stage("its own system packs its initrd for this machine alone"):
            machine.power_on()
            for command in (FOR_ONE_MACHINE[0], *packed):
                machine.shell().read(command, limit=1800)
            machine.power_off()
        machine.insert_stick(stick_with_shell(tmp_path))
        appliance = Appliance.boot(machine)
        planned = appliance.read("rehearse", "--dry-run", "--packages", "ledger")
        assert "boot loader and initrd are NOT rehearsed" in planned
        said = appliance.twinboot("rehearse", "--packages", "ledger", limit=LIMIT)
        assert said.status == 0, said.text
        assert "PASS, boot loader and initrd NOT rehearsed" in said.text
        verdict = json.loads(appliance.shell.read(f"cat {RUNS}/tb1/verdict.json"))
        assert verdict["direct"] and verdict["proof_boot"]
        assert "rdinit=/twinboot/init" in verdict["control"]["command_line"].split()
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        assert "started without its boot loader" in told
        appliance.reboot()
        proof = trial_kept(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
        assert "rdinit" not in proof.cmdline
        assert machine.shell().read(DRIVER).strip() == "ata_piix"
        machine.power_off()


def test_a_raid_controller_that_qemu_plays_is_the_twin_s_own(tmp_path: Path) -> None:
    system = installed_system(SystemSpec())
    hardware = Hardware(bus="megasas")
    with machine_with_stick(system, tmp_path, "1.1", hardware=hardware) as machine:
        appliance = Appliance.boot(machine)
        (disk,) = [d for d in appliance.inspect()["disks"] if d["partitions"]]
        assert (disk["bus"], disk["driver"]) == ("scsi", "megaraid_sas")
        verdict = appliance.rehearse("--packages", "ledger")
        assert verdict["result"] == "PASS" and verdict["proof_boot"]
        assert not [c for c in verdict["checks"] if c["name"] == "disk controller"]
        devices = appliance.shell.read(f'grep -o \'"driver":"[a-z0-9-]*"\' {LIBVIRTS}/twinboot-tb1-*.log')
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
        for part in ("work", "proof"):
            assert f'twinboot-tb1-{part}.log:"driver":"megasas"' in devices, "QEMU was told so"
        machine.power_off()
