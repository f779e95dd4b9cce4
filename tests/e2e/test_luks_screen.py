"""What Debian's installer makes of "encrypted LVM" on a machine without a serial line: it asks on its screen
alone. A TPM that is not there is to open it as well, and so does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.e2e.test_luks import HEADER, holding, unlocked
from tests.lab import encrypted
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving
from tests.lab.circle import stick_with_shell as a_stick
from tests.lab.encrypted import ASKED, PASSPHRASE
from tests.lab.installed import ENCRYPTED, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.native import LabError
from tests.lab.proof import ProofOfBoot
from tests.lab.screens import BareScreen, sees

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

WITHOUT_LINE = (
    "sed -i -e 's/ *console=[^ \"]*//g' -e 's/^GRUB_TERMINAL=.*/GRUB_TERMINAL=console/' /etc/default/grub"
)
TOKEN = {
    "type": "systemd-tpm2",
    "keyslots": ["0"],
    "tpm2-blob": "AAA=",
    "tpm2-pcrs": [7, 9],
    "tpm2-pcr-bank": "sha256",
    "tpm2-primary-alg": "ecc",
    "tpm2-policy-hash": "00",
}
"""As systemd-cryptenroll writes it, of a TPM that this machine has not got."""


@dataclass
class Kept:
    """The machine that has gone round and is off. `consoles` is what its twins said on their serial lines."""

    machine: Machine
    system: InstalledSystem
    headers: tuple[str, str]
    seen: dict[str, Any]
    verdict: dict[str, Any]
    told: str
    found: list[str]
    consoles: str
    proof: ProofOfBoot


def let_in(machine: Machine) -> None:
    """By somebody at the machine's own keyboard, once its own system asks on the screen."""
    screen = BareScreen(machine)
    sees(screen, ASKED, limit=900)
    screen.press(*PASSPHRASE, "enter")


def started(machine: Machine) -> ProofOfBoot:
    """The machine's own start, without the stick."""
    machine.pull_stick()
    machine.power_on()
    let_in(machine)
    return machine.proof_of_boot()


KIND = Kind(frozenset({"root", "srv", "swap", "twinboot-state"}), let_in=unlocked, start=started)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("luks-screen"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(ENCRYPTED)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        _ask_on_the_screen(machine)
        machine.insert_stick(a_stick(folder))
        appliance = unlocked(Appliance.boot(machine))
        shell = appliance.shell
        before, seen = shell.read(HEADER), appliance.inspect()
        verdict = appliance.rehearse("--packages", "ledger", "linux-image-amd64")
        headers = (before, shell.read(HEADER))
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        consoles = shell.read("cat /run/twinboot/tb1/*/console.log", limit=300)
        found = holding(appliance)
        appliance.reboot()
        let_in(machine)
        proof = _kept(machine)
        machine.power_off()
        return Kept(machine, system, headers, seen, verdict, told, found, consoles, proof)


def _ask_on_the_screen(machine: Machine) -> None:
    """By the installed system itself, before the stick is plugged in."""
    machine.pull_stick()
    encrypted.unlock(machine.power_on())
    shell = machine.shell()
    shell.read(f"{WITHOUT_LINE} && update-grub", limit=900)
    shell.read(f"echo '{json.dumps(TOKEN)}' | cryptsetup token import --json-file - /dev/vda4", limit=300)
    machine.power_off()


def _kept(machine: Machine) -> ProofOfBoot:
    """It says so on its screen; on the serial line only its log-in asks."""
    proof, deadline = machine.proof_of_boot(), time.monotonic() + 900
    while "kept" not in (result := machine.shell().run("cat /boot/twinboot/tb1/result").text):
        if time.monotonic() > deadline:
            raise LabError(f"the trial is not kept: {result}")
        time.sleep(5)
    return proof


def test_it_is_rehearsed_in_a_twin_that_is_told_by_its_keyboard(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    assert "Please unlock disk" not in kept.consoles, "no twin asked on its serial line"
    assert kept.headers[0] == kept.headers[1], "the header on the machine's disk was not written"
    assert kept.found == [], "the passphrase and the key are in no file"


def test_what_the_tpm_will_do_is_said_before_the_promotion(kept: Kept) -> None:
    (said,) = [one for one in kept.seen["trouble"] if one["code"] == "luks-tpm"]
    assert said["sentence"].startswith("/dev/vda4 is unlocked by the TPM (PCR 7 and 9)")
    told = " ".join(kept.told.split())
    assert "bound to PCR 7 and 9. PCR 9 may differ then" in told
    assert "the start waits until somebody types the passphrase" in told


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert "console=" not in kept.proof.cmdline


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, a_stick(tmp_path))
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, a_stick(tmp_path))
        machine.power_off()
