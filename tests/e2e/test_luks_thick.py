"""What Debian's installer makes of "encrypted LVM" by itself, a thick root; and a trial nobody lets in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import NEW, OLD, appliance_on, there
from tests.e2e.test_luks import started, unlocked
from tests.lab import encrypted
from tests.lab.appliance import Appliance
from tests.lab.circle import (
    OURS,
    PENDING,
    machine_with_stick,
    outliving,
    played,
    stick_with_shell,
    trial_kept,
)
from tests.lab.console import Console
from tests.lab.installed import THICK, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

ENCRYPTED_THICK = SystemSpec(storage=THICK, disk=8192, pool=0, root=2048, srv=0, luks=True)
INSTALLED = {"root", "swap", "twinboot-state"}
LOADS = r"Booting `"
"""GRUB, at the beginning of each start."""


@dataclass
class Kept:
    """The machine that has gone round and is off; `armed` is the same before its trial."""

    machine: Machine
    armed: Machine
    verdict: dict[str, Any]
    proof: ProofOfBoot


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    story = played(_go_round, tmp_path_factory.mktemp("luks-thick"))
    yield story
    story.armed.close()
    story.machine.close()


def _go_round(folder: Path) -> Kept:
    system = installed_system(ENCRYPTED_THICK)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        appliance = unlocked(Appliance.boot(machine))
        verdict = appliance.rehearse("--packages", "ledger")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.power_off()
        with outliving(machine.fork()) as armed:
            console = machine.power_on()
            console.wait_for(PENDING, limit=900)
            encrypted.unlock(console)
            proof = trial_kept(machine)
            machine.power_off()
            return Kept(machine, armed, verdict, proof)


def test_a_thick_root_inside_luks_is_rehearsed_and_kept(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert any(check["name"] == "disk encryption" for check in kept.verdict["checks"])
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())


def test_a_trial_that_nobody_lets_in_gives_way_to_the_old_system(kept: Kept) -> None:
    machine = kept.armed
    machine.pull_stick()
    console = machine.power_on()
    encrypted.unlock(console, "wrong")
    assert refused_until_it_restarts(console) >= 2, "three tries at least"
    encrypted.unlock(console)
    proof = machine.proof_of_boot()
    assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
    machine.power_off()


def refused_until_it_restarts(console: Console) -> int:
    """Give the wrong answer as often as the initrd asks; how often that was."""
    for times in range(30):
        if not console.wait_for(encrypted.ASKED, LOADS, limit=300)[0].startswith("Please"):
            return times
        console.send("wrong\n")
    raise AssertionError("it asks for ever")


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            unlocked(appliance).read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = started(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            unlocked(appliance).read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        proof = started(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        assert there(machine.shell(), OURS) == []
        machine.power_off()


def test_retired_the_kept_system_is_the_root_volume_again(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            unlocked(appliance).read("retire", "tb1", "--confirm", "0001", limit=1800)
            assert appliance.volumes() == INSTALLED
        proof = started(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        assert there(machine.shell(), OURS) == []
        machine.power_off()
