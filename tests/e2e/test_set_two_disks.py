"""The circle with /var and /usr on volumes of their own, in a pool on two disks, another system beside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_circle import NEW, OLD, appliance_on, boot_without_stick, cut_a_retire, there
from tests.lab.appliance import Appliance
from tests.lab.circle import OURS, lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import SET_TWO_DISKS, InstalledSystem, installed_system
from tests.lab.machine import Machine
from tests.lab.native import run
from tests.lab.proof import ProofOfBoot

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

INSTALLED = {"root", "var", "usr", "srv", "swap", "twinboot-state"}
OF_TB1 = {f"{name}-tb1{ending}" for name in ("root", "var", "usr") for ending in ("", "-base", "-sealed")}
SYSTEM = "/dev/mapper/vg0-root"
OLD_BESIDE = ["/dev/mapper/vg0-usr", "/dev/mapper/vg0-var"]
NEW_BESIDE = ["/dev/mapper/vg0-usr--tb1", "/dev/mapper/vg0-var--tb1"]
OTHER = 256
"""MiB of the third disk."""


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    beside: list[str]
    verdict: dict[str, Any]
    inspected: dict[str, Any]
    after_rehearsal: set[str]
    told: str
    other: tuple[str, str]
    second: tuple[str, str]


def other_system(folder: Path) -> Path:
    """A raw disk with one partition that holds what marks an installed system: enough to be found by."""
    tree, part, disk = folder / "other", folder / "part.raw", folder / "other.raw"
    for path, text in {
        "etc/fstab": "/dev/vdc1 / ext4 defaults 0 1\n",
        "etc/os-release": 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n',
        "etc/hostname": "other\n",
        "var/lib/dpkg/status": "",
        "boot/grub/grub.cfg": "menuentry 'Debian' {\n\tlinux /boot/vmlinuz-5.10 root=/dev/vdc1\n}\n",
        "boot/vmlinuz-5.10": "kernel",
        "boot/initrd.img-5.10": "initrd",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    run("truncate", "-s", f"{OTHER}M", disk)
    run("sfdisk", "--quiet", disk, stdin=b"label: gpt\nstart=1MiB, type=L, size=200MiB\n")
    run("truncate", "-s", "200M", part)
    run("mkfs.ext4", "-q", "-d", tree, part)
    run("dd", f"if={part}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc", "status=none")
    return disk


def content(image: Path, folder: Path) -> str:
    """SHA-256 of the whole of a qcow2 that nobody writes to."""
    raw = folder / "content.raw"
    run("qemu-img", "convert", "-O", "raw", image, raw, timeout=600)
    with raw.open("rb") as data:
        found = hashlib.file_digest(data, "sha256").hexdigest()
    raw.unlink()
    return found


def beside(shell: Console) -> list[str]:
    """What is mounted at /usr and at /var."""
    return [shell.read(f"findmnt -no SOURCE {place}").strip() for place in ("/usr", "/var")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("var-two-disks"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(SET_TWO_DISKS)
    with outliving(machine_with_stick(system, folder, "1.1")) as machine:
        third = machine.add_disk(other_system(folder))
        before = content(third, folder)
        appliance = Appliance.boot(machine)
        inspected = appliance.inspect()
        head = "dd if=/dev/vdb bs=4096 count=1 status=none | sha256sum"
        label = appliance.shell.read(head)
        refused = appliance.twinboot("rehearse", "--packages", "ledger")
        assert refused.status == 3 and "2 installed systems" in refused.text, "which one must be said"
        verdict = appliance.rehearse("--system", SYSTEM, "--packages", "ledger")
        names = appliance.volumes()
        label_after = appliance.shell.read(head)
        told = appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        appliance.reboot()
        proof = trial_kept(machine)
        mounted = beside(machine.shell())
        machine.power_off()
        other = before, content(third, folder)
        return Kept(
            machine,
            system,
            proof,
            mounted,
            verdict,
            inspected,
            names,
            told,
            other,
            (label, label_after),
        )


def test_the_probe_finds_both_systems_and_both_disks_of_the_group(kept: Kept) -> None:
    (group,) = kept.inspected["volume_groups"]
    assert sorted(pv["path"] for pv in group["pvs"]) == ["/dev/vda4", "/dev/vdb"]
    assert sorted(system["id"] for system in kept.inspected["systems"]) == [SYSTEM, "/dev/vdc1"]
    chosen = next(s for s in kept.inspected["systems"] if s["id"] == SYSTEM)
    assert [t["code"] for t in chosen.get("trouble", []) if t["refuses"]] == []
    roles = {volume["target"]: volume["role"] for volume in chosen["volumes"]}
    assert roles == {"/": "root", "/usr": "volume set", "/var": "volume set", "/srv": "data", "none": "swap"}
    assert chosen["packages"]["count"] > 100, "the package database lies on /var"


def test_all_are_rehearsed_and_sealed_in_one_freeze(kept: Kept) -> None:
    assert kept.verdict["result"] == "PASS"
    assert kept.verdict["seal"] == "frozen"
    assert kept.after_rehearsal == INSTALLED | OF_TB1
    changed = {f["path"] for f in kept.verdict["files"]}
    assert any(path.startswith("/var/lib/dpkg/") for path in changed), "what dpkg wrote to /var is among them"
    assert "/usr/lib/ledger/ledger" in changed, "and what it wrote to /usr"


def test_the_metal_runs_all_as_they_were_tested_and_keeps_them(kept: Kept) -> None:
    assert (kept.proof.root, kept.proof.ledger, kept.proof.failed_units) == (NEW, "1.1", ())
    assert kept.beside == NEW_BESIDE
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")


def test_nothing_else_was_written(kept: Kept) -> None:
    assert kept.other[0] == kept.other[1], "the other system's disk, byte for byte"
    assert kept.second[0] == kept.second[1], "the second disk's own label"


def test_retired_all_have_their_first_names_and_it_can_go_round_again(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            told = appliance.read("retire", "tb1", "--dry-run")
            for name in ("usr", "var"):
                assert f"vg0/{name}-tb1: by UUID in fstab while it is renamed to {name}" in told
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        shell = machine.shell()
        assert beside(shell) == OLD_BESIDE
        assert there(shell, OURS) == []
        assert "UUID" not in shell.read("grep -E ' /(var|usr) ' /etc/fstab")
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            assert appliance.rehearse("--system", SYSTEM, "--nothing")["result"] == "PASS"


def test_rolled_back_the_old_root_has_what_it_had_beside_it_and_the_run_can_go(
    kept: Kept, tmp_path: Path
) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert beside(machine.shell()) == OLD_BESIDE
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        assert there(machine.shell(), OURS) == []
        machine.power_off()


def test_a_promotion_is_refused_once_var_alone_was_written(kept: Kept, tmp_path: Path) -> None:
    """By hand on the old volume, its root untouched: the set is one thing."""
    with machine_with_stick(kept.system, tmp_path / "drift", "1.1") as machine:
        appliance = Appliance.boot(machine)
        assert appliance.rehearse("--nothing")["result"] == "PASS"
        appliance.shell.read(
            "lvchange -ay -K vg0/var && mkdir -p /run/var && mount /dev/mapper/vg0-var /run/var && "
            "echo more >/run/var/more && umount /run/var && lvchange -an vg0/var",
            limit=300,
        )
        refused = appliance.twinboot("promote", "tb1", "--confirm", "0001")
        assert refused.status == 3
        assert "The old system has run since the snapshot" in refused.text
        appliance.power_off()


def test_cut_while_they_are_renamed_the_kept_system_boots_with_its_own(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        cut_a_retire(machine, stick, "! lvs vg0/var-tb1 >/dev/null 2>&1")
        proof = boot_without_stick(machine)
        assert (proof.ledger, proof.failed_units) == ("1.1", ())
        assert beside(machine.shell()) == OLD_BESIDE
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.recovered()
            assert appliance.volumes() == INSTALLED
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.1")
        machine.power_off()
