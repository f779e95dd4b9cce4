"""A thick root on MD RAID 1, as Debian's installer makes it of two disks: merged through both legs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.e2e.test_md import EXAMINE, WRITTEN, Legs, volumes, whole
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.installed import THICK, InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

MIRRORED_THICK = SystemSpec(storage=THICK, disk=8192, pool=0, root=2048, srv=0, mirror=True)
KIND = Kind(frozenset({"root", "swap", "twinboot-state"}), listed=volumes)


@dataclass
class Kept:
    """The machine that has gone round and is off. `looked` is what the disks and super blocks said before and
    after inspecting and planning."""

    machine: Machine
    system: InstalledSystem
    looked: tuple[str, str]
    verdict: dict[str, Any]
    proof: ProofOfBoot
    legs: Legs


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("md-thick"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(MIRRORED_THICK)
    packages = ("--packages", "ledger", "linux-image-amd64")
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        looks = f"{WRITTEN}; {EXAMINE}"
        before = appliance.shell.read(looks)
        appliance.read("rehearse", "--dry-run", *packages)
        looked = (before, appliance.shell.read(looks))
        verdict = appliance.rehearse(*packages)
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        legs = Legs.of(machine.shell())
        machine.power_off()
        return Kept(machine, system, looked, verdict, proof, legs)


def test_it_is_rehearsed_in_a_twin_that_has_the_array(kept: Kept) -> None:
    before, after = kept.looked
    assert before == after and before.splitlines()[:2] == ["0 0", "0 0"], "looking writes nothing"
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    assert any(check["name"] == "mirror" for check in kept.verdict["checks"])


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert whole(kept.legs), kept.legs


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert whole(legs := Legs.of(machine.shell())), legs
        machine.power_off()


def test_retired_the_kept_system_is_the_root_volume_again(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert whole(legs := Legs.of(machine.shell())), legs
        machine.power_off()
