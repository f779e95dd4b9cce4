"""Trials on the metal under systemd-boot: the sh file itself, over a folder that stands for the ESP.

Where it makes no difference whether entries or unified images are started, both are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import confirm, efivars
from appliance.boot.shapes import BootState
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT
from tests.crash.sdmachine import ID, LOADER
from tests.crash.sdmetal import Machine, Unified
from tests.crash.tinykernel import tiny_kernel

BOTH = pytest.mark.parametrize("kind", [Machine, Unified])


def test_a_well_trial_is_kept_by_its_own_kernel_install(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.on_trial()
    assert here.metal.call("confirm") == 0, here.metal.said("stderr")
    view = LOADER.view(here.boot)
    assert view.state is BootState.KEPT and "verdict good\nkept yes\n" in view.result
    assert view.own is not None and view.own.root == NEW_ROOT and "twinboot" not in view.own.options
    assert here.variables == {} and here.starts() == ("new",) * 3
    assert not (here.esp / "loader/entries/twinboot-new-tb1.conf").exists()
    assert [p.name for p in (here.esp / "loader/entries").glob("*+*")] == []  # judged already: not counted
    assert "start boot-complete.target" in here.metal.said("systemctl") and not here.metal.rebooted
    assert here.metal.call("keep") == 0 and here.metal.call("confirm") == 0  # safe to repeat
    LOADER.roll_back(here.boot, "tb1")
    assert here.starts() == ("old",) * 3


@BOTH
def test_the_same_kernel_is_kept_over_the_old_one_and_rolled_back(
    tmp_path: Path, kind: type[Machine]
) -> None:
    here = kind(tmp_path, OLD)
    here.on_trial()
    assert here.metal.call("confirm") == 0, here.metal.said("stderr")
    assert here.starts() == ("new",) * 3
    LOADER.roll_back(here.boot, "tb1")
    assert here.starts() == ("old",) * 3
    LOADER.restore(here.boot, "tb1")
    assert here.files() == kind.installed() and here.variables == {}


@BOTH
@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ("kernel-install.fails", "kernel-install failed: no space left"),
        ("complete.fails", "boot-complete.target was not reached"),
    ],
)
def test_a_trial_that_can_not_be_kept_is_given_back(
    tmp_path: Path, kind: type[Machine], spoilt: str, why: str
) -> None:
    here = kind(tmp_path)
    here.on_trial()
    (here.work / spoilt).touch()
    assert here.metal.call("confirm") == 1
    view = LOADER.view(here.boot)
    assert view.state is BootState.TRIAL and why in view.result and here.metal.rebooted
    assert here.starts() == ("old",) * 3


def test_a_bad_trial_is_given_back_and_kernel_install_is_not_asked(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.on_trial()
    here.metal.expected += "service nginx.service\n"
    assert here.metal.call("confirm") == 1 and here.metal.rebooted
    assert "nginx.service does not run" in LOADER.view(here.boot).result
    assert here.starts() == ("old",) * 3
    assert not (here.esp / f"loader/entries/{ID}-{NEW}.conf").exists()


@BOTH
def test_a_keep_whose_power_goes_within_kernel_install_leaves_the_old_system(
    tmp_path: Path, kind: type[Machine]
) -> None:
    here = kind(tmp_path, OLD)
    here.on_trial()
    (here.work / "kernel-install.dies").touch()
    here.metal.call("confirm")
    assert here.starts() == ("old",) * 3
    LOADER.restore(here.boot, "tb1")
    assert here.starts() == ("old",) * 3 and here.variables == {}


def test_an_entry_nobody_looked_at_is_not_unpinned(tmp_path: Path) -> None:
    """It could sort before the kept system's."""
    here = Machine(tmp_path)
    here.on_trial()
    text = f"title x\noptions root={OLD_ROOT}\nlinux /{ID}/{OLD}/linux\n"
    (here.esp / "loader/entries/other.conf").write_text(text)
    assert here.metal.call("confirm") == 1
    assert "loader/entries/other.conf is new" in LOADER.view(here.boot).result
    assert here.variables == {efivars.DEFAULT: "twinboot-previous-tb1.conf"}


def test_a_one_shot_the_firmware_did_not_clear_is_cleared_by_the_trial(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.on_trial(cleared=False)
    here.metal.expected += "service nginx.service\n"
    assert here.metal.call("confirm") == 1
    assert here.starts() == ("old",) * 3
    assert "did not clear LoaderEntryOneShot" in here.metal.said("log")


def test_a_manual_trial_waits_and_is_kept_by_its_command(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.metal.manual = True
    here.on_trial()
    assert here.metal.call("confirm") == 0
    assert LOADER.view(here.boot).state is BootState.TRIAL and here.starts() == ("old",) * 3
    assert here.metal.call("keep") == 0
    assert here.starts() == ("new",) * 3


def test_a_rolled_back_trial_keeps_nothing(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.on_trial()
    LOADER.roll_back(here.boot, "tb1")
    assert here.metal.call("keep") != 0 and "it was rolled back" in here.metal.said("log")
    assert here.starts() == ("old",) * 3


def test_the_note_names_systemd_boot_s_own_way_back(tmp_path: Path) -> None:
    trial = confirm.Trial(
        run="tb1", root=NEW_ROOT, old_root=OLD_ROOT, loader="systemd-boot", boot="/boot/efi", folder="loader"
    )
    confirm.install(tmp_path, trial, b"#!/bin/sh\n", "end\n")
    note = (tmp_path / confirm.NOTE).read_text()
    assert (
        "bootctl set-default twinboot-previous-tb1.conf" in note and "/boot/efi/twinboot/tb1/result" in note
    )
    assert "GRUB" not in note and "@" not in note
    conf = (tmp_path / confirm.home("tb1") / "conf").read_text()
    assert "loader systemd-boot\n" in conf and "boot /boot/efi\n" in conf


def test_a_kernel_that_is_not_the_one_that_runs_is_not_what_is_kept(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    here.on_trial()
    (here.work / "kernels" / f"vmlinuz-{NEW}").write_bytes(tiny_kernel("another"))
    (here.work / "release").write_text("6.1.0-0-amd64\n")
    assert here.metal.call("confirm") != 0
    assert here.starts() == ("old",) * 3
