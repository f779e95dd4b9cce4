"""The circle on a Debian that starts by systemd-boot: kernels on the ESP, and variables that decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, retire, rolled_back_and_retired
from tests.e2e.test_circle import (
    NEW,
    OLD,
    appliance_on,
    boot_without_stick,
    install_the_next_kernel,
    offer_the_next_kernel,
    there,
)
from tests.lab.appliance import Appliance
from tests.lab.circle import (
    lent,
    machine_with_stick,
    outliving,
    stick_with_shell,
    trial_given_back,
    trial_kept,
)
from tests.lab.console import Console
from tests.lab.installed import ON_SYSTEMD_BOOT, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

ESP = "/boot/efi"
ENTRIES = f"{ESP}/loader/entries"
KIND = Kind(
    frozenset({"root", "srv", "swap", "twinboot-state"}),
    ours=f"{ESP}/twinboot {ENTRIES}/twinboot-* /root/TWINBOOT.txt /var/lib/twinboot /etc/kernel/cmdline",
)
VARIABLES = "/sys/firmware/efi/efivars"
PACKAGES = ("ledger", "linux-image-amd64")


@dataclass
class Kept:
    """A systemd-boot machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    verdict: dict[str, Any]
    variables_before: list[str]
    variables_armed: list[str]
    next_boot: str
    told: str


def _variables(shell: Console) -> list[str]:
    """Names of the loader's lasting variables that choose an entry, with what they name."""
    words = (
        f"for v in OneShot Default; do f=$(ls {VARIABLES}/LoaderEntry$v-* 2>/dev/null) || continue; "
        "echo $v=$(cat $f | tail -c +5 | tr -d '\\000'); done"
    )
    return shell.run(words).text.split()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("systemd-boot"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(ON_SYSTEMD_BOOT)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        before = _variables(appliance.shell)
        verdict = appliance.rehearse("--packages", *PACKAGES)
        told = appliance.read("promote", "tb1", "--dry-run")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        armed = _variables(appliance.shell)
        following = appliance.status()["next_boot"]
        appliance.reboot()
        proof = trial_kept(machine)
        machine.power_off()
        return Kept(machine, system, proof, verdict, before, armed, following, told)


def test_it_is_rehearsed_by_its_own_loader_and_no_variable_changed_before_the_promotion(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS"
    assert kept.verdict["seal"] == "frozen"
    assert kept.variables_before == []
    assert kept.variables_armed == [
        "OneShot=twinboot-new-tb1.conf",
        "Default=twinboot-previous-tb1.conf",
    ]
    assert "once, on trial" in kept.next_boot
    assert "boot variables LoaderEntryDefault" in kept.told


def test_the_metal_runs_what_was_tested_and_keeps_it_by_its_own_kernel_install(
    kept: Kept, tmp_path: Path
) -> None:
    proof = kept.proof
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    with kept.machine.fork() as machine:
        after = boot_without_stick(machine)
        assert (after.root, after.ledger) == (NEW, "1.1")
        shell = machine.shell()
        assert _variables(shell) == []
        line = shell.read("cat /proc/cmdline").split()
        assert f"root={NEW}" in line and not [w for w in line if w.startswith(("twinboot.", "panic="))]
        assert after.kernel == kept.system.offers.update.release
        assert there(shell, f"{ENTRIES}/twinboot-new-tb1.conf") == []
        machine.power_off()


def test_the_next_kernel_update_works_as_on_any_machine(kept: Kept, tmp_path: Path) -> None:
    system = kept.system
    following = system.offers.following
    with kept.machine.fork() as machine:
        offer_the_next_kernel(machine, system, tmp_path)
        machine.power_on()
        install_the_next_kernel(machine.shell(), system)
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel) == (NEW, following.release)
        machine.power_off()


def test_the_way_back_without_the_stick(kept: Kept) -> None:
    """One line of /root/TWINBOOT.txt."""
    with kept.machine.fork() as machine:
        boot_without_stick(machine)
        shell = machine.shell()
        shell.read("bootctl set-default twinboot-previous-tb1.conf", limit=120)
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.power_off()


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell, new = machine.shell(), kept.system.offers.update.release
        assert _variables(shell) == []
        assert there(shell, f"{ENTRIES}/*-{new}*.conf {ESP}/*/{new}") == []
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert _variables(machine.shell()) == []
        machine.power_off()


def test_retired_it_can_go_round_again(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        retire(machine, KIND, stick)
        with appliance_on(machine, stick) as appliance:
            (node,) = appliance.status()["lineage"]["nodes"]
            assert node["volume"] == "root"
            assert appliance.rehearse("--nothing")["result"] == "PASS"


def test_good_in_the_twin_bad_on_the_metal_gives_way_by_itself(tmp_path: Path) -> None:
    """Ledger 1.5."""
    system = installed_system(ON_SYSTEMD_BOOT)
    with machine_with_stick(system, tmp_path, "1.5") as machine:
        appliance = Appliance.boot(machine)
        assert appliance.rehearse("--packages", "ledger")["result"] == "PASS"
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_given_back(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        shell = machine.shell()
        result = shell.read(f"cat {ESP}/twinboot/tb1/result")
        assert result.splitlines()[:2] == ["verdict bad", "kept no"]
        assert "why ledger.service failed" in result
        assert _variables(shell) == ["Default=twinboot-previous-tb1.conf"]
        machine.power_off()


def test_a_trial_that_is_cut_off_gives_way_at_the_next_start(tmp_path: Path) -> None:
    """The loader takes the one-shot away before it starts the trial: power goes in the middle of it."""
    system = installed_system(ON_SYSTEMD_BOOT)
    with machine_with_stick(system, tmp_path, "1.1") as machine:
        appliance = Appliance.boot(machine)
        assert appliance.rehearse("--packages", "ledger")["result"] == "PASS"
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.power_off()
        machine.pull_stick()
        console = machine.power_on()
        console.wait_for(r"twinboot: trial tb1: looking at this boot", limit=600)
        machine.kill()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.power_off()
