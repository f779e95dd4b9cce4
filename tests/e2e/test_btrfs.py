"""The circle on btrfs: twins on a copy over the partition; send and receive bring home what was sealed.

Once with the root's subvolume named in fstab and for the kernel (@), once as the file system's default.
/home is a subvolume of its own in the same file system: nothing of it may change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import appliance_on, boot_without_stick, refused_once_the_old_system_has_run, there
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import (
    BTRFS_BY_DEFAULT,
    LETTER,
    PLAIN_BTRFS,
    InstalledSystem,
    SystemSpec,
    installed_system,
)
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

ROOT, _ = PLAIN_BTRFS.devices
OLD, NEW = f"{ROOT}[/@rootfs]", f"{ROOT}[/twinboot/@rootfs-tb1]"
INSTALLED = {"@rootfs", "@home"}
STATE = {"twinboot/.files"}
UNDONE = "twinboot/@home-tb1-undone"
OF_TB1 = {f"twinboot/@rootfs-tb1{end}" for end in ("", "-base", "-sealed")}
AT_TOP = (
    "mkdir -p /tmp/top; for try in 1 2 3 4 5; do "
    "mount -t btrfs -o ro,rescue=nologreplay,subvolid=5 {root} /tmp/top && break; sleep 3; done; "
    "mountpoint -q /tmp/top && ({what}; true); umount /tmp/top"
)
"""The engine may look at the same time, and for a moment nobody else may mount the file system."""
FILES = (
    "cd /tmp/top/@home && find . -printf '%p %m %U %s %T@\\n' | sort | sha256sum; cd /; "
    "cat /tmp/top/@home/letter"
)


@dataclass
class Kept:
    """A btrfs machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    verdict: dict[str, Any]
    after_rehearsal: set[str]
    home: tuple[str, str]
    told: str
    edits: list[str]
    by_default: str

    @property
    def subvolumes_told(self) -> tuple[str, str]:
        """What is the default subvolume while the old system is the machine's own, and the new one."""
        if not self.system.spec.by_default:
            return "(FS_TREE)", "(FS_TREE)"
        return "@rootfs", "twinboot/@rootfs-tb1"


@pytest.fixture(scope="module", params=[PLAIN_BTRFS, BTRFS_BY_DEFAULT], ids=["@", "default"])
def kept(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    spec: SystemSpec = request.param
    yield from lent(lambda folder: _go_round(folder, spec), tmp_path_factory.mktemp("btrfs"))


def _go_round(folder: Path, spec: SystemSpec) -> Kept:
    system = installed_system(spec)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        appliance = Appliance.boot(machine)
        before = at_top(appliance, FILES)
        verdict = appliance.rehearse("--packages", "ledger")
        volumes, home = subvolumes(appliance), (before, at_top(appliance, FILES))
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        shell = machine.shell()
        edits = shell.read("grep -v '^#' /etc/fstab").splitlines()
        by_default = default_subvolume(shell)
        machine.power_off()
        return Kept(machine, system, proof, verdict, volumes, home, told, edits, by_default)


def at_top(appliance: Appliance, what: str) -> str:
    return appliance.shell.read(AT_TOP.format(root=ROOT, what=what))


def subvolumes(appliance: Appliance) -> set[str]:
    """The paths of all of them, but those that systemd makes inside its root."""
    listed = at_top(appliance, "btrfs subvolume list /tmp/top").splitlines()
    paths = {line.partition(" path ")[2] for line in listed if " path " in line}
    return {path for path in paths if "/var/lib/" not in path}


def default_subvolume(shell: Console) -> str:
    """The path of the one that a mount takes unasked, as the machine's own system says."""
    return shell.read("btrfs subvolume get-default /").split()[-1]


def files_of_ours(appliance: Appliance) -> str:
    return at_top(appliance, "find /tmp/top/twinboot -mindepth 1 -maxdepth 2 2>/dev/null")


def test_a_btrfs_root_is_rehearsed_and_only_base_sealed_and_trial_stay(kept: Kept) -> None:
    assert (kept.verdict["result"], kept.verdict["seal"], kept.verdict["proof_boot"]) == (
        "PASS",
        "frozen",
        True,
    )
    assert kept.after_rehearsal == INSTALLED | STATE | OF_TB1
    assert [p["name"] for p in kept.verdict["packages"]] == ["ledger"]
    ours = [f["path"] for f in kept.verdict["files"] if "twinboot" in f["path"] or "fstab" in f["path"]]
    assert ours == [], "the metal's edits are no changes of the patch"


def test_the_metal_runs_the_subvolume_that_was_tested_and_keeps_it(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    root, home = (next(li for li in kept.edits if f" {at} " in li) for at in ("/", "/home"))
    assert "subvol" not in root if kept.system.spec.by_default else "subvol=twinboot/@rootfs-tb1" in root
    assert "subvol=@home" in home
    assert kept.by_default == kept.subvolumes_told[1], "from keep on what names no subvolume starts it"


def test_home_is_the_same_to_the_last_byte(kept: Kept) -> None:
    before, after = kept.home
    assert before == after and before.splitlines()[-1] == "theirs"


def test_retired_the_kept_system_has_the_subvolume_s_first_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            told = appliance.read("retire", "tb1", "--dry-run")
            assert "delete btrfs-2d9a6c37/@rootfs (subvolume)" in told
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert subvolumes(appliance) == INSTALLED | STATE
            (node,) = appliance.status()["lineage"]["nodes"]
            assert node["volume"] == "@rootfs" and node["boots_next"]
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        shell = machine.shell()
        assert there(shell, OURS) == []
        assert shell.read(f"cat /{LETTER}").strip() == "theirs"
        assert default_subvolume(shell) == kept.subvolumes_told[0]
        machine.power_off()
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            assert appliance.rehearse("--nothing")["result"] == "PASS", "and it can go round again"


def test_rolled_back_the_old_system_runs_and_the_run_can_go(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        assert boot_without_stick(machine).root == NEW
        machine.shell().read(f"echo since >/{LETTER} && sync")
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            told = appliance.read("rollback", "tb1", "--with-data", "--dry-run")
            assert f"/{LETTER}" in told and "@home and @home-tb1-safety change places" in told
            said = appliance.read("rollback", "tb1", "--with-data", "--confirm", "0001", limit=900)
            assert "/home is what it was before the trial; btrfs-2d9a6c37/@home-tb1-undone keeps" in said
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert default_subvolume(machine.shell()) == kept.subvolumes_told[0]
        assert machine.shell().read(f"cat /{LETTER}").strip() == "theirs"
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            assert subvolumes(appliance) == INSTALLED | STATE | OF_TB1 | {UNDONE}, "nothing is deleted before"
            letter = LETTER.removeprefix("home/")
            assert at_top(appliance, f"cat /tmp/top/{UNDONE}/{letter}").strip() == "since"
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert subvolumes(appliance) == INSTALLED | STATE
            appliance.read("undo", "--confirm", "0001", limit=900)
            assert subvolumes(appliance) == INSTALLED and files_of_ours(appliance).strip() == ""
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        assert there(machine.shell(), "/boot/twinboot /boot/grub/custom.cfg") == []
        machine.power_off()


def test_a_promotion_is_refused_once_the_old_system_has_run(kept: Kept, tmp_path: Path) -> None:
    refused_once_the_old_system_has_run(kept.system, tmp_path)
