"""Once round: an unattended rehearsal from the stick, promotion, the trial on the metal, keep.

Used by `make demo` and by tests/e2e. The stick stays in and first in the boot order all the way.
"""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tests.lab.appliance import DEBUG_SHELL, REHEARSAL
from tests.lab.hardware import Hardware
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine, ProofOfBoot
from tests.lab.native import EmulatorDied, LabError, stage
from tests.lab.screens import SerialTerminal
from tests.lab.stick import fetch, prepare

T = TypeVar("T")
S = TypeVar("S", bound="Story")
IMAGE = Path(__file__).parents[2] / "dist/twinboot.img"
OURS = "/boot/twinboot /boot/grub/custom.cfg /root/TWINBOOT.txt /var/lib/twinboot /boot/*.twinboot"
"""All that we leave in a system that GRUB starts, as a shell finds it."""

PENDING = r"starts in 10 seconds"
"""The stick's menu, when a trial or its fallback is pending on the machine's disk."""
ENDED = re.compile(r"stopped \([A-Z]+-\d+\)|\[X\] STOPPED|is not promoted")
"""What the console shows of an unattended run that has ended and will not restart the machine. To be looked
for on the drawn page: the line itself carries only the cells that changed."""

TRIAL = 1200.0
"""Seconds a trial may take, to its end."""


class Story(Protocol):
    """What was seen on the way of a machine that is off at its end."""

    machine: Machine


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
    plan: bytes = b"",
    *,
    kernel: bool = False,
    hardware: Hardware | None = None,
) -> Machine:
    """A lab machine with a prepared stick, and a repository offering `ledger` (and the kernel update).

    Without a `plan` the stick gives a root shell on ttyS1, for `Appliance`.
    """
    debs = system.offers.select(ledger, *((system.offers.update,) if kernel else ()))
    lab = system.offers.pool.publish(folder / "lab", debs)
    wanted = hardware or Hardware(firmware=system.spec.firmware)
    machine = Machine.with_system(system, wanted, folder=folder / "machine", site={"lab": lab})
    stick = planned_stick(folder, plan) if plan else stick_with_shell(folder)
    machine.insert_stick(stick)
    return machine


def planned_stick(folder: Path, plan: bytes) -> Path:
    """A stick that runs `plan` unattended."""
    files = {"plans/round.json": plan}
    return prepare(IMAGE, folder / "planned.img", files, "twinboot.plan=round.json")


def stick_with_shell(folder: Path) -> Path:
    """A stick that waits for `Appliance`."""
    return prepare(IMAGE, folder / "shell.img", {}, DEBUG_SHELL)


def machine_to_drive(system: InstalledSystem, folder: Path, bus: str) -> Machine:
    """The same machine for a person: the stick without a plan, ledger 1.1 and the kernel update on offer."""
    debs = system.offers.select("1.1", system.offers.update)
    lab = system.offers.pool.publish(folder / "lab", debs)
    hardware = Hardware(firmware=system.spec.firmware, bus=bus)
    machine = Machine.with_system(system, hardware, folder=folder / "machine", site={"lab": lab})
    machine.insert_stick(prepare(IMAGE, folder / "drive.img", {}))
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


def rehearse_and_promote(machine: Machine) -> None:
    """Switch on and let the stick's plan run, until the machine starts its own disk.

    LabError with the page that stands on the serial line where the run ended otherwise.
    """
    console = machine.power_on()
    screen = SerialTerminal(console)
    with stage("rehearsal and promotion, unattended"):
        deadline = time.monotonic() + REHEARSAL
        # Only the stick's own menu says so: what a loader says may be the twin's, shown live by the console.
        while not console.says(PENDING, limit=5):
            page = screen.text()
            if ENDED.search(page) or time.monotonic() > deadline:
                raise LabError(f"the run did not come to its promotion. The console shows:\n{page}")
    machine.rebooted()


def trial_kept(machine: Machine, run: str = "tb1") -> ProofOfBoot:
    """The trial on the metal, to its end: what the machine says it booted once it is kept."""
    with stage("trial on the metal, with the stick still in"):
        machine.console.wait_for(rf"twinboot: trial {run}: kept", limit=TRIAL)
        # The log-in prompt came before the confirm unit spoke: ask for another.
        machine.console.send("\n")
        return machine.proof_of_boot()


def trial_given_back(machine: Machine, run: str = "tb1") -> ProofOfBoot:
    """The trial on the metal that is not kept, and the boot after it."""
    with stage("trial on the metal that gives way"):
        machine.console.wait_for(rf"twinboot: trial {run}: NOT kept", limit=TRIAL)
        machine.rebooted()
        return machine.proof_of_boot()


def played(play: Callable[[Path], T], folder: Path) -> T:
    """What `play` returns. Where QEMU itself crashed it is played once more, from the start, and said."""
    try:
        return play(folder / "first")
    except EmulatorDied as death:
        warnings.warn(f"QEMU died and the story is played again: {death}", stacklevel=2)
        return play(folder / "again")


def lent(play: Callable[[Path], S], folder: Path) -> Iterator[S]:
    """For a fixture: what `play` returns; its machine is forked by the tests, and closed after them."""
    story = played(play, folder)
    yield story
    story.machine.close()


@contextmanager
def outliving(machine: Machine) -> Iterator[Machine]:
    """A machine that outlives what is done here; where that fails it is closed."""
    try:
        yield machine
    except BaseException:
        machine.close()
        raise


def go_round(folder: Path, hardware: Hardware, *, kernel: bool = True, ledger: str = "1.1") -> Round:
    """The whole circle on a machine of its own; `folder` is scratch. Raises LabError."""
    system = installed_system(SystemSpec(hardware.firmware))
    packages = ("ledger", "linux-image-amd64") if kernel else ("ledger",)
    plan = plan_file(packages)
    machine = machine_with_stick(system, folder, ledger, plan, kernel=kernel, hardware=hardware)
    with machine:
        rehearse_and_promote(machine)
        proof = trial_kept(machine)
        machine.power_off()
        return Round(report_of(machine, folder), proof)
