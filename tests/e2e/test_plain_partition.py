"""A root on a partition, its copy on the stick: not one byte of the machine changes.

One of ext4 that GRUB names by its device, so that a second one could not be told from it; one of btrfs
without room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_no_room import LEFT, STICK, rehearse_only, unchanged
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell
from tests.lab.console import Answer
from tests.lab.installed import BTRFS, PLAIN, SMALL_BTRFS, InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.stick import fetch

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]


@dataclass
class Rehearsed:
    """The machine after a rehearsal with its copy on the stick, off again; what was said on the way."""

    machine: Machine
    system: InstalledSystem
    found: dict[str, Any]
    refused: Answer
    verdict: dict[str, Any]
    node: dict[str, Any]
    left: str
    promote: Answer


@pytest.fixture(scope="module", params=[PLAIN, SMALL_BTRFS], ids=["ext4", "btrfs"])
def rehearsed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rehearsed]:
    yield from lent(lambda folder: _rehearse(folder, request.param), tmp_path_factory.mktemp("plain"))


def _rehearse(folder: Path, spec: SystemSpec) -> Rehearsed:
    """Ledger 1.1 is on offer; the stick is larger than its image, as real ones are."""
    system = installed_system(spec)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        machine.pull_stick()
        machine.insert_stick(stick_with_shell(folder), STICK)
        appliance = Appliance.boot(machine)
        (found,) = appliance.inspect()["systems"]
        refused = appliance.twinboot("rehearse", "--packages", "ledger")
        verdict = rehearse_only(appliance, "stick", "--packages", "ledger")
        (node,) = [n for n in appliance.status()["lineage"]["nodes"] if n["run"]]
        left = appliance.shell.run(LEFT).text
        promote = appliance.twinboot("promote", "tb1", "--confirm", "0001")
        appliance.power_off()
        return Rehearsed(machine, system, found, refused, verdict, node, left, promote)


def test_the_system_is_known_for_what_it_is(rehearsed: Rehearsed) -> None:
    (root, _), spec = PLAIN.devices, rehearsed.system.spec
    kept = "btrfs" if spec.root_fs == BTRFS else "partition"
    assert (rehearsed.found["root"]["device"], rehearsed.found["root"]["storage"]) == (root, kept)
    assert [t["code"] for t in rehearsed.found["trouble"] if t["refuses"]] == []


def test_it_is_refused_with_the_way_on(rehearsed: Rehearsed) -> None:
    said = rehearsed.refused
    assert said.status == 3
    why = "The loader names the root on /dev/vda4 as /dev/vda4: only one named by its UUID"
    if rehearsed.system.spec.root_fs == BTRFS:
        why = "MiB of the btrfs on /dev/vda4, which has"
    assert why in " ".join(said.text.split())
    assert "--rehearse-only --store with one of stick, ram" in " ".join(said.text.split())


def test_the_verdict_is_full_and_says_that_there_is_nothing_to_promote(rehearsed: Rehearsed) -> None:
    verdict = rehearsed.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", False)
    assert verdict["rehearsed_only"] == "the stick"
    btrfs = rehearsed.system.spec.root_fs == BTRFS
    assert len(verdict["ways"]) == btrfs
    root = PLAIN.devices[0] + ("[/@rootfs]" if btrfs else "")
    assert verdict["control"]["root"] == verdict["patched"]["root"] == root
    assert [p["name"] for p in verdict["packages"]] == ["ledger"]
    assert any(f["path"].endswith("ledger") and f["kind"] == "package" for f in verdict["files"])
    assert [f["path"] for f in verdict["files"] if "twinboot" in f["path"]] == []


def test_it_can_not_be_promoted_and_the_reason_is_said(rehearsed: Rehearsed) -> None:
    assert rehearsed.promote.status == 3
    assert "tb1 was rehearsed only" in rehearsed.promote.text
    assert rehearsed.node["state"] == "TESTED" and rehearsed.node["rehearsed_only"]


def test_not_one_byte_of_the_machines_disk_changed(rehearsed: Rehearsed) -> None:
    unchanged(rehearsed.machine, rehearsed.system)


def test_the_report_is_on_the_stick_and_nothing_else_of_the_run(rehearsed: Rehearsed, tmp_path: Path) -> None:
    assert "twinboot-copies" not in rehearsed.left and "copy" not in rehearsed.left
    stick = rehearsed.machine.pull_stick()
    assert stick is not None
    (report,) = fetch(stick, "reports", tmp_path).rglob("report.txt")
    text = report.read_text()
    assert "RESULT    PASS, REHEARSED ONLY" in text
    assert ("WAYS TO MAKE ROOM" in text) is (rehearsed.system.spec.root_fs == BTRFS)
    assert "origin, /boot and ESP unchanged: held" in text
