"""Trials on the metal where systemd-boot starts unified images: the sh file over a folder that is the ESP."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import efivars
from appliance.boot.shapes import BootState
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT
from tests.crash.sdmachine import ID, LOADER, image_of, installed_images, wanted_image
from tests.crash.test_systemd_metal import Machine
from tests.crash.tinyimage import sections_of

IMAGES = "EFI/Linux"


class Unified(Machine):
    """An ESP with unified images; /boot holds kernel and initrd that go into the next one."""

    def __init__(self, work: Path, version: str = NEW) -> None:
        super().__init__(work, version)
        tag = "" if version == NEW else "-b"
        self.want = wanted_image(work / "image", version=version, tag=tag)
        self.metal.unified = True
        found = sections_of((work / "image" / self.want.artifacts.kernel).read_bytes()) or {}
        (self.work / f"kernels/vmlinuz-{version}").write_bytes(found[".linux"])
        (self.work / f"kernels/initrd.img-{version}").write_bytes(found[".initrd"])
        (self.work / "etc-kernel/install.conf").write_text("layout=uki\n")
        (self.work / "etc-kernel/uki.conf").write_text("[UKI]\n")

    @staticmethod
    def installed() -> dict[str, bytes]:
        return Machine._files(installed_images())


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


def test_the_same_kernel_is_kept_over_the_old_image_and_rolled_back(tmp_path: Path) -> None:
    here = Unified(tmp_path, OLD)
    here.on_trial()
    assert here.metal.call("confirm") == 0, here.metal.said("stderr")
    assert here.starts() == ("new",) * 3
    LOADER.roll_back(here.boot, "tb1")
    assert here.starts() == ("old",) * 3
    LOADER.restore(here.boot, "tb1")
    there = {str(p.relative_to(here.esp)): p.read_bytes() for p in here.esp.rglob("*") if p.is_file()}
    assert there == Unified.installed() and here.variables == {}


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ("kernel-install.fails", "kernel-install failed: no space left"),
        ("kernel-install.wrong", f"kernel-install made no entry for {NEW} that boots {NEW_ROOT}"),
        ("complete.fails", "boot-complete.target was not reached"),
    ],
)
def test_a_trial_that_can_not_be_kept_is_given_back(tmp_path: Path, spoilt: str, why: str) -> None:
    here = Unified(tmp_path)
    here.on_trial()
    (here.work / spoilt).touch()
    assert here.metal.call("confirm") == 1
    view = LOADER.view(here.boot)
    assert view.state is BootState.TRIAL and why in view.result and here.metal.rebooted
    assert here.starts() == ("old",) * 3


def test_an_image_that_still_names_the_old_root_is_not_what_is_kept(tmp_path: Path) -> None:
    here = Unified(tmp_path)
    here.on_trial()
    (here.work / "etc-kernel/cmdline").write_text(f"root={OLD_ROOT} ro quiet\n")
    assert here.metal.call("confirm") == 1
    assert f"{ID}-{NEW}.efi is new and boots another system" in LOADER.view(here.boot).result
    assert here.starts() == ("old",) * 3


def test_a_keep_whose_power_goes_within_kernel_install_leaves_the_old_system(tmp_path: Path) -> None:
    here = Unified(tmp_path, OLD)
    here.on_trial()
    (here.work / "kernel-install.dies").touch()
    here.metal.call("confirm")
    assert here.starts() == ("old",) * 3
    LOADER.restore(here.boot, "tb1")
    assert here.starts() == ("old",) * 3 and here.variables == {}


def test_an_image_nobody_looked_at_is_not_unpinned(tmp_path: Path) -> None:
    """It could sort before the kept system's."""
    here = Unified(tmp_path)
    here.on_trial()
    (here.esp / IMAGES / "other.efi").write_bytes(image_of("9.9", OLD_ROOT))
    assert here.metal.call("confirm") == 1
    assert f"{IMAGES}/other.efi is new and boots another system" in LOADER.view(here.boot).result
    assert here.variables == {efivars.DEFAULT: "twinboot-previous-tb1.conf"}
