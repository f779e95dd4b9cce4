"""Trials on the metal: judged, kept, given back, and what GRUB then starts."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from appliance.boot import confirm, env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from appliance.checks.health import script
from tests.crash.grubmachine import OLD, start
from tests.crash.lab import LOADER, NEW, NEW_ROOT, OLD_ROOT, opened, wanted
from tests.crash.metal import TAB, Metal

pytestmark = pytest.mark.root


def on_trial(boot: Boot, work: Path, *, keep: bool = False) -> None:
    """Stage, arm, and what GRUB does when it starts the trial."""
    LOADER.stage(boot, wanted(work / "new"))
    LOADER.arm(boot, "tb1")
    boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1", keep=keep)[: env.SECTOR])
    boot.disk.settle()


def test_a_well_trial_is_kept_and_grub_starts_it_from_then_on(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        (metal.work / "owned").write_text(f"vmlinuz-{OLD}\nvmlinuz-6.1.0-12-amd64\n")
        assert metal.call("confirm") == 0, metal.said("stderr")
        view = LOADER.view(boot)
        assert view.state is BootState.KEPT and "verdict good\nkept yes\n" in view.result
        assert view.own is not None and view.own.root == NEW_ROOT and view.own.kernel == f"vmlinuz-{NEW}"
        assert {f"{k}-{NEW}" for k in ("vmlinuz", "initrd.img", "config", "System.map")} <= set(
            boot.disk.names("")
        )
        assert not metal.rebooted and "trial tb1: kept" in metal.said("console")
        assert (metal.work / "run/decided").exists()
        assert metal.call("confirm") == 0 and metal.call("keep") == 0  # safe to repeat
        assert LOADER.view(boot).state is BootState.KEPT
    started = start(disk)
    assert started.kernel == f"kernel {NEW}" and started.root == NEW_ROOT and "twinboot" not in started.line


def test_kept_then_rolled_back_then_retired_leaves_the_first_boot_files(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        first = {name: boot.disk.read(name) for name in (*boot.disk.names(""), "grub/grub.cfg")}
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 0
        for name in (f"vmlinuz-{OLD}", f"initrd.img-{OLD}"):  # the new system's autoremove
            boot.disk.remove(name)
        LOADER.roll_back(boot, "tb1")
    started = start(disk)
    assert started.kernel == f"kernel {OLD}" and started.root == OLD_ROOT
    with opened(disk, tmp_path) as boot:
        owned = tuple(name for name in first if first[name] is not None)
        LOADER.restore(boot, "tb1", owned)
        assert {name: boot.disk.read(name) for name in first} == first
        assert boot.disk.names("") == tuple(sorted(n for n in first if "/" not in n))
        assert LOADER.view(boot).state is BootState.ABSENT
    started = start(disk)
    assert started.root == OLD_ROOT and "twinboot" not in started.line


def test_kept_then_retired_the_old_root_gives_the_name_back(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 0
        LOADER.settle(boot, "tb1", "1234-abcd")
        LOADER.settle(boot, "tb1", "1234-abcd")
        view = LOADER.view(boot)
        assert view.state is BootState.SETTLING and view.next_boot is not None
        assert view.next_boot.root == "UUID=1234-abcd"
    started = start(disk)
    assert started.root == "UUID=1234-abcd" and started.kernel == f"kernel {NEW}"
    with opened(disk, tmp_path) as boot:
        LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        view = LOADER.view(boot)
        assert (
            view.state is BootState.ABSENT
            and view.custom == "absent"
            and "twinboot" not in boot.disk.names("")
        )
        assert view.own is not None and view.own.root == OLD_ROOT
    started = start(disk)
    assert started.root == OLD_ROOT and started.kernel == f"kernel {NEW}" and "twinboot" not in started.line


WELL = Metal.__dataclass_fields__["expected"].default


@pytest.mark.parametrize(
    ("expected", "extra", "why"),
    [
        (WELL + "service nginx.service\n", [], "nginx.service does not run"),
        (WELL + "socket tcp:80\n", [], "nothing listens on tcp:80"),
        ("target graphical.target\n", [], "the target graphical.target was not reached"),
        (WELL + "required checks.d/db\n", [f"site{TAB}required{TAB}checks.d/db{TAB}1"], "checks.d/db failed"),
        (WELL + "gateway 192.0.2.77\n", [], "the gateway 192.0.2.77 is not reached"),
        (WELL, [f"failed{TAB}ledger.service{TAB}failed"], "ledger.service failed"),
        ("", [], "it is not known what this system should show"),
    ],
)
def test_a_bad_trial_is_given_back(
    disk: Path, tmp_path: Path, expected: str, extra: list[str], why: str
) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, expected=expected)
        metal.facts += extra
        assert metal.call("confirm") == 1
        view = LOADER.view(boot)
        assert (
            view.state is BootState.TRIAL and "verdict bad\nkept no\n" in view.result and why in view.result
        )
        assert metal.rebooted and "NOT kept" in metal.said("console")
        assert boot.disk.read(f"vmlinuz-{NEW}") is None
        assert view.next_boot is not None and view.next_boot.root == OLD_ROOT


def test_facts_that_end_early_are_no_proof(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        metal.facts.remove("end")
        assert metal.call("confirm") == 1 and LOADER.view(boot).state is BootState.TRIAL


def test_what_may_fail_does_not_count_and_is_told(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        demands = WELL + "mayfail tpm.service\ntrial tpm.service\ntrial ssh.service\n"
        metal = Metal(tmp_path / "metal", boot.place.boot, expected=demands)
        metal.facts += [f"failed{TAB}tpm.service{TAB}failed"]
        assert metal.call("confirm") == 0
        result = LOADER.view(boot).result
        assert "told tpm.service failed" in result and "told ssh.service runs" in result


def test_manual_waits_and_keep_asked_for_does_not(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, manual=True)
        assert metal.call("confirm") == 0
        view = LOADER.view(boot)
        assert view.state is BootState.TRIAL and "verdict good\nkept waits\n" in view.result
        assert not metal.rebooted and "twinboot-keep" in metal.said("console")
        LOADER.keep(boot, "tb1")
        view = LOADER.view(boot)
        assert view.state is BootState.ARMED and view.keep_asked
    assert "twinboot.trial=tb1" in start(disk).line
    with opened(disk, tmp_path) as boot:
        assert LOADER.view(boot).state is BootState.TRIAL
        metal = Metal(tmp_path / "again", boot.place.boot, manual=True)
        assert metal.call("confirm") == 0
        assert LOADER.view(boot).state is BootState.KEPT


def test_twinboot_keep_by_hand(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, manual=True)
        assert metal.call("confirm") == 0 and metal.call("keep") == 0
        assert LOADER.view(boot).state is BootState.KEPT


WHY = {
    "mkconfig fails": "grub-mkconfig failed: grub-probe: error",
    "mkconfig hangs": "grub-mkconfig did not end within 1 s",
    "wrong root": f"does not boot {NEW_ROOT} by default",
    "another kernel": "takes another kernel by default than 6.1.0-39-amd64, which was tested",
    "env of another run": "names another run",
    "no custom": f"does not boot {NEW_ROOT} by default",
}


@pytest.mark.parametrize("harm", WHY)
def test_what_cannot_be_kept_is_given_back(disk: Path, tmp_path: Path, harm: str) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        before = boot.disk.read("grub/grub.cfg")
        if harm == "mkconfig fails":
            (metal.work / "mkconfig.fails").touch()
        elif harm == "mkconfig hangs":
            metal.mkconfig = 1
            (metal.work / "mkconfig.hangs").touch()
        elif harm == "wrong root":
            (metal.work / "mkconfig.root").write_text(OLD_ROOT)
        elif harm == "another kernel":
            (metal.work / "release").write_text("6.1.0-39-amd64\n")
        elif harm == "env of another run":
            boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb9")[: env.SECTOR])
        else:
            (metal.work / "mkconfig.plain").touch()
        assert metal.call("confirm") == 1 and metal.rebooted
        assert WHY[harm] in LOADER.view(boot).result or harm == "env of another run"
        assert boot.disk.read("grub/grub.cfg") == before
        assert env.state_of(env.decode(boot.raw.read(SECTOR_PATH) or b"")) is BootState.TRIAL


def test_a_kernel_above_the_new_one_in_boot_is_not_taken_for_it(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        (boot.place.boot / "vmlinuz-6.9.0-1-amd64").write_bytes(b"a kernel without modules in the new root")
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 1
        assert LOADER.view(boot).state is BootState.TRIAL


def test_a_kernel_removed_in_the_twin_leaves_the_menu_and_previous_still_boots(
    disk: Path, tmp_path: Path
) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)  # owns no old kernel
        assert metal.call("confirm") == 0, metal.said("stderr")
        assert f"vmlinuz-{OLD}" not in boot.disk.names("")
        assert f"vmlinuz-{OLD}" not in (boot.disk.read("grub/grub.cfg") or b"").decode()
        LOADER.roll_back(boot, "tb1")
    started = start(disk)
    assert started.kernel == f"kernel {OLD}" and started.root == OLD_ROOT


def test_a_boot_that_fstab_mounts_read_only_is_kept_all_the_same(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        subprocess.run(["mount", "-o", "remount,ro", str(boot.place.mount)], check=True)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 0, metal.said("stderr")
        assert LOADER.view(boot).state is BootState.KEPT


def test_nothing_acts_where_the_kernel_line_names_no_trial(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        for line in ("root=/dev/vda ro\n", "twinboot.trial=tb12\n", "xtwinboot.trial=tb1\n"):
            metal = Metal(tmp_path / "metal", boot.place.boot)
            (metal.work / "cmdline").write_text(line)
            metal.facts = ["end"]
            assert metal.call("confirm") == 0 and metal.call("deadline") == 0
            assert metal.call("keep") == 1
            assert not metal.rebooted and not metal.said("sysrq")
        assert LOADER.view(boot).state is BootState.TRIAL


def test_in_the_proof_boot_gateways_are_not_asked(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, expected=WELL + "gateway 192.0.2.77\n")
        (metal.work / "cmdline").write_text("ro twinboot.trial=tb1 twinboot.proof\n")
        assert metal.call("confirm") == 0 and LOADER.view(boot).state is BootState.KEPT


def test_the_deadline_resets_what_was_not_decided(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot)
        assert metal.call("confirm") == 0  # decided: the deadline stays quiet
        metal.deadline = 1
        assert metal.call("deadline") == 0 and not metal.said("sysrq")
        (metal.work / "run/decided").unlink()
        (metal.work / "run/begun").write_text("0\n")
        assert metal.call("deadline") == 0
        time.sleep(2)  # the result is written beside the reset, since /boot may hang
        assert metal.said("sysrq") == "b\n" and "--force --force" in metal.said("systemctl")
        assert "not confirmed within 1 s" in metal.said("console")


def test_what_a_person_took_to_type_a_passphrase_is_not_the_trials_time(disk: Path, tmp_path: Path) -> None:
    """This computer has been up for longer than the deadline, the trial's own system has only begun."""
    with opened(disk, tmp_path) as boot:
        on_trial(boot, tmp_path)
        metal = Metal(tmp_path / "metal", boot.place.boot, deadline=2)
        with pytest.raises(subprocess.TimeoutExpired):
            metal.call("deadline", limit=1)
        assert float(metal.said("run/begun")) > 2 and not metal.said("sysrq")
        time.sleep(2)
        assert metal.call("deadline", limit=10) == 0
        assert metal.said("sysrq") == "b\n"


def test_the_joined_script_is_clean() -> None:
    text = script(*confirm.parts())
    assert subprocess.run(["dash", "-n"], input=text, capture_output=True, check=True).stderr == b""
    for part in confirm.parts():
        argv = ["shellcheck", "-s", "sh", "-e", "SC2317,SC2154,SC2034", "-"]
        done = subprocess.run(argv, input=part.encode(), capture_output=True)
        assert done.returncode == 0, done.stdout.decode()
