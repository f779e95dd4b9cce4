"""The circle with /srv, which is data, added to the volume set: promoted and given back with the root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import NEW
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

PACKAGES = ("ledger", "linux-image-amd64")
INSTALLED = frozenset({"root", "srv", "swap", "twinboot-state"})
OF_TB1 = {f"{name}-tb1{ending}" for name in ("root", "srv") for ending in ("", "-base", "-sealed")}
KIND = Kind(INSTALLED)
SINCE = "/srv/since"


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    planned: str
    verdict: dict[str, Any]
    after_rehearsal: set[str]
    told: str
    after_promotion: set[str]
    proof: ProofOfBoot
    srv: str


def mounted(shell: Console) -> str:
    return shell.read("findmnt -no SOURCE /srv").strip()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, kept by itself; something was written to /srv since."""
    yield from lent(_go_round, tmp_path_factory.mktemp("data-in-set"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(SystemSpec())
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        machine.pull_stick()
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        words = ("--packages", *PACKAGES, "--set", "/srv")
        planned = appliance.read("rehearse", *words, "--dry-run")
        verdict = appliance.rehearse(*words)
        rehearsed = appliance.volumes()
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        promoted = appliance.volumes()
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        srv = mounted(shell)
        shell.read(f"echo since >{SINCE} && sync")
        machine.power_off()
        return Kept(machine, system, planned, verdict, rehearsed, told, promoted, proof, srv)


def test_it_is_sealed_with_the_root_and_is_no_throw_away_data(kept: Kept) -> None:
    assert "/srv goes round with the root" in " ".join(kept.planned.split())
    assert (kept.verdict["result"], kept.verdict["seal"]) == ("PASS", "frozen")
    assert kept.verdict["data_writes"] == []
    assert kept.after_rehearsal == INSTALLED | OF_TB1


def test_the_metal_runs_both_as_they_were_tested_and_keeps_them(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    assert kept.srv == "/dev/mapper/vg0-srv--tb1"
    assert kept.after_promotion == kept.after_rehearsal, "no safety snapshot: the old /srv is there itself"


def test_rolled_back_and_retired_the_data_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert mounted(shell) == "/dev/mapper/vg0-srv"
        assert shell.run(f"cat {SINCE}").status != 0, "what was written since went with the trial"
        machine.power_off()


def test_retired_the_kept_data_has_its_first_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert mounted(shell) == "/dev/mapper/vg0-srv"
        assert shell.read(f"cat {SINCE}").strip() == "since"
        machine.power_off()
