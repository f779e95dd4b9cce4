"""The circle where /boot is a folder of the root: a partition of ext4, as the simplest installs have it.

GRUB goes on reading the old root's /boot; from keep on that leads to the kept root's own grub.cfg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import (
    appliance_on,
    boot_without_stick,
    install_the_next_kernel,
    offer_the_next_kernel,
    there,
)
from tests.e2e.test_partition_circle import MIB, ROOMY, hashes, partitions, second
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Answer
from tests.lab.installed import ROOT_UUID, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

BOOT = "/dev/vda3"
"""What was /boot, before it moved into the root."""

MOVE = (
    "umount /boot/efi && cp -a /boot /boot.in && umount /boot && rmdir /boot && mv /boot.in /boot",
    "sed -i '\\|[[:space:]]/boot[[:space:]]|d; \\|[[:space:]]/boot/efi[[:space:]]|d' /etc/fstab",
    f"wipefs -qa {BOOT} && rm -rf /boot/lost+found && systemctl daemon-reload && udevadm settle",
    "grub-install /dev/vda 2>&1 && update-grub 2>&1 && sync",
)
"""On the running system: by its own tools, as an installer would have left it without a partition for it."""

OURS = "/boot/twinboot /boot/grub/custom.cfg"
OLD = ROOMY.devices[0]
NEW = second(ROOMY)


@dataclass
class Kept:
    """A machine with /boot in its root that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    verdict: dict[str, Any]
    table: str
    before: list[str]
    rehearsed: list[str]
    config: str
    plan: str
    proof: ProofOfBoot
    uuid: str
    ours: list[str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("inside"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(ROOMY)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        config = move_boot_into_the_root(machine)
        table, before = machine.region_hash(0, MIB), hashes(machine, ROOMY)
        with appliance_on(machine, stick_with_shell(folder)) as appliance:
            (found,) = appliance.inspect()["systems"]
            assert [t["code"] for t in found["trouble"] if t["refuses"]] == []
            verdict = appliance.rehearse("--packages", "ledger")
        rehearsed = hashes(machine, ROOMY)
        appliance = Appliance.boot(machine)
        plan = appliance.read("promote", "tb1", "--dry-run")
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        uuid = shell.read(f"blkid -s UUID -o value {NEW}").strip()
        ours = there(shell, OURS)
        machine.power_off()
        return Kept(machine, system, verdict, table, before, rehearsed, config, plan, proof, uuid, ours)


def move_boot_into_the_root(machine: Machine) -> str:
    """The machine as it would be without a partition for /boot; its grub.cfg then."""
    boot_without_stick(machine)
    shell = machine.shell()
    for step in MOVE:
        shell.read(step, 900)
    machine.power_off()
    proof = boot_without_stick(machine)
    assert proof.root == OLD and f"root=UUID={ROOT_UUID}" in proof.cmdline.split()
    shell = machine.shell()
    assert shell.run("findmnt /boot").status != 0
    config = shell.read("sha256sum /boot/grub/grub.cfg")
    machine.power_off()
    return config


def said(answer: Answer) -> str:
    """Without the line breaks of its page."""
    return " ".join(answer.text.split())


def test_it_is_rehearsed_and_no_byte_of_a_partition_has_changed(kept: Kept) -> None:
    verdict = kept.verdict
    assert (verdict["result"], verdict["seal"], verdict["proof_boot"]) == ("PASS", "frozen", True)
    assert kept.rehearsed == kept.before


def test_what_is_written_into_the_old_root_is_said_beforehand(kept: Kept) -> None:
    told = " ".join(kept.plan.split())
    assert f"/boot lies in the old root volume {OLD}" in told and "can not be retired" in told


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    proof = kept.proof
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    assert f"root=UUID={kept.uuid}" in proof.cmdline.split() and kept.uuid != ROOT_UUID
    assert kept.ours == ["/boot/grub/custom.cfg"], "its own /boot has the way to the old one's"


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert partitions(appliance) == len(ROOMY.partitions)
            appliance.read("undo", "--confirm", "0001", limit=900)
        assert machine.region_hash(0, MIB) == kept.table
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel) == (OLD, kept.system.offers.installed.release)
        assert "twinboot" not in proof.cmdline
        shell = machine.shell()
        assert there(shell, OURS) == []
        assert there(shell, "/boot/vmlinuz-*") == [f"/boot/vmlinuz-{proof.kernel}"]
        assert shell.read("sha256sum /boot/grub/grub.cfg") == kept.config
        machine.power_off()


def test_kept_its_own_grub_cfg_decides_and_its_next_kernel_boots(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        offer_the_next_kernel(machine, kept.system, tmp_path)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel) == (NEW, kept.system.offers.installed.release)
        assert "twinboot" not in proof.cmdline
        shell = machine.shell()
        assert shell.read("findmnt -rno TARGET").count("/run/twinboot") == 0, "the old root is left alone"
        install_the_next_kernel(shell, kept.system)
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel) == (NEW, kept.system.offers.following.release)
        machine.power_off()
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            (node,) = [n for n in appliance.status()["lineage"]["nodes"] if n["run"]]
            assert (node["state"], node["boots_next"]) == ("KEPT", True)
            refused = appliance.twinboot("retire", "tb1", "--confirm", "0001")
            assert refused.status == 3 and "GRUB's own files lie in the /boot of the old root" in said(
                refused
            )
            assert appliance.twinboot("undo", "--confirm", "0001").status == 3
            again = appliance.twinboot("rehearse", "--packages", "ledger")
            assert again.status == 3 and "another run of it can not be promoted" in said(again)


def test_back_by_hand_without_the_stick(kept: Kept) -> None:
    """/root/TWINBOOT.txt: one sector, in the old root."""
    with kept.machine.fork() as machine:
        boot_without_stick(machine)
        shell = machine.shell()
        lines = [line.strip() for line in shell.read("cat /root/TWINBOOT.txt").splitlines()]
        shell.read(" && ".join(lines[lines.index(f"mount UUID={ROOT_UUID} /mnt") :][:3]) + " 2>&1")
        machine.power_off()
        assert boot_without_stick(machine).root == OLD
        machine.power_off()
