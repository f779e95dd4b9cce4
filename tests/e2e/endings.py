"""The ends of a circle: rolled back and retired, or kept and retired, alike for many kinds of machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.test_circle import OLD, appliance_on, boot_without_stick, there
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS
from tests.lab.installed import InstalledSystem
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot


@dataclass(frozen=True)
class Kind:
    """What the ends of a circle have to know of a kind of machine.

    `volumes` are all it has at rest, `listed` asks for them; `ours` are patterns of what would be left of us;
    `let_in` opens the machine's disk for the appliance, and `start` starts its own system.
    """

    volumes: frozenset[str]
    ours: str = OURS
    listed: Callable[[Appliance], set[str]] = Appliance.volumes
    let_in: Callable[[Appliance], Appliance] = lambda appliance: appliance
    start: Callable[[Machine], ProofOfBoot] = boot_without_stick


def rolled_back_and_retired(machine: Machine, kind: Kind, system: InstalledSystem, stick: Path) -> str:
    """The machine is what it was, and runs; what the roll back said. A kept machine that is off, patched with
    ledger 1.1 and a kernel update."""
    with appliance_on(machine, stick) as appliance:
        said = kind.let_in(appliance).read("rollback", "tb1", "--confirm", "0001", limit=900)
    assert_old(kind.start(machine), system)
    machine.power_off()
    retire(machine, kind, stick)
    assert_old(kind.start(machine), system)
    assert there(machine.shell(), kind.ours) == []
    return said


def kept_and_retired(machine: Machine, kind: Kind, system: InstalledSystem, stick: Path) -> None:
    """The kept system has the root volume's name, and runs. Of the same machine."""
    retire(machine, kind, stick)
    proof = kind.start(machine)
    assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
    assert proof.kernel == system.offers.update.release
    assert there(machine.shell(), kind.ours) == []


def retire(machine: Machine, kind: Kind, stick: Path) -> None:
    with appliance_on(machine, stick) as appliance:
        kind.let_in(appliance).read("retire", "tb1", "--confirm", "0001", limit=1800)
        assert kind.listed(appliance) == kind.volumes


def assert_old(proof: ProofOfBoot, system: InstalledSystem) -> None:
    """The system that was there before."""
    assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
    assert proof.kernel == system.offers.installed.release
