"""The circle: a real machine is rehearsed, promoted, boots from its twin and keeps it.

One rehearsal, many endings: the kept machine is forked for what may come after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import side_effects
from tests.lab.appliance import PROGRAM, Appliance
from tests.lab.circle import (
    IMAGE,
    OURS,
    lent,
    machine_with_stick,
    outliving,
    plan_file,
    planned_stick,
    rehearse_and_promote,
    report_of,
    stick_with_shell,
    trial_kept,
)
from tests.lab.console import Console
from tests.lab.installed import InstalledSystem, SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot
from tests.lab.stick import data_size

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.timeout(5400)]

OLD, NEW = "/dev/mapper/vg0-root", "/dev/mapper/vg0-root--tb1"
STICK = 512
"""MiB: larger than the image, as real sticks are, so that the first start grows the data partition."""
QEMUS = (b"\x52\x55", b"\x52\x56")
"""First bytes of the addresses of QEMU's own gateway and servers, for IPv4 and IPv6."""


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    report: str
    data_partition: int
    senders: set[bytes]
    asked_by_the_twin: list[str]
    mail_before_the_trial: list[str]
    done: side_effects.Done
    verified: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted unattended with the stick left in."""
    yield from lent(_go_round, tmp_path_factory.mktemp("circle"))


def _go_round(folder: Path) -> Kept:
    system = installed_system(SystemSpec())
    plan = plan_file(("ledger", "linux-image-amd64"), serial="LAB-0001")
    with outliving(machine_with_stick(system, folder, "1.1", plan, kernel=True)) as machine:
        machine.pull_stick()
        _leave_work_undone(machine)
        machine.insert_stick(planned_stick(folder, plan), STICK)
        rehearse_and_promote(machine)
        senders = {frame[6:12] for frame in machine.frames()}
        requests, mail = list(machine.site.requests), list(machine.mail)
        proof = trial_kept(machine)
        done = side_effects.done(machine.shell())
        verified = machine.shell().run(f"dpkg -V linux-image-{proof.kernel} ledger").text
        machine.power_off()
        with machine.fork() as other:
            report = report_of(other, folder)
        with machine.fork() as other:
            stick = other.pull_stick()
            data = data_size(stick) if stick else 0
        return Kept(machine, system, proof, report, data, senders, requests, mail, done, verified)


def _leave_work_undone(machine: Machine) -> None:
    """By the installed system itself, before the stick is plugged in."""
    machine.power_on()
    side_effects.prepare(machine.shell())
    machine.power_off()


def test_the_metal_runs_what_was_tested_and_keeps_it(kept: Kept) -> None:
    assert kept.proof.root == NEW
    assert kept.proof.kernel == kept.system.offers.update.release
    assert f"root={NEW}" in kept.proof.cmdline.split()
    assert kept.proof.ledger == "1.1"
    assert kept.proof.ledger_answer.startswith("ledger 1.1 ")
    assert kept.proof.virtualisation == "qemu"
    assert kept.proof.failed_units == ()
    assert kept.verified == "", "the new kernel's files in /boot are the package's own"


def test_the_data_partition_fills_the_stick(kept: Kept) -> None:
    """Behind the image, whose own one is 16 MiB; the report of the same story lies in it."""
    behind = (STICK << 20) - IMAGE.stat().st_size
    assert behind - (4 << 20) < kept.data_partition <= behind


def test_the_report_says_what_was_done(kept: Kept) -> None:
    assert "PASS" in kept.report
    assert "ledger" in kept.report
    assert f"linux-image-{kept.system.offers.update.release}" in kept.report


def test_the_twin_spoke_to_nobody_but_through_the_proxy(kept: Kept) -> None:
    own = bytes.fromhex(kept.machine.hardware.mac.replace(":", ""))
    assert {sender for sender in kept.senders if not sender.startswith(QEMUS)} == {own}
    assert [r for r in kept.asked_by_the_twin if not r.startswith("GET /lab/")] == []
    assert any("/pool/ledger_1.1_all.deb" in r for r in kept.asked_by_the_twin)


def test_work_left_undone_is_done_once_and_on_the_metal(kept: Kept) -> None:
    assert kept.mail_before_the_trial == [], "the twin sent the machine's mail"
    assert len([m for m in kept.machine.mail if side_effects.SUBJECT in m]) == 1
    assert kept.done.at == (kept.proof.boot_id,)
    assert kept.done.timer == (kept.proof.boot_id,)


def test_the_way_back_without_the_stick(kept: Kept) -> None:
    """The one line of /root/TWINBOOT.txt, and the old system is there again; its own line undoes that."""
    with kept.machine.fork() as machine:
        goes_back_by_hand(machine, kept.system)


def test_retired_the_old_system_is_gone_and_the_kept_one_has_its_name(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick_with_shell(tmp_path)) as appliance:
            told = appliance.read("retire", "tb1", "--dry-run")
            named = {line.split("vg0/")[1].split()[0] for line in told.splitlines() if "delete vg0/" in line}
            assert named == appliance.volumes() - {"root-tb1", "srv", "swap", "twinboot-state"}
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == {"root", "srv", "swap", "twinboot-state"}
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel, proof.ledger) == (OLD, kept.proof.kernel, "1.1")
        assert proof.failed_units == ()
        shell = machine.shell()
        assert there(shell, f"{OURS} /etc/systemd/system/*twinboot* /etc/systemd/system/*/*twinboot*") == []
        machine.power_off()


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb1", "--confirm", "0001", limit=900)
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger) == (OLD, "1.0")
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == {"root", "srv", "swap", "twinboot-state"}
        proof = boot_without_stick(machine)
        assert (proof.root, proof.kernel) == (OLD, kept.system.offers.installed.release)
        shell = machine.shell()
        assert there(shell, "/boot/twinboot /boot/grub/custom.cfg") == []
        assert there(shell, "/boot/vmlinuz-*") == [f"/boot/vmlinuz-{proof.kernel}"]
        machine.power_off()


@pytest.mark.full
def test_rolled_back_with_its_data_and_nothing_written_since_is_lost(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        assert boot_without_stick(machine).root == NEW
        shell = machine.shell()
        before = shell.read("cat /srv/ledger/data")
        shell.read("curl -s -m 20 -X POST http://127.0.0.1:8377/paid-since")
        shell.read("echo written by the new system >/srv/since && sync")
        since = shell.read("cat /srv/ledger/data")
        assert since != before
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            told = appliance.read("rollback", "tb1", "--with-data", "--dry-run")
            for part in ("taken away by going back: /srv", "/srv/since", "kept in: vg0/srv-tb1-undone"):
                assert part in told
            assert "srv-tb1-undone" not in appliance.volumes()
            said = appliance.read("rollback", "tb1", "--with-data", "--confirm", "0001", limit=900)
            assert "/srv is what it was before the trial; vg0/srv-tb1-undone keeps" in said
            assert "srv-tb1-undone" in appliance.volumes() and "srv-tb1-safety" not in appliance.volumes()
            assert any("srv-tb1-undone" in text for text in appliance.status()["notices"])
            again = appliance.twinboot("rollback", "tb1", "--with-data", "--confirm", "0001")
            assert again.status == 3 and "no safety snapshot vg0/srv-tb1-safety" in again.text
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert proof.ledger_answer.startswith("ledger 1.0 schema 1 ")
        shell = machine.shell()
        assert shell.read("cat /srv/ledger/data") == before
        assert there(shell, "/srv/since") == []
        source, options = shell.read("findmnt -no SOURCE,OPTIONS /srv").split()
        assert source == "/dev/mapper/vg0-srv" and "rw" in options.split(",")
        shell.read("echo written by the old system >/srv/after && sync")
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            on, at = appliance.shell, "/run/undone"
            on.read("lvchange -ay -K vg0/srv-tb1-undone")
            on.read(f"mkdir {at} && mount -o ro,noload /dev/vg0/srv-tb1-undone {at}")
            assert on.read(f"cat {at}/ledger/data") == since
            assert on.read(f"cat {at}/since").strip() == "written by the new system"
            on.read(f"umount {at} && lvchange -an vg0/srv-tb1-undone")
            told = appliance.read("retire", "tb1", "--dry-run")
            assert "Data that a roll back put away goes as well: srv-tb1-undone." in told
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == {"root", "srv", "swap", "twinboot-state"}
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.0", ())
        assert machine.shell().read("cat /srv/after").strip() == "written by the old system"
        machine.power_off()


@pytest.mark.full
def test_a_second_rehearsal_on_the_kept_system_and_all_the_way_back(kept: Kept, tmp_path: Path) -> None:
    stick = stick_with_shell(tmp_path)
    with kept.machine.fork() as machine:
        machine.pull_stick()
        machine.insert_stick(stick)
        appliance = Appliance.boot(machine)
        assert appliance.rehearse("--nothing")["result"] == "PASS"
        appliance.read("promote", "tb2", "--confirm", "0001", limit=900)
        states = {n["volume"]: n["state"] for n in appliance.status()["lineage"]["nodes"]}
        assert states == {"root": "FALLBACK", "root-tb1": "KEPT", "root-tb2": "ARMED"}
        appliance.reboot()
        assert trial_kept(machine, "tb2").root == "/dev/mapper/vg0-root--tb2"
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("rollback", "tb2", "--confirm", "0001", limit=900)
        assert boot_without_stick(machine).root == NEW
        machine.power_off()
        with appliance_on(machine, stick) as appliance:
            appliance.read("retire", "tb2", "--confirm", "0001", limit=900)
            left = {"root", "root-tb1", "root-tb1-base", "root-tb1-sealed", "srv-tb1-safety"}
            assert appliance.volumes() == left | {"srv", "swap", "twinboot-state"}
            appliance.read("retire", "tb1", "--confirm", "0001", limit=900)
            assert appliance.volumes() == {"root", "srv", "swap", "twinboot-state"}
        proof = boot_without_stick(machine)
        assert (proof.root, proof.ledger, proof.failed_units) == (OLD, "1.1", ())
        machine.power_off()


@contextlib.contextmanager
def appliance_on(machine: Machine, stick: Path) -> Iterator[Appliance]:
    """The stick started on `machine`, which is switched off again at the end."""
    machine.pull_stick()
    machine.insert_stick(stick)
    appliance = Appliance.boot(machine)
    yield appliance
    appliance.power_off()


def cut_a_retire(machine: Machine, stick: Path, begun: str) -> None:
    """Retire tb1, and cut the machine's power once the shell's test `begun` holds."""
    machine.pull_stick()
    machine.insert_stick(stick)
    shell = Appliance.boot(machine).shell
    act = f"{PROGRAM} retire tb1 --confirm 0001 > /run/retire.log 2>&1; touch /run/done"
    shell.read(f"({act}) &")
    shell.read(f"until [ -e /run/done ] || {begun}; do sleep 0.1; done", limit=900)
    machine.kill()


def boot_without_stick(machine: Machine) -> ProofOfBoot:
    machine.pull_stick()
    machine.power_on()
    return machine.proof_of_boot()


def goes_back_by_hand(machine: Machine, system: InstalledSystem) -> None:
    """A kept machine, without the stick, by the line its note gives."""
    assert boot_without_stick(machine).root == NEW
    line = machine.shell().read("grep -o 'dd if=.*' /root/TWINBOOT.txt")
    machine.shell().read(line)
    machine.shell().send("reboot\n")
    machine.rebooted()
    proof = machine.proof_of_boot()
    assert proof.root == OLD
    assert proof.kernel == system.offers.installed.release
    assert proof.ledger == "1.0"
    assert proof.failed_units == ()
    machine.power_off()


def offer_the_next_kernel(machine: Machine, system: InstalledSystem, folder: Path) -> None:
    """To a machine that is off, which starts without the stick from now on."""
    machine.pull_stick()
    debs = system.offers.select(None, system.offers.following)
    machine.site.folders["lab"] = system.offers.pool.publish(folder / "lab", debs)


def install_the_next_kernel(shell: Console, system: InstalledSystem) -> None:
    """By the running system's own apt; it asks nobody but the lab, Debian's own archive is out of reach."""
    etc = "/etc/apt"
    source = f"-o Dir::Etc::SourceList={etc}/{system.spec.suite.source} -o Dir::Etc::SourceParts=/dev/null"
    shell.read(f"apt-get -qq {source} update", limit=300)
    shell.read(f"apt-get -qq -y {source} install linux-image-amd64", limit=1800)


def refused_once_the_old_system_has_run(system: InstalledSystem, folder: Path) -> None:
    """On a machine of its own: rehearsed, its old system started once, and then to be promoted."""
    with machine_with_stick(system, folder / "drift", "1.1") as machine:
        appliance = Appliance.boot(machine)
        assert appliance.rehearse("--nothing")["result"] == "PASS"
        appliance.power_off()
        boot_without_stick(machine)
        machine.power_off()
        with appliance_on(machine, stick_with_shell(folder)) as appliance:
            refused = appliance.twinboot("promote", "tb1", "--confirm", "0001")
            assert refused.status == 3
            assert "The old system has run since the snapshot" in refused.text


def there(shell: Console, paths: str) -> list[str]:
    """Which of the paths, shell patterns among them, exist."""
    return shell.run(f"ls -d {paths} 2>/dev/null").text.split()


@pytest.mark.full
def test_the_next_kernel_update_works_as_on_any_machine(kept: Kept, tmp_path: Path) -> None:
    system = kept.system
    following = system.offers.following
    with kept.machine.fork() as machine:
        offer_the_next_kernel(machine, system, tmp_path)
        machine.power_on()
        shell = machine.shell()
        before = shell.read("sha256sum /boot/initrd.img-$(uname -r)")
        shell.read("update-initramfs -u", limit=1800)
        assert shell.read("sha256sum /boot/initrd.img-$(uname -r)") != before
        install_the_next_kernel(shell, system)
        shell.send("reboot\n")
        machine.rebooted()
        proof = machine.proof_of_boot()
        assert (proof.root, proof.kernel) == (NEW, following.release)
        shell = machine.shell()
        shell.read("apt-get -qq -y autoremove --purge", limit=1800)
        old = system.offers.installed.release
        assert shell.run(f"ls /boot/vmlinuz-{old}").status != 0, "the old kernel was not autoremoved"
        shell.read("grub-reboot twinboot-previous")
        shell.send("reboot\n")
        machine.rebooted()
        proof = machine.proof_of_boot()
        assert (proof.root, proof.kernel) == (OLD, old)
        assert proof.failed_units == ()
        machine.power_off()
