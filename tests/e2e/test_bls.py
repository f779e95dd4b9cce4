"""The circle where GRUB makes its entries of /boot/loader/entries (blscfg): 2.14 on Debian 13, by a BIOS.

The system's own scripts have the form of Fedora's and RHEL's: a kernel's package runs kernel-install, whose
plugin writes the entry of /etc/kernel/cmdline and saves it as the default. grub.cfg never changes.

Once with a thin root, once with the linear one of XFS that RHEL's installer leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, retire, rolled_back_and_retired
from tests.e2e.test_circle import (
    NEW,
    OLD,
    boot_without_stick,
    goes_back_by_hand,
    install_the_next_kernel,
    offer_the_next_kernel,
    there,
)
from tests.lab.appliance import Appliance
from tests.lab.bls import THICK_BLS, THIN_BLS
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot
from tests.lab.tree import MACHINE_ID

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

PACKAGES = ("ledger", "linux-image-amd64")
ENTRIES = "/boot/loader/entries"
CONFIG = "sha256sum /boot/grub/grub.cfg"


@dataclass(frozen=True)
class Boot:
    """What GRUB has to go by, as the running system reads it: the root of each entry by kernel, and what is
    saved."""

    roots: dict[str, str]
    saved: str
    config: str


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    before: Boot
    planned: str
    proof: ProofOfBoot
    inspected: dict[str, Any]
    verdict: dict[str, Any]
    after: Boot

    @property
    def kind(self) -> Kind:
        data = {"srv"} if self.system.spec.srv else set()
        return Kind(frozenset({"root", "swap", "twinboot-state"} | data))


def boot_of(shell: Console) -> Boot:
    said = shell.read(f"grep -H ^options {ENTRIES}/*.conf").splitlines()
    pairs = (line.partition(".conf:options ") for line in said)
    roots = {
        file.rpartition("/")[2].removeprefix(f"{MACHINE_ID}-"): words.split()[0].removeprefix("root=")
        for file, _, words in pairs
    }
    saved = shell.read("grub-editenv - list | grep ^saved_entry=").strip()
    return Boot(roots, saved.removeprefix(f"saved_entry={MACHINE_ID}-"), shell.read(CONFIG))


@pytest.fixture(scope="module", params=[THIN_BLS, THICK_BLS], ids=["thin", "thick"])
def kept(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    spec: SystemSpec = request.param
    yield from lent(lambda folder: _go_round(folder, spec), tmp_path_factory.mktemp("bls"))


def _go_round(folder: Path, spec: SystemSpec) -> Kept:
    system = installed_system(spec)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        # It has lived before: there are a lease and logs.
        boot_without_stick(machine)
        before = boot_of(machine.shell())
        machine.power_off()
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        verdict = appliance.rehearse("--packages", *PACKAGES)
        planned = appliance.read("promote", "tb1", "--dry-run")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        after = boot_of(machine.shell())
        machine.power_off()
        return Kept(machine, system, before, planned, proof, inspected, verdict, after)


def test_it_is_rehearsed_and_no_changed_file_is_left_unexplained(kept: Kept) -> None:
    (system,) = kept.inspected["systems"]
    installed, update = kept.system.offers.installed, kept.system.offers.update
    assert system["loader"]["bls"] is True
    assert kept.before.roots == {installed.release: OLD} and kept.before.saved == installed.release
    assert (kept.verdict["result"], kept.verdict["seal"]) == ("PASS", "frozen")
    assert [f for f in kept.verdict["files"] if f["kind"] == "unexplained"] == []
    changed = {p["name"]: p["after"] for p in kept.verdict["packages"]}
    assert (changed["ledger"], changed[f"linux-image-{update.release}"]) == ("1.1", update.lab_version)
    assert f"the entries that keep puts into {ENTRIES}" in " ".join(kept.planned.split())


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    proof, offers = kept.proof, kept.system.offers
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    assert proof.kernel == offers.update.release
    assert kept.after.roots == {offers.installed.release: NEW, offers.update.release: NEW}
    assert kept.after.saved == offers.update.release
    assert kept.after.config == kept.before.config, "grub.cfg names no root, and stays"


def test_the_way_back_without_the_stick(kept: Kept) -> None:
    with kept.machine.fork() as machine:
        goes_back_by_hand(machine, kept.system)


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, kept.kind, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert boot_of(shell) == kept.before
        assert there(shell, "/boot/vmlinuz-*") == [f"/boot/vmlinuz-{kept.before.saved}"]
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name_and_updates_its_kernel(
    kept: Kept, tmp_path: Path
) -> None:
    offers = kept.system.offers
    with kept.machine.fork() as machine:
        retire(machine, kept.kind, stick_with_shell(tmp_path))
        offer_the_next_kernel(machine, kept.system, tmp_path)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        assert "twinboot" not in proof.cmdline
        shell = machine.shell()
        assert there(shell, OURS) == []
        found = boot_of(shell)
        assert set(found.roots.values()) == {OLD} and found.saved == offers.update.release
        assert shell.read("cat /etc/kernel/cmdline").split()[0] == f"root={OLD}"
        install_the_next_kernel(shell, kept.system)
        found = boot_of(shell)
        assert found.roots[offers.following.release] == OLD and found.saved == offers.following.release
        assert found.config == kept.before.config
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        assert proof.kernel == offers.following.release
        machine.power_off()
