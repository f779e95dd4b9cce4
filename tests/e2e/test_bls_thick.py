"""As RHEL's installer leaves it: a linear root of XFS, and GRUB's entries in /boot/loader/entries (blscfg).

With room in the volume group it goes all the way round; without, it is rehearsed with the copy on the stick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_bls import Boot, boot_of
from tests.e2e.test_circle import NEW, OLD, boot_without_stick, goes_back_by_hand, there
from tests.e2e.test_no_room import STICK, rehearse_only, unchanged
from tests.lab.appliance import Appliance
from tests.lab.bls import FULL_BLS, THICK_BLS
from tests.lab.circle import lent, machine_with_stick, outliving, report_of, stick_with_shell, trial_kept
from tests.lab.installed import InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

PACKAGES = ("ledger", "linux-image-amd64")
KIND = Kind(frozenset({"root", "swap", "twinboot-state"}))


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    before: Boot
    verdict: dict[str, Any]
    proof: ProofOfBoot
    after: Boot


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("bls-thick"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(THICK_BLS)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        boot_without_stick(machine)
        before = boot_of(machine.shell())
        machine.power_off()
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        verdict = appliance.rehearse("--packages", *PACKAGES)
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        after = boot_of(machine.shell())
        machine.power_off()
        return Kept(machine, system, before, verdict, proof, after)


def test_it_is_rehearsed_and_no_changed_file_is_left_unexplained(kept: Kept) -> None:
    assert (kept.verdict["result"], kept.verdict["seal"]) == ("PASS", "frozen")
    assert [f for f in kept.verdict["files"] if f["kind"] == "unexplained"] == []
    installed = kept.system.offers.installed.release
    assert kept.before.roots == {installed: OLD} and kept.before.saved == installed


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    offers = kept.system.offers
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.kernel == kept.after.saved == offers.update.release
    assert kept.after.roots == {offers.installed.release: NEW, offers.update.release: NEW}
    assert kept.after.config == kept.before.config, "grub.cfg names no root, and stays"


def test_the_way_back_without_the_stick(kept: Kept) -> None:
    with kept.machine.fork() as machine:
        goes_back_by_hand(machine, kept.system)


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert boot_of(shell) == kept.before
        assert there(shell, "/boot/vmlinuz-*") == [f"/boot/vmlinuz-{kept.before.saved}"]
        machine.power_off()


def test_retired_it_is_merged_and_every_entry_boots_the_root_volume(kept: Kept, tmp_path: Path) -> None:
    offers = kept.system.offers
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        found = boot_of(machine.shell())
        assert found.roots == {offers.installed.release: OLD, offers.update.release: OLD}
        assert (found.saved, found.config) == (offers.update.release, kept.before.config)
        machine.power_off()


def test_without_a_free_extent_it_is_rehearsed_and_not_one_byte_of_the_disk_changes(tmp_path: Path) -> None:
    system = installed_system(FULL_BLS)
    machine = machine_with_stick(system, tmp_path, "1.1")
    machine.pull_stick()
    machine.insert_stick(stick_with_shell(tmp_path), STICK)
    with machine:
        appliance = Appliance.boot(machine)
        refused = appliance.twinboot("rehearse", "--packages", "ledger")
        assert refused.status == 3 and "--rehearse-only --store with one of stick, ram" in refused.text
        verdict = rehearse_only(appliance, "stick", "--packages", "ledger")
        assert (verdict["result"], verdict["rehearsed_only"]) == ("PASS", "the stick")
        assert [p["name"] for p in verdict["packages"]] == ["ledger"] and verdict["ways"]
        assert appliance.volumes() == {"root", "swap"}
        appliance.power_off()
        unchanged(machine, system)
        report = report_of(machine, tmp_path)
        assert "PASS, REHEARSED ONLY" in report and "WAYS TO MAKE ROOM, AND THEIR PRICE" in report
