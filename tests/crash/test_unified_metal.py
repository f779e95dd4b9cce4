"""Trials on the metal where systemd-boot starts unified images: the sh file over a folder that is the ESP."""

from __future__ import annotations

from pathlib import Path

from appliance.boot import efivars
from appliance.boot.shapes import BootState
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT
from tests.crash.sdmachine import ID, LOADER, image_of
from tests.crash.sdmetal import Unified

IMAGES = "EFI/Linux"


def test_a_well_trial_is_kept_by_an_image_of_its_own_kernel_install(tmp_path: Path) -> None:
    here = Unified(tmp_path)
    here.on_trial()
    assert here.metal.call("confirm") == 0, here.metal.said("stderr")
    view = LOADER.view(here.boot)
    assert view.state is BootState.KEPT and "verdict good\nkept yes\n" in view.result
    assert view.own is not None and view.own.root == NEW_ROOT and "twinboot" not in view.own.options
    assert view.own.kernel == f"{IMAGES}/{ID}-{NEW}.efi"
    assert here.variables == {} and here.starts() == ("new",) * 3
    assert [p.name for p in (here.esp / IMAGES).glob("*+*")] == []  # judged already: not counted
    assert here.metal.call("keep") == 0 and here.metal.call("confirm") == 0  # safe to repeat
    LOADER.roll_back(here.boot, "tb1")
    assert here.starts() == ("old",) * 3


def test_an_image_that_boots_another_root_is_given_back(tmp_path: Path) -> None:
    here = Unified(tmp_path)
    here.on_trial()
    (here.work / "kernel-install.wrong").touch()
    assert here.metal.call("confirm") == 1
    view = LOADER.view(here.boot)
    assert view.state is BootState.TRIAL and here.metal.rebooted
    assert f"kernel-install made no entry for {NEW} that boots {NEW_ROOT}" in view.result
    assert here.starts() == ("old",) * 3


def test_an_image_that_still_names_the_old_root_is_not_what_is_kept(tmp_path: Path) -> None:
    here = Unified(tmp_path)
    here.on_trial()
    (here.work / "etc-kernel/cmdline").write_text(f"root={OLD_ROOT} ro quiet\n")
    assert here.metal.call("confirm") == 1
    assert f"{ID}-{NEW}.efi is new and boots another system" in LOADER.view(here.boot).result
    assert here.starts() == ("old",) * 3


def test_an_image_nobody_looked_at_is_not_unpinned(tmp_path: Path) -> None:
    """It could sort before the kept system's."""
    here = Unified(tmp_path)
    here.on_trial()
    (here.esp / IMAGES / "other.efi").write_bytes(image_of("9.9", OLD_ROOT))
    assert here.metal.call("confirm") == 1
    assert f"{IMAGES}/other.efi is new and boots another system" in LOADER.view(here.boot).result
    assert here.variables == {efivars.DEFAULT: "twinboot-previous-tb1.conf"}
