"""The circle on a plain partition: a second root in the free part of the disk, beside the first.

Until it is promoted no partition table lists it; kept, it gets the old root's number. Once for each file
system that a root is kept as.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.model.seen import BESIDE_ITSELF
from tests.e2e.test_circle import appliance_on, boot_without_stick, there
from tests.lab.appliance import Appliance
from tests.lab.circle import machine_with_stick, outliving, played, stick_with_shell, trial_kept
from tests.lab.installed import PLAIN, ROOT_UUID, InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

MIB = 1 << 20
ROOMY = replace(PLAIN, disk=8192)
"""With room for a second root, and for a third once the first has gone."""

LISTED = "sfdisk --json /dev/vda | grep -c '\"node\"'"


@dataclass
class Kept:
    """A machine with its root on a partition that has gone round, and as it was once it was rehearsed; both
    off. What was seen on the way."""

    machine: Machine
    rehearsed: Machine
    system: InstalledSystem
    verdict: dict[str, Any]
    before: list[str]
    listed: int
    plan: str
    proof: ProofOfBoot
    fstab: list[str]
    uuid: str

    @property
    def old(self) -> str:
        return self.system.spec.devices[0]

    @property
    def first(self) -> str:
        """What a plan calls the old root."""
        return f"part{self.old.removeprefix('/dev/vda')}"

    @property
    def numbers(self) -> int:
        """How many partitions were installed."""
        return len(self.system.spec.partitions)

    def close(self) -> None:
        self.machine.close()
        self.rehearsed.close()


@pytest.fixture(scope="module", params=sorted(BESIDE_ITSELF))
def kept(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    spec = replace(ROOMY, root_fs=request.param)
    story = played(lambda folder: _go_round(folder, spec), tmp_path_factory.mktemp("partition"))
    yield story
    story.close()


def _go_round(folder: Path, spec: SystemSpec) -> Kept:
    system = installed_system(spec)
    with outliving(machine_with_stick(system, folder, "1.1")) as rehearsed:
        name_root_by_uuid(rehearsed)
        before = hashes(rehearsed, spec)
        with appliance_on(rehearsed, stick_with_shell(folder)) as appliance:
            verdict = appliance.rehearse("--packages", "ledger")
            listed = partitions(appliance)
        with outliving(rehearsed.fork()) as machine:
            # Its stick went with it.
            appliance = Appliance.boot(machine)
            plan = appliance.read("promote", "tb1", "--dry-run")
            appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
            appliance.reboot()
            proof = trial_kept(machine)
            shell = machine.shell()
            fstab = shell.read("grep -v '^#' /etc/fstab").splitlines()
            uuid = shell.read(f"blkid -s UUID -o value {second(spec)}").strip()
            machine.power_off()
        return Kept(machine, rehearsed, system, verdict, before, listed, plan, proof, fstab, uuid)


def name_root_by_uuid(machine: Machine) -> None:
    """As Debian's installer leaves it: the lab's own GRUB was made where no UUID was to be found."""
    boot_without_stick(machine)
    machine.shell().read("update-grub 2>&1 && sync", 600)
    machine.power_off()


def second(spec: SystemSpec) -> str:
    """The partition that a second root is listed as."""
    return f"/dev/vda{len(spec.partitions) + 1}"


def hashes(machine: Machine, spec: SystemSpec) -> list[str]:
    """Of all that is in use before: the table's second copy lies at the end of the disk."""
    used = spec.partitions[-1][2] + spec.partitions[-1][3]
    regions = ((0, used * MIB), (spec.disk * MIB - MIB, MIB))
    return [machine.region_hash(*region) for region in regions]


def partitions(appliance: Appliance) -> int:
    return int(appliance.shell.read(LISTED))


def test_it_is_rehearsed_and_no_byte_of_a_partition_has_changed(kept: Kept) -> None:
    verdict = kept.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", True)
    assert [p["name"] for p in verdict["packages"]] == ["ledger"]
    ours = [f["path"] for f in verdict["files"] if "twinboot" in f["path"] or "fstab" in f["path"]]
    assert ours == [], "the metal's edits are no changes of the patch"
    assert hashes(kept.rehearsed, kept.system.spec) == kept.before and kept.listed == kept.numbers


def test_the_partition_table_is_among_the_writes_of_a_promotion(kept: Kept) -> None:
    assert "one entry of the partition table" in " ".join(kept.plan.split())


def test_the_metal_runs_the_partition_that_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (
        second(kept.system.spec),
        "1.1",
        (),
    )
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    (root,) = (line for line in kept.fstab if " / " in line)
    assert root.split()[0] == f"UUID={kept.uuid}" != f"UUID={ROOT_UUID}"


def test_retired_the_kept_system_has_the_old_root_s_number(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            assert kept.first in appliance.read("retire", "tb1", "--dry-run")
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert partitions(appliance) == kept.numbers
            (node,) = appliance.status()["lineage"]["nodes"]
            assert node["volume"] == kept.first and node["boots_next"]
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (kept.old, "1.1", ())
        shell = machine.shell()
        assert shell.read(f"blkid -s UUID -o value {kept.old}").strip() == kept.uuid
        assert shell.run("sfdisk --verify /dev/vda").status == 0
        ours = "/boot/twinboot /boot/grub/custom.cfg /root/TWINBOOT.txt /var/lib/twinboot /boot/*.twinboot"
        assert there(shell, ours) == []
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            assert appliance.status()["standing"]["history"], "its history is there still"
            appliance.read("undo", "--confirm", "0001", limit=900)
            assert "There is nothing of Twinboot" in appliance.twinboot("undo", "--dry-run").text


def test_rolled_back_the_old_system_runs_and_the_run_can_go(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (kept.old, "1.0", ())
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            assert partitions(appliance) == kept.numbers + 1, "nothing is deleted before"
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert partitions(appliance) == kept.numbers
            appliance.read("undo", "--confirm", "0001", limit=900)
        table = (0, MIB)
        assert machine.region_hash(*table) == kept.rehearsed.region_hash(*table)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (kept.old, "1.0")
        assert there(machine.shell(), "/boot/twinboot /boot/grub/custom.cfg") == []
        machine.power_off()


def test_a_promotion_is_refused_once_the_old_system_has_run(kept: Kept, tmp_path: Path) -> None:
    with kept.rehearsed.fork() as machine:
        boot_without_stick(machine)
        machine.power_off()
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            refused = appliance.twinboot("promote", "tb1", "--confirm", "0001")
            assert refused.status == 3
            assert "The old system has run since the snapshot" in refused.text
