"""The commonest machine room: thick LVM, XFS, BLS entries, no free extent. No room is not a dead end.

The copy lies on the stick or in memory, the verdict is full, and not one byte of the machine's disk changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.appliance import PROGRAM, REHEARSAL, Appliance
from tests.lab.bls import FULL_BLS
from tests.lab.circle import lent, machine_with_stick, outliving, report_of, stick_with_shell
from tests.lab.console import Answer
from tests.lab.installed import InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.native import LabError, run, tail
from tests.lab.stick import fetch

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

STICK = 3072
"""MiB: the image, room for a copy of what ledger's update writes, and for the report."""
MEMORY_RUNS = "/run/twinboot/memory/runs"
ONLY = ("--rehearse-only", "--store")
LEFT = "dmsetup ls | grep copy; losetup --list --noheadings | grep -e copies -e mapper; ls /run/twinboot/data"


@dataclass
class Rehearsed:
    """A full machine after a rehearsal with its copy on the stick, off again; what was said on the way."""

    machine: Machine
    system: InstalledSystem
    folder: Path
    refused: Answer
    verdict: dict[str, Any]
    node: dict[str, Any]
    left: str
    promote: Answer
    volumes: set[str]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    yield from lent(_rehearse, tmp_path_factory.mktemp("no-room"))


def full_machine(folder: Path) -> tuple[Machine, InstalledSystem]:
    """Ledger 1.1 is on offer; the stick is larger than its image, as real ones are."""
    system = installed_system(FULL_BLS)
    machine = machine_with_stick(system, folder, "1.1")
    machine.pull_stick()
    machine.insert_stick(stick_with_shell(folder), STICK)
    return machine, system


def _rehearse(folder: Path) -> Rehearsed:
    machine, system = full_machine(folder)
    with outliving(machine):
        appliance = Appliance.boot(machine)
        refused = appliance.twinboot("rehearse", "--packages", "ledger")
        verdict = rehearse_only(appliance, "stick", "--packages", "ledger")
        (node,) = [n for n in appliance.status()["lineage"]["nodes"] if n["run"]]
        left = appliance.shell.run(LEFT).text
        promote = appliance.twinboot("promote", "tb1", "--confirm", "0001")
        volumes = appliance.volumes()
        appliance.power_off()
        return Rehearsed(machine, system, folder, refused, verdict, node, left, promote, volumes)


def rehearse_only(appliance: Appliance, store: str, *words: str) -> dict[str, Any]:
    """To the end; the verdict, which lies in memory."""
    answer = appliance.twinboot("rehearse", *words, *ONLY, store, limit=REHEARSAL)
    verdict = appliance.shell.run(f"cat {MEMORY_RUNS}/tb1/verdict.json")
    if verdict.status != 0:
        raise LabError(f"tb1 has no verdict:\n{tail(answer.text, 80)}")
    return dict(json.loads(verdict.text))


def unchanged(machine: Machine, system: InstalledSystem) -> None:
    """Every byte of the machine's whole disk is what was installed; the machine must be off."""
    run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", system.disk, machine.disk, timeout=600)


def test_the_refusal_names_the_way_on_and_the_ways_to_make_room(rehearsed: Rehearsed) -> None:
    said = rehearsed.refused
    assert said.status == 3
    assert "MiB free in the volume group" in said.text
    assert "--rehearse-only --store with one of stick, ram" in said.text
    assert "Make the swap volume vg0/swap" in said.text and "Price: that much less to swap to" in said.text
    assert "XFS, can not be made smaller" in said.text


def test_the_verdict_is_full_and_says_that_there_is_nothing_to_promote(rehearsed: Rehearsed) -> None:
    verdict = rehearsed.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", False)
    assert verdict["rehearsed_only"] == "the stick"
    assert [p["name"] for p in verdict["packages"]] == ["ledger"]
    assert any(f["path"].endswith("ledger") and f["kind"] == "package" for f in verdict["files"])
    assert [f["path"] for f in verdict["files"] if "twinboot" in f["path"]] == []
    assert verdict["ways"]


def test_it_can_not_be_promoted_and_the_reason_is_said(rehearsed: Rehearsed) -> None:
    assert rehearsed.promote.status == 3
    assert "tb1 was rehearsed only" in rehearsed.promote.text
    assert "nothing to promote" in rehearsed.promote.text
    assert rehearsed.node["state"] == "TESTED" and rehearsed.node["rehearsed_only"]


def test_not_one_byte_of_the_machines_disk_changed(rehearsed: Rehearsed) -> None:
    assert rehearsed.volumes == {"root", "swap"}
    unchanged(rehearsed.machine, rehearsed.system)


def test_the_report_is_on_the_stick_and_nothing_else_of_the_run(rehearsed: Rehearsed, tmp_path: Path) -> None:
    assert "twinboot-copies" not in rehearsed.left and "copy" not in rehearsed.left
    stick = rehearsed.machine.pull_stick()
    assert stick is not None
    (report,) = fetch(stick, "reports", tmp_path).rglob("report.txt")
    text = report.read_text()
    assert "RESULT    PASS, REHEARSED ONLY" in text
    assert "WAYS TO MAKE ROOM, AND THEIR PRICE" in text
    assert "origin, /boot and ESP unchanged: held" in text


def test_a_copy_in_memory_does_as_well(tmp_path: Path) -> None:
    machine, system = full_machine(tmp_path)
    with machine:
        appliance = Appliance.boot(machine)
        verdict = rehearse_only(appliance, "ram", "--nothing")
        assert (verdict["result"], verdict["rehearsed_only"]) == ("PASS", "memory")
        assert "tmpfs" not in appliance.shell.run("findmnt -n /run/twinboot/copies").text
        appliance.power_off()
        unchanged(machine, system)
        assert "REHEARSED ONLY" in report_of(machine, tmp_path)


def test_neither_a_killed_engine_nor_a_power_cut_leaves_anything(tmp_path: Path) -> None:
    machine, system = full_machine(tmp_path)
    with machine:
        appliance = Appliance.boot(machine)
        _until_the_twin_runs(appliance)
        # Its socket outlives it: only an answer says that the next one is there.
        appliance.shell.read("systemctl kill -s KILL twinboot-engine; sleep 5")
        appliance.shell.read(f"until {PROGRAM} status >/dev/null 2>&1; do sleep 2; done", limit=300)
        appliance.shell.read(f"until ! ({LEFT}) | grep -q cop; do sleep 2; done", limit=900)
        _until_the_twin_runs(appliance)
        machine.kill()
        unchanged(machine, system)
        again = Appliance.boot(machine)
        again.status()
        again.shell.read("while [ -e /run/twinboot/data/twinboot-copies ]; do sleep 2; done", limit=300)
        again.power_off()
        unchanged(machine, system)


def _until_the_twin_runs(appliance: Appliance) -> None:
    act = f"{PROGRAM} rehearse --nothing {' '.join(ONLY)} stick >/run/rehearse.log 2>&1"
    appliance.shell.read(f"({act}) &")
    appliance.shell.read("until pgrep qemu-system; do sleep 2; done", limit=REHEARSAL)
