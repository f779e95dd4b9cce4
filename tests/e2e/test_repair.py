"""Systems that do not boot well any more: rehearsed (a finding), mended on a copy, promoted, kept.

Each damage is done on the metal itself, by its own running system, before the stick is plugged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.appliance import PROGRAM, REHEARSAL, RUNS, Appliance
from tests.lab.circle import stick_with_shell, trial_kept
from tests.lab.console import Answer
from tests.lab.hardware import Hardware
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import stage
from tests.lab.proof import ProofOfBoot
from tests.lab.screens import SOON, SerialTerminal, go_on, sees, twins_keyboard

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(10800)]

NO_INITRD = "f=/boot/initrd.img-{kernel}; n=$(stat -c %s $f) && head -c $n /dev/zero >$f && sync"
APT = "apt-get -qq -y -o Dir::Etc::SourceList=/dev/null"
UNPACKED = (
    f"cd /var/tmp && {APT} update && {APT} download ledger && dpkg --unpack ledger_1.1_all.deb"
    " && sync && dpkg -s ledger | grep 'Status: install ok unpacked'"
)
NO_LEDGER = "systemctl mask --now ledger && sync && ! systemctl is-active ledger"
FOLDER = "/usr/share/doc/cron"
NO_FOLDER = (
    f"at=$(debugfs -R 'blocks {FOLDER}' /dev/vg0/root 2>/dev/null | tr -d ' ')"
    " && dd if=/dev/zero of=/dev/vg0/root bs=4096 count=1 seek=$at oflag=direct status=none"
    f" && echo 3 >/proc/sys/vm/drop_caches; ! cat {FOLDER}/copyright"
)
"""A folder's block is overwritten: the kernel finds it and records it, and what boots next asks for fsck."""

LIMIT = 2 * REHEARSAL
"""Seconds: a repair boots its copy three times, and builds an initrd on an emulated machine."""


@contextmanager
def damaged(
    folder: Path, *damage: str, kernel: bool = False, ledger: tuple[str, ...] = ("1.1",)
) -> Iterator[Appliance]:
    """The appliance on a machine whose own system has run `damage` and was shut down properly."""
    system = installed_system(SystemSpec())
    with _machine(system, folder, kernel, ledger) as machine:
        with stage("damage done by the installed system itself"):
            machine.power_on()
            for command in damage:
                machine.shell().read(command, limit=1800)
            machine.power_off()
        machine.insert_stick(stick_with_shell(folder))
        yield Appliance.boot(machine)


def _machine(system: InstalledSystem, folder: Path, kernel: bool, ledger: tuple[str, ...]) -> Machine:
    """Without a stick; these versions of ledger (and a newer kernel) on offer."""
    offers = system.offers
    debs = [offers.pool.deb("ledger", version) for version in ledger]
    debs += offers.select(None, *((offers.update,) if kernel else ()))
    lab = offers.pool.publish(folder / "lab", debs)
    hardware = Hardware(firmware=system.spec.firmware)
    return Machine.with_system(system, hardware, folder=folder / "machine", site={"lab": lab})


def repaired(appliance: Appliance, *words: str) -> tuple[str, dict[str, Any], Answer]:
    """The run, its verdict, and what was said."""
    said = appliance.twinboot("repair", *words, limit=LIMIT)
    assert said.status == 0, said.text
    assert "unchanged: origin and" in said.text, "the broken original is proven untouched"
    run = appliance.newest_run()
    return run, json.loads(appliance.shell.read(f"cat {RUNS}/{run}/verdict.json")), said


def promoted(appliance: Appliance, run: str, *words: str) -> ProofOfBoot:
    """Promoted, and the trial on the metal kept by itself."""
    told = appliance.read("promote", run, "--confirm", "0001", *words, limit=900)
    assert "The previous system is the broken one" in told
    appliance.reboot()
    return trial_kept(appliance.machine, run)


def untested(verdict: dict[str, Any]) -> set[str]:
    return {c["name"] for c in verdict["checks"] if c["outcome"] == "NOT TESTED"}


def test_a_damaged_initrd_is_a_finding_and_a_copy_with_a_new_one_is_kept(tmp_path: Path) -> None:
    kernel = installed_system(SystemSpec()).offers.installed.release
    with damaged(tmp_path, NO_INITRD.format(kernel=kernel)) as appliance:
        failed = appliance.twinboot("rehearse", "--nothing", limit=REHEARSAL)
        assert failed.status == 1
        assert "The twin does not boot: its kernel panics" in failed.text
        assert "1 Repair a copy of it (X on the console, or `twinboot repair --help`)" in failed.text

        run, verdict, said = repaired(appliance, "--initrd")
        assert "finding: The twin does not boot: its kernel panics" in said.text
        assert f"update-initramfs: Generating /boot/initrd.img-{kernel}" in said.text
        assert verdict["result"] == "PASS" and verdict["proof_boot"] is True
        assert verdict.get("control") is None
        assert "services and ports as before" in untested(verdict)

        proof = promoted(appliance, run)
        assert (proof.root, proof.kernel) == (f"/dev/mapper/vg0-root--{run}", kernel)
        assert proof.ledger_answer.startswith("ledger 1.0 ")
        assert proof.failed_units == ()


