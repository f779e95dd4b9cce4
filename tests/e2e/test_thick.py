"""The circle on a thick root: work, sealed and trial are one snapshot, which retire merges into the root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import (
    NEW,
    OLD,
    appliance_on,
    boot_without_stick,
    cut_a_retire,
    refused_once_the_old_system_has_run,
    there,
)
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.installed import THICK_ROOT, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(10800)]

INSTALLED = {"root", "swap", "twinboot-state"}
OF_TB1 = {"root-tb1", "root-tb1-base"}
ATTRIBUTES = "lvs --noheadings --separator : -o lv_name,lv_attr,origin,lv_size --units m --nosuffix vg0"


@dataclass
class Kept:
    """A thick machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    verdict: dict[str, Any]
    after_rehearsal: set[str]
    volumes: dict[str, list[str]]
    told: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("thick"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(THICK_ROOT)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        appliance = Appliance.boot(machine)
        verdict = appliance.rehearse("--packages", "ledger")
        names, volumes = appliance.volumes(), _attributes(appliance)
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        machine.power_off()
        return Kept(machine, system, proof, verdict, names, volumes, told)


def _attributes(appliance: Appliance) -> dict[str, list[str]]:
    """name: attributes, origin, size in MiB."""
    rows = (line.strip().split(":") for line in appliance.shell.read(ATTRIBUTES).splitlines() if ":" in line)
    return {name: rest for name, *rest in rows}


def test_a_thick_root_is_rehearsed_and_only_base_and_trial_stay(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS"
    assert kept.verdict["seal"] == "frozen"
    assert kept.after_rehearsal == INSTALLED | OF_TB1
    trial, base = kept.volumes["root-tb1"], kept.volumes["root-tb1-base"]
    assert (trial[1], base[1]) == ("root", "root")
    assert float(trial[2]) > THICK_ROOT.root, "its store covers the volume: it can not fill"
    assert base[0].startswith("sr"), "the witness is read-only"
    assert not any("I" in attributes[4:5] for attributes, *_ in kept.volumes.values())
    ours = [f["path"] for f in kept.verdict["files"] if "twinboot" in f["path"] or "fstab" in f["path"]]
    assert ours == [], "the metal's edits are no changes of the patch"


def test_the_metal_runs_the_snapshot_that_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    assert "slower" in kept.told, "what a snapshot under both systems costs is said before"


def test_retired_the_kept_system_is_the_root_volume_again(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            told = appliance.read("retire", "tb1", "--dry-run")
            assert "empty vg0/root (" in told and "merged into root" in told
            appliance.read("retire", "tb1", "--confirm", "0001", limit=1800)
            assert appliance.volumes() == INSTALLED
            assert _attributes(appliance)["root"][0].startswith("-wi"), (
                "a plain volume, no origin of anything"
            )
            (node,) = appliance.status()["lineage"]["nodes"]
            assert node["volume"] == "root"
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        shell = machine.shell()
        assert there(shell, OURS) == []
        machine.power_off()


@pytest.mark.full
def test_retired_it_can_go_round_again(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine, appliance_on(machine, stick) as appliance:
        appliance.read("retire", "tb1", "--confirm", "0001", limit=1800)
        assert appliance.rehearse("--nothing")["result"] == "PASS"


def test_rolled_back_the_old_system_runs_and_the_run_can_go(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.shell().read("dd if=/dev/urandom of=/root/filler bs=1M count=64 && sync", limit=600)
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            trial = _attributes(appliance)["root-tb1"]
            assert "I" not in trial[0], "what the old system writes never costs the trial volume"
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        assert there(machine.shell(), "/boot/twinboot /boot/grub/custom.cfg") == []
        machine.power_off()


@pytest.mark.full
def test_a_promotion_is_refused_once_the_old_system_has_run(kept: Kept, tmp_path: Path) -> None:
    """The witness is a block-for-block one: a boot of the old system is enough."""
    refused_once_the_old_system_has_run(kept.system, tmp_path)


@pytest.mark.full
def test_cut_while_it_is_merged_the_kept_system_boots_and_the_rest_is_done(
    kept: Kept, tmp_path: Path
) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        cut_a_retire(machine, stick, "lvs --noheadings -o lv_merging vg0/root | grep -q merging")
        proof = boot_without_stick(machine)
        assert (proof.ledger, proof.failed_units) == ("1.1", ()), "the kept system, by its own UUID"
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.recovered()
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.1")
        machine.power_off()
