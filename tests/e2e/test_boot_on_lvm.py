"""The circle where GRUB reads /boot and can not write it: on a logical volume, under UEFI.

The sector that decides lies on the EFI system partition; kernels, entries and custom.cfg lie in /boot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.installed import BOOT_DEVICE, BOOT_ON_LVM, BOOT_UUID, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

SECTOR = f"/boot/efi/twinboot/{BOOT_UUID}/env"
READ_RAW = f"blockdev --flushbufs /dev/vda2; grub-fstest /dev/vda2 cat /twinboot/{BOOT_UUID}/env"
"""As GRUB reads it, which is not mounted."""
FIRST_START = "/var/lib/nginx/"
"""Where nginx makes folders when it first starts, which in this machine's life is in the twin."""
KIND = Kind(frozenset({"boot", "root", "srv", "swap", "twinboot-state"}), ours=f"{OURS} /boot/efi/twinboot")


@dataclass
class Kept:
    """A machine with /boot on LVM that has gone round and is off, and what was seen on the way.

    `planned` is what a dry run says of the promotion, `armed` and `decided` what the sector said before the
    trial and after it was kept, `verified` what dpkg says against its packages' files.
    """

    machine: Machine
    system: InstalledSystem
    inspected: dict[str, Any]
    verdict: dict[str, Any]
    planned: str
    armed: str
    decided: str
    verified: str
    proof: ProofOfBoot


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("boot-on-lvm"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(BOOT_ON_LVM)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        verdict = appliance.rehearse("--packages", "ledger", "linux-image-amd64")
        planned = appliance.read("promote", "tb1", "--dry-run")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        armed = appliance.shell.read(READ_RAW)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        decided = shell.read(f"cat {SECTOR}")
        verified = shell.run(f"dpkg -V linux-image-{proof.kernel} ledger").text
        machine.power_off()
        return Kept(machine, system, inspected, verdict, planned, armed, decided, verified, proof)


def test_boot_is_found_on_its_volume_and_the_plan_names_the_esp(kept: Kept) -> None:
    (system,) = kept.inspected["systems"]
    boot = next(v for v in system["volumes"] if v["target"] == "/boot")
    assert (boot["role"], boot["device"], system["boot"]) == ("boot", BOOT_DEVICE, None)
    assert f"{SECTOR}: one sector, the next boot is the trial" in " ".join(kept.planned.split())
    assert "tb_state=armed\ntb_run=tb1\ntb_once=1" in kept.armed.replace("\r", "")


def test_it_is_rehearsed_and_no_changed_file_is_left_unexplained(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    unexplained = [f["path"] for f in kept.verdict["files"] if f["kind"] == "unexplained"]
    assert [path for path in unexplained if not path.startswith(FIRST_START)] == []


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert "tb_state=kept\ntb_run=tb1\ntb_once=0" in kept.decided.replace("\r", "")
    assert kept.verified == "", "the new kernel's files in /boot are the package's own"


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        machine.power_off()
