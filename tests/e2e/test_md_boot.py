"""The circle where /boot, too, is MD RAID 1: an array of its own, which GRUB reads and can not write.

The sector that decides lies on the EFI system partition; what is written to /boot is written to both legs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.e2e.test_md import COMPARE, WRITTEN, Legs, volumes, whole
from tests.lab import mirrored, mirrored_boot
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import ALL_MIRRORED, BOOT_UUID, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

SECTOR = f"/boot/efi/twinboot/{BOOT_UUID}/env"
KIND = Kind(
    frozenset({"root", "srv", "swap", "twinboot-state"}), listed=volumes, ours=f"{OURS} /boot/efi/twinboot"
)


@dataclass
class Kept:
    """A machine with everything but its ESP on mirrors, that has gone round and is off; what was seen on the
    way.

    `written` is what its disks had taken after inspecting and planning; `planned` what a dry run says of the
    promotion, `decided` what the sector said once the trial was kept, `verified` what dpkg says against its
    packages' files.
    """

    machine: Machine
    system: InstalledSystem
    inspected: dict[str, Any]
    written: str
    verdict: dict[str, Any]
    planned: str
    decided: str
    verified: str
    proof: ProofOfBoot
    legs: tuple[Legs, ...]


def legs_of(shell: Console) -> tuple[Legs, ...]:
    """Both arrays as the running system tells them: that of /boot, then that of the volume group."""
    said = shell.run("dmesg | grep -E 'md: (recovery|resync) of|not clean'").text
    found = []
    for uuid in (mirrored_boot.UUID, mirrored.UUID):
        compared = shell.read(COMPARE.replace("/dev/md/0", f"/dev/disk/by-id/md-uuid-{uuid}"), limit=1200)
        state, degraded, differ = compared.split()
        found.append(Legs(state, int(degraded), int(differ), said))
    return tuple(found)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("md-boot"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(ALL_MIRRORED)
    packages = ("--packages", "ledger", "linux-image-amd64")
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        appliance.read("rehearse", "--dry-run", *packages)
        written = appliance.shell.read(WRITTEN)
        verdict = appliance.rehearse(*packages)
        planned = appliance.read("promote", "tb1", "--dry-run")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        decided = shell.read(f"cat {SECTOR}")
        verified = shell.run(f"dpkg -V linux-image-{proof.kernel} ledger").text
        legs = legs_of(shell)
        machine.power_off()
        return Kept(machine, system, inspected, written, verdict, planned, decided, verified, proof, legs)


def test_boot_is_found_by_a_leg_and_looking_writes_nothing(kept: Kept) -> None:
    (system,) = kept.inspected["systems"]
    boot = next(v for v in system["volumes"] if v["target"] == "/boot")
    assert (boot["role"], boot["array"], system["boot"]) == ("boot", mirrored_boot.NAME, None)
    assert [(layer["name"], layer["below"]) for layer in kept.inspected["layers"]] == [
        (mirrored_boot.NAME, ["/dev/vda3", "/dev/vdb2"]),
        (mirrored.NAME, ["/dev/vda4", "/dev/vdb3"]),
    ]
    assert kept.written.splitlines() == ["0 0", "0 0"]


def test_the_plan_names_both_arrays_and_the_esp(kept: Kept) -> None:
    planned = " ".join(kept.planned.split())
    assert f"the super blocks of the array {mirrored_boot.NAME} on /dev/vda3 and /dev/vdb2" in planned
    assert f"the super blocks of the array {mirrored.NAME} on /dev/vda4 and /dev/vdb3" in planned
    assert f"{SECTOR}: one sector, the next boot is the trial" in planned


def test_it_is_rehearsed_in_a_twin_that_has_both_arrays(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    (said,) = [c for c in kept.verdict["checks"] if c["name"] == "mirror"]
    assert said["outcome"] == "NOT TESTED" and "in form only" in said["why"]
    unexplained = [f["path"] for f in kept.verdict["files"] if f["kind"] == "unexplained"]
    assert not any("/md" in path or path.startswith("/boot") for path in unexplained), unexplained


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert "tb_state=kept\ntb_run=tb1\ntb_once=0" in kept.decided.replace("\r", "")
    assert kept.verified == "", "the new kernel's files in /boot are the package's own"
    assert all(map(whole, kept.legs)), kept.legs


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert all(map(whole, legs := legs_of(machine.shell()))), legs
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert all(map(whole, legs := legs_of(machine.shell()))), legs
        machine.power_off()
