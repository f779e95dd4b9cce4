"""Once round: an unattended rehearsal from the stick, promotion, the trial on the metal, keep.

Used by `make demo` and by tests/e2e. The stick stays in and first in the boot order all the way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab.firmware import BIOS
from tests.lab.hardware import Hardware
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine, ProofOfBoot
from tests.lab.native import LabError, stage
from tests.lab.stick import fetch, prepare

IMAGE = Path(__file__).parents[2] / "dist/twinboot.img"
REHEARSAL = 3600.0
"""Seconds one emulated rehearsal and promotion may take on a noisy machine."""

TRIAL = 1200.0


@dataclass(frozen=True, slots=True)
class Round:
    """What came of it: the report's text, and what the metal says it booted."""

    report: str
    proof: ProofOfBoot


def plan_file(
    packages: tuple[str, ...], *, serial: str = "any", promote: bool = True, **patch: object
) -> bytes:
    """An unattended plan: rehearse `packages`, promote when the verdict is PASS, reboot."""
    kind = "packages" if packages else "nothing"
    request = {
        "verb": "rehearse",
        "patch": {"kind": kind, "packages": list(packages)},
        "promote": promote,
    }
    return json.dumps({"schema": 1, "serial": serial, "request": request}).encode()


def machine_with_stick(
    system: InstalledSystem,
    folder: Path,
    ledger: str,
    plan: bytes,
    *,
    kernel: bool = False,
    hardware: Hardware | None = None,
    debug: bool = False,
) -> Machine:
    """A lab machine with a prepared stick, and a repository offering `ledger` (and the kernel update)."""
    debs = system.offers.select(ledger, *((system.offers.update,) if kernel else ()))
    lab = system.offers.pool.publish(folder / "lab", debs)
    wanted = hardware or Hardware(firmware=system.spec.firmware)
    machine = Machine.with_system(system, wanted, folder=folder / "machine", site={"lab": lab})
    extra = "twinboot.plan=round.json" + (" systemd.debug_shell=ttyS1" if debug else "")
    machine.insert_stick(prepare(IMAGE, folder / "stick.img", {"plans/round.json": plan}, extra))
    return machine


def machine_to_drive(system: InstalledSystem, folder: Path) -> Machine:
    """The same machine for a person: the stick without a plan, ledger 1.1 and the kernel update on offer."""
    debs = system.offers.select("1.1", system.offers.update)
    lab = system.offers.pool.publish(folder / "lab", debs)
    hardware = Hardware(firmware=system.spec.firmware)
    machine = Machine.with_system(system, hardware, folder=folder / "machine", site={"lab": lab})
    machine.insert_stick(IMAGE)
    return machine


def report_of(machine: Machine, folder: Path) -> str:
    """The text report that was exported to the stick; the machine must be off."""
    stick = machine.pull_stick()
    if stick is None:
        raise LabError("the machine has no stick.")
    reports = fetch(stick, "reports", folder)
    found = sorted(reports.rglob("report.txt"))
    if not found:
        raise LabError("there is no report on the stick.")
    return "\n".join(path.read_text() for path in found)


def go_round(folder: Path, firmware: str = BIOS, *, kernel: bool = True, ledger: str = "1.1") -> Round:
    """The whole circle on a machine of its own; `folder` is scratch. Raises LabError."""
    system = installed_system(SystemSpec(firmware))
    packages = ("ledger", "linux-image-amd64") if kernel else ("ledger",)
    machine = machine_with_stick(system, folder, ledger, plan_file(packages), kernel=kernel)
    with machine:
        console = machine.power_on()
        with stage("rehearsal and promotion, unattended"):
            # The console shows a run that stopped; a machine that restarts shows its own loader's kernel.
            said = console.wait_for(
                r"twinboot\.trial=|Loading Linux", r"stopped \([A-Z]+-\d+\)", limit=REHEARSAL
            )
            if "stopped" in said[0]:
                raise LabError(f"the run ended with: {said[0]}\n{console.end()}")
        with stage("trial on the metal, with the stick still in"):
            machine.rebooted()
            console.wait_for(r"twinboot: trial tb1: kept", limit=TRIAL)
            # The log-in prompt came before the confirm unit spoke: ask for another.
            console.send("\n")
            proof = machine.proof_of_boot()
        machine.power_off()
        return Round(report_of(machine, folder), proof)
