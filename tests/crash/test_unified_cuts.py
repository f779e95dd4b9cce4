"""A power cut at every write where systemd-boot starts unified images: what is not as with plain entries.

What every loader promises is in tests/contract/loaders, where this one is tried as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import efivars, env
from appliance.boot.flip import flip, turn
from appliance.boot.laid import SPARE
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT, wanted
from tests.crash.modeldisk import ModelDisk, Place, PowerCut
from tests.crash.sdmachine import (
    ID,
    LOADER,
    OLDER,
    Act,
    boot_on,
    boots,
    conf_of,
    cuts,
    image_of,
    installed_images,
    kernel_install_image,
    place_of,
    wanted_image,
)
from tests.crash.test_systemd_cuts import NEW_ALWAYS, OLD_ALWAYS, TRIAL_ONCE, is_as_installed
from tests.crash.tinyimage import DEBIAN_13, image, sections_of, unified
from tests.crash.tinykernel import tiny_kernel

IMAGES = "EFI/Linux"
SETTLE = ("settle",) * 3


def keep_on_the_metal(boot: Boot) -> None:
    """The same writes as keep-systemd-boot.sh makes (test_unified_metal runs the sh file itself)."""
    _kept(boot, NEW, "")


def keep_the_same_kernel(boot: Boot) -> None:
    """A patch without a new kernel: kernel-install writes over the image the old system boots by."""
    _kept(boot, OLD, "-b")


def _kept(boot: Boot, version: str, tag: str) -> None:
    kernel_install_image(boot, version, NEW_ROOT, tag)
    boot.disk.settle()
    turn(boot, efivars.DEFAULT, None)
    flip(boot, env.block(BootState.KEPT, "tb1")[: env.SECTOR])
    boot.disk.remove("loader/entries/twinboot-new-tb1.conf")
    boot.disk.settle()


def after(tmp: Path, *acts: Act, version: str = NEW) -> ModelDisk:
    boot, disk = boot_on(installed_images())
    LOADER.stage(boot, wanted_image(tmp / "new", version=version, tag="" if version == NEW else "-b"))
    for act in acts:
        boot, disk = again(disk)
        act(boot)
    return disk


def again(disk: ModelDisk, cut: int = -1) -> tuple[Boot, ModelDisk]:
    return boot_on(disk.live, disk.variables, cut)


def arm(boot: Boot) -> None:
    LOADER.arm(boot, "tb1")


def started(boot: Boot) -> None:
    boot.variables.remove(efivars.ONE_SHOT)


def changed(**files: bytes) -> Place:
    """The installed ESP with more files; a name is a path with / as __."""
    first = installed_images()
    there = {p: first.read(p) or b"" for p, inode in first.names.items() if inode in first.inodes}
    place = place_of(there | {name.replace("__", "/"): data for name, data in files.items()})
    place.names["loader/entries"] = 1
    return place


def test_the_trial_is_started_from_a_copy_with_a_command_line_of_ours(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm))
    trial = (boot.disk.read("loader/entries/twinboot-new-tb1.conf") or b"").decode()
    assert f"efi        /twinboot/tb1/files/{ID}-{NEW}.efi\n" in trial and "linux" not in trial.split()
    assert f"options    root={NEW_ROOT} ro quiet systemd.machine_id={ID} panic=30 noresume" in trial
    previous = (boot.disk.read("loader/entries/twinboot-previous-tb1.conf") or b"").decode()
    assert f"efi        /twinboot/tb1/old/{ID}-{OLD}.efi\n" in previous and f"root={OLD_ROOT} " in previous
    assert boots(disk) == TRIAL_ONCE


def test_the_old_image_may_go_with_its_package_while_the_trial_runs(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started))
    boot.disk.remove(f"{IMAGES}/{ID}-{OLD}.efi")
    kernel_install_image(boot, "6.1.0-99-amd64", NEW_ROOT)
    cuts(disk, {OLD_ALWAYS})
    assert boots(disk) == OLD_ALWAYS


@pytest.mark.parametrize(("keep", "version"), [(keep_on_the_metal, NEW), (keep_the_same_kernel, OLD)])
def test_keep_roll_back_and_restore_leave_the_first_esp(tmp_path: Path, keep: Act, version: str) -> None:
    boot, disk = again(after(tmp_path, arm, started, version=version))
    keep(boot)
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    assert boots(disk) == NEW_ALWAYS and LOADER.view(boot).state is BootState.KEPT
    boot, disk = again(disk)
    LOADER.roll_back(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    boot, disk = again(disk)
    LOADER.restore(boot, "tb1")
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert boots(disk) == OLD_ALWAYS and is_as_installed(disk, installed_images) and disk.variables == {}


def test_an_image_that_the_kept_system_made_over_another_goes_with_it(tmp_path: Path) -> None:
    """The kept system's next kernel is one the old system has as well, and starts no more."""
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    kernel_install_image(boot, OLDER, NEW_ROOT, "-c")
    LOADER.roll_back(boot, "tb1")
    LOADER.restore(boot, "tb1")
    assert boots(disk) == OLD_ALWAYS and f"{IMAGES}/{ID}-{OLDER}.efi" not in disk.live.names


