"""The circle on a plain partition of a full disk: the second root goes into an empty partition that is named.

Until a promotion the partition table stays what it was; kept and retired, the two have changed places.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import appliance_on, boot_without_stick, cut_a_retire, there
from tests.e2e.test_partition_circle import ROOMY, hashes
from tests.lab.appliance import Appliance
from tests.lab.circle import machine_with_stick, outliving, played, stick_with_shell, trial_kept
from tests.lab.installed import ROOT, ROOT_UUID, SWAP, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

MIB = 1 << 20
OLD, SPARE = f"/dev/vda{ROOT}", "/dev/vda6"
TABLE = ((0, MIB), (ROOMY.disk * MIB - MIB, MIB))
"""Where the two copies of the table lie, in bytes, with what is beside them."""

EMPTIED = f'[ -z "$(wipefs --noheadings {OLD})" ]'
"""What holds as soon as a retire can not be taken back."""

Places = dict[str, tuple[int, int]]
"""Beginning and size of each partition, in sectors."""


@dataclass
class Kept:
    """A machine that has gone round, and as it was once rehearsed; both off. What was seen on the way."""

    machine: Machine
    rehearsed: Machine
    before: list[str]
    places: list[Places]
    refused: str
    swap: str
    plan: str
    verdict: dict[str, Any]
    proof: ProofOfBoot
    uuid: str

    def close(self) -> None:
        self.machine.close()
        self.rehearsed.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    story = played(_go_round, tmp_path_factory.mktemp("named"))
    yield story
    story.close()


def _go_round(folder: Path) -> Kept:
    system = installed_system(ROOMY)
    with outliving(machine_with_stick(system, folder, "1.1")) as rehearsed:
        fill_the_disk(rehearsed)
        before = hashes(rehearsed, ROOMY)
        with appliance_on(rehearsed, stick_with_shell(folder)) as appliance:
            places = [places_on(appliance)]
            refused = appliance.twinboot("rehearse", "--packages", "ledger").text
            swap = appliance.twinboot("rehearse", "--packages", "ledger", "--into", f"/dev/vda{SWAP}").text
            plan = appliance.read("rehearse", "--packages", "ledger", "--into", SPARE, "--dry-run")
            verdict = appliance.rehearse("--packages", "ledger", "--into", SPARE)
            places.append(places_on(appliance))
        with outliving(rehearsed.fork()) as machine:
            # Its stick went with it.
            appliance = Appliance.boot(machine)
            appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
            places.append(places_on(appliance))
            appliance.reboot()
            proof = trial_kept(machine)
            uuid = machine.shell().read(f"blkid -s UUID -o value {SPARE}").strip()
            machine.power_off()
        return Kept(machine, rehearsed, before, places, refused, swap, plan, verdict, proof, uuid)


def fill_the_disk(machine: Machine) -> None:
    """A partition for whatever may come takes the rest, as some technicians leave it; and GRUB names the root
    by its UUID, as Debian's installer leaves it."""
    boot_without_stick(machine)
    shell = machine.shell()
    shell.read("update-grub 2>&1 && sync", 600)
    shell.read("echo 'type=L' | sfdisk --append --force --no-reread --no-tell-kernel /dev/vda 2>&1 && sync")
    machine.power_off()


def places_on(appliance: Appliance) -> Places:
    said = json.loads(appliance.shell.read("sfdisk --json /dev/vda"))["partitiontable"]["partitions"]
    return {part["node"]: (part["start"], part["size"]) for part in said}


def test_without_room_the_refusal_names_the_empty_partition(kept: Kept) -> None:
    said = " ".join(kept.refused.split())
    assert "in one piece that no partition takes" in said
    assert f"name it for the second root (I on the new rehearsal, or --into {SPARE})" in said


def test_one_that_holds_something_is_refused(kept: Kept) -> None:
    said = " ".join(kept.swap.split())
    assert f"/dev/vda{SWAP} holds swap" in said and "only a partition that holds nothing is taken" in said


def test_it_is_rehearsed_and_neither_table_nor_another_partition_has_changed(kept: Kept) -> None:
    assert "what lies in it is overwritten" in " ".join(kept.plan.split())
    verdict = kept.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", True)
    assert [p["name"] for p in verdict["packages"]] == ["ledger"]
    assert hashes(kept.rehearsed, ROOMY) == kept.before and kept.places[1] == kept.places[0]


def test_the_metal_runs_the_partition_that_was_named_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (SPARE, "1.1", ())
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    was, now = kept.places[0], kept.places[2]
    assert {**was, SPARE: now[SPARE]} == now, "all others lie where they did"
    assert now[SPARE][1] == was[OLD][1] and now[SPARE][0] > was[SPARE][0]
    assert kept.uuid not in ("", ROOT_UUID)


def test_retired_through_a_power_cut_the_two_have_changed_places(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    was = kept.places[2]
    with kept.machine.fork() as machine:
        cut_a_retire(machine, stick, EMPTIED)
        proof = boot_without_stick(machine)
        assert (proof.ledger, proof.failed_units) == ("1.1", ()), "the kept system, by its own UUID"
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.recovered()
            assert places_on(appliance) == {**was, OLD: was[SPARE], SPARE: was[OLD]}
            assert appliance.shell.run(f"wipefs --noheadings {SPARE}").text.strip() == ""
            (node,) = appliance.status()["lineage"]["nodes"]
            assert node["volume"] == f"part{ROOT}" and node["boots_next"]
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        shell = machine.shell()
        assert shell.read(f"blkid -s UUID -o value {OLD}").strip() == kept.uuid
        assert shell.run("sfdisk --verify /dev/vda").status == 0
        ours = "/boot/twinboot /boot/grub/custom.cfg /root/TWINBOOT.txt /var/lib/twinboot /boot/*.twinboot"
        assert there(shell, ours) == []
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            assert appliance.status()["standing"]["history"], "its history is there still"
            appliance.read("undo", "--confirm", "0001", limit=900)
            assert "There is nothing of Twinboot" in appliance.twinboot("undo", "--dry-run").text


def test_rolled_back_and_undone_the_table_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert places_on(appliance) == kept.places[0]
            assert appliance.status()["standing"]["history"], "it lies inside that partition"
            appliance.read("undo", "--confirm", "0001", limit=900)
            assert "There is nothing of Twinboot" in appliance.twinboot("undo", "--dry-run").text
        for region in TABLE:
            assert machine.region_hash(*region) == kept.rehearsed.region_hash(*region)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        assert there(machine.shell(), "/boot/twinboot /boot/grub/custom.cfg") == []
        machine.power_off()