def test_packages_left_half_done_are_finished_on_a_copy_that_is_kept(tmp_path: Path) -> None:
    with damaged(tmp_path, UNPACKED) as appliance:
        failed = appliance.twinboot("rehearse", "--nothing", limit=REHEARSAL)
        assert failed.status == 1
        assert "cannot be sealed: Package ledger is unpacked, not set up." in failed.text
        assert (
            "1 Repair a copy of it (X on the console, or `twinboot repair --finish-packages`)" in failed.text
        )

        run, verdict, said = repaired(appliance, "--finish-packages")
        assert "it boots to its default target in the twin as it is" in said.text
        assert "the package manager calls every package fully installed" in said.text
        assert verdict["result"] == "PASS"
        assert "services and ports as before" not in untested(verdict), "there was a boot to compare with"

        proof = promoted(appliance, run)
        assert (proof.root, proof.ledger) == (f"/dev/mapper/vg0-root--{run}", "1.1")
        assert proof.ledger_answer.startswith("ledger 1.1 ")
        assert appliance.machine.shell().read("dpkg --audit").strip() == ""


def test_an_update_that_broke_a_service_is_undone_on_a_copy_that_is_kept(tmp_path: Path) -> None:
    """The version before is fetched again from the system's own sources, by the twin alone."""
    update = f"{APT} update && {APT} install ledger=1.2; sync; dpkg -s ledger | grep 'Version: 1.2'"
    with damaged(tmp_path, update, ledger=("1.0", "1.2")) as appliance:
        run, verdict, said = repaired(appliance, "--undo-packages")
        assert "undoing apt-get" in said.text and "install ledger=1.2" in said.text
        assert verdict["result"] == "PASS"
        assert [(p["name"], p["before"], p["after"]) for p in verdict["packages"]] == [
            ("ledger", "1.2", "1.0")
        ]
        proof = promoted(appliance, run)
        assert (proof.root, proof.ledger) == (f"/dev/mapper/vg0-root--{run}", "1.0")
        assert proof.ledger_answer.startswith("ledger 1.0 ")


def test_a_newest_kernel_that_does_not_boot_gives_way_to_the_one_before(tmp_path: Path) -> None:
    offers = installed_system(SystemSpec()).offers
    old, new = offers.installed.release, offers.update.release
    install = f"{APT} update && {APT} install linux-image-amd64 && sync"
    with damaged(tmp_path, install, NO_INITRD.format(kernel=new), kernel=True) as appliance:
        run, verdict, said = repaired(appliance, "--older-kernel")
        assert "finding: The twin does not boot" in said.text
        assert verdict["result"] == "PASS"
        assert any(old in text and "newer kernels" in text for text in verdict["not_applied"])

        proof = promoted(appliance, run)
        assert (proof.root, proof.kernel) == (f"/dev/mapper/vg0-root--{run}", old)
        # Kept: the system's own grub.cfg boots the older kernel too, and says in a file why.
        machine = appliance.machine
        machine.power_off()
        machine.pull_stick()
        machine.power_on()
        again = machine.proof_of_boot()
        assert (again.root, again.kernel) == (proof.root, old)
        assert "twinboot.trial=" not in again.cmdline


def test_a_damaged_file_system_is_mended_on_a_copy_that_is_kept(tmp_path: Path) -> None:
    with damaged(tmp_path, NO_FOLDER) as appliance:
        refused = appliance.twinboot("rehearse", "--nothing")
        assert refused.status == 3
        assert "The file system on /dev/mapper/vg0-root has recorded errors" in refused.text
        assert "1 Repair a copy of it (X on the console, or `twinboot repair --fsck`)" in refused.text

        run, verdict, said = repaired(appliance, "--fsck")
        assert "e2fsck: errors were corrected; a second look finds none" in said.text
        assert verdict["result"] == "PASS" and verdict["proof_boot"] is True

        proof = promoted(appliance, run)
        assert (proof.root, proof.failed_units) == (f"/dev/mapper/vg0-root--{run}", ())
        shell = appliance.machine.shell()
        assert shell.read("findmnt -no OPTIONS /").startswith("rw,")
        shell.read(f"ls {FOLDER} && ls /lost+found | grep '^#' && dmesg | grep -c EXT4-fs.error | grep -x 0")


def test_what_was_set_right_by_hand_in_the_twin_is_kept(tmp_path: Path) -> None:
    with damaged(tmp_path, NO_LEDGER) as appliance:
        terminal = SerialTerminal(appliance.machine.console)
        sees(terminal, "WRITES TO THIS MACHINE: 0", limit=SOON)
        # At the gate the program, which has no terminal, ends: the run waits for whoever comes.
        appliance.shell.read(f"{PROGRAM} repair --by-hand </dev/null >/tmp/said 2>&1 &")
        sees(terminal, "WAITING FOR YOU", "Work in the twin", limit=REHEARSAL, never="STOPPED")
        with twins_keyboard(terminal):
            terminal.press(
                *"systemctl unmask ledger; systemctl restart ledger; systemctl is-active ledger", "enter"
            )
            sees(terminal, "\nactive", limit=SOON)
        go_on(terminal)
        sees(terminal, "Finished", limit=LIMIT, never="STOPPED")
        run = appliance.newest_run()
        verdict = json.loads(appliance.shell.read(f"cat {RUNS}/{run}/verdict.json"))
        assert verdict["result"] == "PASS"

        proof = promoted(appliance, run, "--take-over")
        assert proof.root == f"/dev/mapper/vg0-root--{run}"
        assert proof.ledger_answer.startswith("ledger 1.0 ")
