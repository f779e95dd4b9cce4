"""The circle on a volume group that lies on MD RAID 1: both legs, always, and nothing by looking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, rolled_back_and_retired
from tests.e2e.test_circle import NEW, OLD, appliance_on, boot_without_stick, cut_a_retire, there
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import MIRRORED, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.mirrored import NAME
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

WRITTEN = "awk '{print $7, $14}' /sys/block/vda/stat /sys/block/vdb/stat"
"""Sectors that the appliance has written to and discarded on the disks (Documentation/block/stat.rst)."""
EXAMINE = "mdadm --examine /dev/vda4 /dev/vdb2"
DELETING = (
    "lvs --noheadings -o lv_name vg0 2>/dev/null | "
    "awk '/twinboot-state/ {up = 1} /root-tb1-sealed/ {left = 1} END {exit !(up && !left)}'"
)
"""Whether a retire is at its deletions, in one look: between two a probe may put away what shows them."""
COMPARE = (
    "array=$(basename $(realpath /dev/md/0)); cd /sys/block/$array/md; echo check >sync_action; "
    "while [ $(cat sync_action) != idle ]; do sleep 1; done; cat array_state degraded mismatch_cnt"
)
"""Every sector of both legs read and held against each other, by md itself (md.rst)."""


@dataclass
class Kept:
    """A mirrored machine that has gone round and is off, and what was seen on the way.

    `looked` is what the disks and super blocks said before and after inspecting and planning; `planned` what
    a dry run says of the rehearsal, `told` what promote said.
    """

    machine: Machine
    system: InstalledSystem
    inspected: dict[str, Any]
    looked: tuple[str, str]
    planned: str
    verdict: dict[str, Any]
    told: str
    left: str
    proof: ProofOfBoot
    legs: Legs


@dataclass(frozen=True)
class Legs:
    """What the running system says of its array: state, legs that are missing, sectors that differ; and every
    line of the kernel's on putting one in step since the start."""

    state: str
    degraded: int
    differ: int
    rebuilt: str

    @classmethod
    def of(cls, shell: Console) -> Legs:
        said = shell.run("dmesg | grep -E 'md: (recovery|resync) of|not clean'").text
        state, degraded, differ = shell.read(COMPARE, limit=1200).split()
        return cls(state, int(degraded), int(differ), said)


def whole(legs: Legs) -> bool:
    """`active` is one that was written to a moment ago."""
    return legs.state in ("clean", "active") and (legs.degraded, legs.differ, legs.rebuilt) == (0, 0, "")


def volumes(appliance: Appliance) -> set[str]:
    """Names of all logical volumes, without the pool. The shell's own LVM sees the array under two names, and
    warns of that."""
    said = appliance.shell.read("lvs --noheadings -o lv_name,segtype vg0 2>/dev/null")
    pairs = (line.split() for line in said.splitlines() if line.strip())
    return {name for name, kind in pairs if kind != "thin-pool"}


KIND = Kind(frozenset({"root", "srv", "swap", "twinboot-state"}), listed=volumes)


def in_step(shell: Console) -> None:
    """Wait until md has put in step what a power cut left."""
    idle = "grep -qx idle /sys/block/$(basename $(realpath /dev/md/0))/md/sync_action"
    shell.read(f"until {idle}; do sleep 1; done", limit=1200)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("md"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(MIRRORED)
    packages = ("--packages", "ledger", "linux-image-amd64")
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        shell = appliance.shell
        inspected = appliance.inspect()
        looks = f"{WRITTEN}; {EXAMINE}"
        before = shell.read(looks)
        planned = appliance.read("rehearse", "--dry-run", *packages)
        appliance.inspect()
        looked = (before, shell.read(looks))
        verdict = appliance.rehearse(*packages)
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        left = machine.shell().read("journalctl -b -k --no-pager | grep -E 'md(/raid1)?:'")
        legs = Legs.of(machine.shell())
        machine.power_off()
        return Kept(machine, system, inspected, looked, planned, verdict, told, left, proof, legs)


def test_looking_writes_nothing_and_counts_nothing(kept: Kept) -> None:
    (layer,) = kept.inspected["layers"]
    assert (layer["kind"], layer["name"], layer["below"]) == ("MD RAID 1", NAME, ["/dev/vda4", "/dev/vdb2"])
    assert [system["root"]["lv"] for system in kept.inspected["systems"]] == ["root"]
    before, after = kept.looked
    assert before == after
    assert before.splitlines()[:2] == ["0 0", "0 0"], "nor at the appliance's own start"


def test_the_plan_says_that_both_legs_are_written(kept: Kept) -> None:
    assert f"the super blocks of the array {NAME} on /dev/vda4 and /dev/vdb2" in kept.planned


def test_it_is_rehearsed_in_a_twin_that_has_the_array(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS", kept.verdict
    assert kept.verdict["seal"] == "frozen" and kept.verdict["proof_boot"]
    (said,) = [c for c in kept.verdict["checks"] if c["name"] == "mirror"]
    assert said["outcome"] == "NOT TESTED" and "in form only" in said["why"]
    unexplained = [f["path"] for f in kept.verdict["files"] if f["kind"] == "unexplained"]
    assert not any("/md" in path for path in unexplained), unexplained


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.system.offers.update.release
    assert "active with 2 out of 2 mirrors" in kept.left
    assert whole(kept.legs), kept.legs


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        assert whole(legs := Legs.of(machine.shell())), legs
        machine.power_off()


def test_retired_through_a_power_cut_the_kept_system_has_the_root_volume_s_name(
    kept: Kept, tmp_path: Path
) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        cut_a_retire(machine, stick, DELETING)
        proof = boot_without_stick(machine)
        assert (proof.ledger, proof.failed_units) == ("1.1", ())
        in_step(machine.shell())
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.recovered()
            assert volumes(appliance) == KIND.volumes
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        assert proof.kernel == kept.system.offers.update.release
        assert there(machine.shell(), OURS) == []
        assert whole(legs := Legs.of(machine.shell())), legs
        machine.power_off()
