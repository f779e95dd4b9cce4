"""A patch that is good in the twin and bad on the metal: the old system comes back with nobody acting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.appliance import Appliance
from tests.lab.circle import (
    go_round,
    machine_with_stick,
    plan_file,
    played,
    rehearse_and_promote,
    report_of,
    stick_with_shell,
    trial_given_back,
)
from tests.lab.console import Answer
from tests.lab.firmware import UEFI
from tests.lab.hardware import Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(5400)]

NVME = Hardware(firmware=UEFI, bus="nvme")


@dataclass(frozen=True, slots=True)
class CameBack:
    """What the machine was after its trial, and what the next start of the stick says of it."""

    proof: ProofOfBoot
    result: str
    report: str
    notices: tuple[str, ...]
    again: Answer


def test_good_in_the_twin_bad_on_the_metal_gives_way_by_itself(tmp_path: Path) -> None:
    """Ledger 1.5, on a UEFI machine with an NVMe disk and the stick left in."""
    came = played(_come_back, tmp_path)
    assert "PASS" in came.report
    assert came.proof.root == "/dev/mapper/vg0-root"
    assert came.proof.ledger == "1.0"
    assert came.proof.ledger_answer.startswith("ledger 1.0 ")
    assert came.proof.failed_units == ()
    assert came.result.splitlines()[:2] == ["verdict bad", "kept no"]
    assert "why ledger.service failed" in came.result
    assert any("ledger.service failed" in text for text in came.notices), came.notices
    assert any("not kept: the old system boots" in text for text in came.notices), came.notices
    assert came.again.status == 3
    assert "The old system has run since" in came.again.text


def test_good_on_both_the_nvme_machine_keeps_it(tmp_path: Path) -> None:
    came = played(lambda folder: go_round(folder, NVME, kernel=False), tmp_path)
    assert "PASS" in came.report
    assert came.proof.root == "/dev/mapper/vg0-root--tb1"
    assert came.proof.ledger_answer.startswith("ledger 1.1 ")
    assert came.proof.failed_units == ()


def _come_back(folder: Path) -> CameBack:
    system = installed_system(SystemSpec(UEFI))
    with machine_with_stick(system, folder, "1.5", plan_file(("ledger",)), hardware=NVME) as machine:
        rehearse_and_promote(machine)
        proof = trial_given_back(machine)
        result = machine.shell().read("cat /boot/twinboot/tb1/result")
        machine.power_off()
        report = report_of(machine, folder)
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        notices = tuple(appliance.status()["notices"])
        again = appliance.twinboot("promote", "tb1", "--confirm", "0001")
        appliance.power_off()
        return CameBack(proof, result, report, notices, again)
