"""The circle on Debian 13: GRUB 2.12 under UEFI, Linux 6.12, systemd 257, apt 3.0, deb822 sources, dhcpcd."""

from __future__ import annotations

import base64
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
    goes_back_by_hand,
    install_the_next_kernel,
    offer_the_next_kernel,
    there,
)
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.installed import DEBIAN_13, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

PACKAGES = ("ledger", "linux-image-amd64")
INSTALLED = {"root", "srv", "swap", "twinboot-state"}


@dataclass
class Kept:
    """A Debian 13 that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    inspected: dict[str, Any]
    verdict: dict[str, Any]
    lease: bytes
    demanded: list[str]
    verified: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("debian13"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(DEBIAN_13)
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        # It has lived before: there are a lease, logs and somebody who was there.
        boot_without_stick(machine)
        machine.power_off()
        machine.insert_stick(stick_with_shell(folder))
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        verdict = appliance.rehearse("--packages", *PACKAGES)
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        demanded = shell.read("cat /var/lib/twinboot/tb1/expected").splitlines()
        lease = base64.b64decode(shell.run("base64 -w 76 /var/lib/dhcpcd/*.lease 2>/dev/null").text)
        verified = shell.run(f"dpkg -V linux-image-{proof.kernel} ledger").text
        machine.power_off()
        return Kept(machine, system, proof, inspected, verdict, lease, demanded, verified)


def test_it_is_rehearsed_and_no_changed_file_is_left_unexplained(kept: Kept) -> None:
    (system,) = kept.inspected["systems"]
    assert (system["os_id"], system["os_version"]) == ("debian", "13")
    assert kept.verdict["result"] == "PASS"
    assert kept.verdict["seal"] == "frozen"
    assert [f for f in kept.verdict["files"] if f["kind"] == "unexplained"] == []
    changed = {p["name"]: p["after"] for p in kept.verdict["packages"]}
    update = kept.system.offers.update
    assert changed["ledger"] == "1.1"
    assert changed[f"linux-image-{update.release}"] == update.lab_version


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    proof = kept.proof
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    assert proof.kernel == kept.system.offers.update.release
    assert f"root={NEW}" in proof.cmdline.split()
    assert proof.ledger_answer.startswith("ledger 1.1 ")
    assert kept.verified == "", "the new kernel's files in /boot are the package's own"
    assert kept.lease[236:240] == b"\x63\x82\x53\x63", "dhcpcd keeps the server's message as it came"
    assert "service ledger.service" in kept.demanded
    assert not [d for d in kept.demanded if d.startswith("gateway")], "a lab without a way out has no router"


def test_the_way_back_without_the_stick(kept: Kept) -> None:
    with kept.machine.fork() as machine:
        goes_back_by_hand(machine, kept.system)


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert proof.kernel == kept.system.offers.installed.release
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert there(machine.shell(), OURS) == []
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name_and_updates_its_kernel(
    kept: Kept, tmp_path: Path
) -> None:
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        offer_the_next_kernel(machine, kept.system, tmp_path)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        shell = machine.shell()
        assert there(shell, OURS) == []
        install_the_next_kernel(shell, kept.system)
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        assert proof.kernel == kept.system.offers.following.release
        machine.power_off()
