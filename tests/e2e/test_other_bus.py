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
