"""Bad patches, told by the verdict, refused by promotion, and leaving no trace; one machine, an AHCI disk.

In the order of the tests: each rehearses on the same appliance boot, and the last one looks at the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.appliance import Appliance
from tests.lab.circle import machine_with_stick, trial_kept
from tests.lab.disks import region_hash
from tests.lab.hardware import Hardware
from tests.lab.installed import MIB, PARTITIONS, SystemSpec, installed_system
from tests.lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(5400)]


@dataclass
class Story:
    """The machine and the appliance running on it; `offer` changes what its package sources hold."""

    machine: Machine
    appliance: Appliance
    folder: Path
    before: dict[str, str]

    def offer(self, ledger: str) -> None:
        offers = installed_system(SystemSpec()).offers
        lab = offers.pool.publish(self.folder / f"lab-{ledger}", offers.select(ledger))
        self.machine.site.folders["lab"] = lab

    def rehearse(self, ledger: str) -> tuple[str, dict[str, Any]]:
        """The run and its verdict."""
        self.offer(ledger)
        verdict = self.appliance.rehearse("--packages", "ledger")
        return self.appliance.newest_run(), verdict


def regions(machine: Machine) -> dict[str, str]:
    """Hashes of what a rehearsal must not write: the first MiB, ESP and /boot."""
    found = {"first MiB": region_hash(machine.disk, 0, MIB)}
    for name, _, start, size in PARTITIONS[:3]:
        found[name] = region_hash(machine.disk, start * MIB, size * MIB)
    return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("bad")
    system = installed_system(SystemSpec())
    with machine_with_stick(system, folder, "1.1", hardware=Hardware(bus="ahci")) as machine:
        before = regions(machine)
        yield Story(machine, Appliance.boot(machine), folder, before)


def worse(verdict: dict[str, Any]) -> dict[str, str]:
    return {c["name"]: c["why"] for c in verdict["checks"] if c["outcome"] == "worse"}


@pytest.mark.full
@pytest.mark.parametrize("ledger", ["1.2", "1.3"])
def test_a_service_that_does_not_come_up_is_named_and_not_promoted(story: Story, ledger: str) -> None:
    run, verdict = story.rehearse(ledger)
    assert verdict["result"] == "FAIL"
    assert set(worse(verdict)) == {"service ledger", "socket tcp:8377"}
    assert all(worse(verdict).values()), "every check that got worse says why"
    refused = story.appliance.twinboot("promote", run, "--confirm", "0001")
    assert refused.status == 3
    assert "--force-bad" in refused.text
    assert "service ledger: It fails after the patch" in refused.text


@pytest.mark.full
def test_a_half_configured_package_is_never_sealed(story: Story) -> None:
    run, verdict = story.rehearse("1.4")
    assert verdict["result"] == "FAIL"
    assert "package manager" in worse(verdict)
    assert not {f"root-{run}-sealed", f"root-{run}"} & story.appliance.volumes()
    refused = story.appliance.twinboot("promote", run, "--confirm", "0001")
    assert refused.status == 3
    assert "only a SEALED run can be promoted" in refused.text


@pytest.mark.full
def test_rehearsals_leave_no_byte_behind_outside_their_own_volumes(story: Story) -> None:
    for node in story.appliance.status()["lineage"]["nodes"]:
        if node["run"] and "removed" not in node["volume"]:
            story.appliance.read("retire", node["run"], "--confirm", "0001", limit=900)
    assert story.appliance.volumes() == {"root", "srv", "swap", "twinboot-state"}
    story.appliance.power_off()
    assert regions(story.machine) == story.before


def test_a_data_migration_is_named_twice_and_the_ahci_machine_boots_what_was_tested(story: Story) -> None:
    story.offer("1.6")
    appliance = story.appliance if story.machine.running else Appliance.boot(story.machine)
    verdict = appliance.rehearse("--packages", "ledger")
    assert verdict["result"] == "PASS"
    (written,) = verdict["data_writes"]
    assert written["target"] == "/srv"
    assert any("ledger" in path for path in written["paths"])
    run = appliance.newest_run()
    told = appliance.read("promote", run, "--confirm", "0001", limit=900)
    assert "The patch wrote to /srv" in told
    appliance.reboot()
    proof = trial_kept(story.machine, run)
    assert proof.root == f"/dev/mapper/vg0-root--{run}"
    assert proof.ledger_answer.startswith("ledger 1.6 ")
    assert story.machine.shell().read("lsblk -dno TRAN /dev/sda").strip() == "sata"
    assert f"srv-{run}-safety" in story.machine.shell().read("lvs --noheadings -o lv_name vg0").split()
    story.machine.power_off()