@pytest.mark.parametrize(("keep", "version"), [(keep_on_the_metal, NEW), (keep_the_same_kernel, OLD)])
def test_retired_its_image_names_the_first_root_and_else_is_what_it_made(
    tmp_path: Path, keep: Act, version: str
) -> None:
    tag = "" if version == NEW else "-b"
    boot, disk = again(after(tmp_path, arm, started, keep, version=version))
    LOADER.settle(boot, "tb1", "aa-bb")
    cuts(disk, {NEW_ALWAYS, SETTLE}, sparse=True)
    before = disk
    boot, disk = again(disk)
    LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
    whole, by_name = len(disk.moments), boots(disk)
    cuts(disk, {SETTLE, by_name}, sparse=True)
    (left,) = (n for n in disk.live.names if n.startswith(f"{IMAGES}/"))
    kept, made = disk.live.read(left) or b"", sections_of(image_of(version, NEW_ROOT, tag))
    line = f"root={OLD_ROOT} ro quiet systemd.machine_id={ID}".encode()
    assert sections_of(kept) == {**(made or {}), ".cmdline": line}
    assert left == f"{IMAGES}/{ID}-{version}.efi" and "twinboot" not in disk.live.names
    for cut in range(whole - 1):
        boot, disk = again(before, cut)
        with pytest.raises(PowerCut):
            LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        boot, disk = again(disk)
        LOADER.settled(boot, "tb1", NEW_ROOT, OLD_ROOT)
        assert boots(disk) == by_name and disk.live.read(left) == kept


def test_an_image_without_room_for_the_first_root_is_not_settled(tmp_path: Path) -> None:
    boot, disk = again(after(tmp_path, arm, started, keep_on_the_metal))
    options = f"root={NEW_ROOT} ro".ljust(512, "x")
    full = unified(tiny_kernel(f"kernel {NEW}"), f"initrd {NEW}".encode(), options[:511], NEW)
    boot.disk.create(f"{IMAGES}/{ID}-{NEW}.efi", full)
    manifest = boot.disk.read("twinboot/tb1/manifest.json") or b""
    longer = manifest.replace(OLD_ROOT.encode(), b"/dev/mapper/vg0-debian--root--volume")
    boot.disk.create("twinboot/tb1/manifest.json", longer)
    boot, disk = again(disk)
    with pytest.raises(Refused, match="has no room for a command line that names /dev/mapper/vg0-debian"):
        LOADER.settle(boot, "tb1", "aa-bb")
    assert boots(disk) == NEW_ALWAYS


# -- what is refused --------------------------------------------------------------------------------------


OWN = f"{IMAGES}__{ID}-{OLD}.efi".replace("/", "__")


def _own(**more: bytes) -> bytes:
    line = f"root={OLD_ROOT} ro quiet"
    return unified(tiny_kernel(f"kernel {OLD}"), f"initrd {OLD}".encode(), line, OLD, **more)


SIGNED = image({".osrel": DEBIAN_13.encode(), ".linux": b"x", ".uname": OLD.encode()}, signatures=1500)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, ""),
        ({OWN: _own(pcrsig=b"{}")}, "is signed"),
        ({OWN: SIGNED}, "is signed"),
        ({OWN: _own(profile=b"ID=a\n")}, "several profiles"),
        ({OWN: unified(b"x", b"y", "quiet", OLD)}, "names the root as nothing"),
        ({OWN: unified(b"x", b"y", f"root={OLD_ROOT}", "6.2")}, "none that kernel-install made"),
        ({f"{OWN}.extra.d__a.addon.efi": b"MZ"}, "a copy under another name does not"),
        ({"loader__addons__a.addon.efi": b"MZ"}, "adds to the command line of every unified image"),
        (
            {
                "loader__loader.conf": b"default a.conf\n",
                "loader__entries__a.conf": conf_of(OLD, OLD_ROOT),
                f"{ID}__{OLD}__linux": b"x",
                f"{ID}__{OLD}__initrd.img-{OLD}": b"y",
            },
            "the default entry is none of them",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    boot, disk = boot_on(changed(**files))
    reasons = LOADER.why_not(boot, wanted_image(tmp_path / "new"))
    assert why in " ".join(reasons) and bool(reasons) == bool(why), reasons
    assert len(disk.moments) == 1


def test_an_image_that_is_not_whole_is_no_entry() -> None:
    """As for the loader, which finds no section in it."""
    boot, disk = boot_on(changed(**{OWN: b"MZ"}))
    assert [entry.kernel for entry in LOADER.view(boot).menu] == [f"{IMAGES}/{ID}-{OLDER}.efi"]
    assert boots(disk) == ("older",) * 3


def test_a_system_that_would_make_plain_entries_is_refused(tmp_path: Path) -> None:
    boot, _ = boot_on(installed_images())
    assert "another kind" in " ".join(LOADER.why_not(boot, wanted(tmp_path / "new")))


def test_an_esp_without_room_for_three_copies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, _ = boot_on(installed_images())
    new = wanted_image(tmp_path / "new")
    three = 3 * new.artifacts.file(new.artifacts.kernel).size
    monkeypatch.setattr(ModelDisk, "free", lambda self: SPARE + three)
    assert "MiB free" in LOADER.why_not(boot, new)[0]
