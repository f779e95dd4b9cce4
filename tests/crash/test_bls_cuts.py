"""A power cut at every write, where GRUB makes its entries of loader/entries: the old system or the new."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from tests.crash import blsmachine
from tests.crash.blsmachine import OLDER, config, entry, file_of, grubenv, name_of, wanted
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT
from tests.crash.modeldisk import Place, PowerCut
from tests.crash.test_cuts import (
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    TRIAL_ONCE,
    Act,
    arm,
    boot_and_run,
    boot_on,
    boots,
    cuts,
    finishes_when_repeated,
    set_state,
)
from tests.crash.tinykernel import tiny_kernel

SETTLE = ("settle",) * 3


def installed() -> Place:
    files = {"grub/grub.cfg": config().encode(), "grub/grubenv": grubenv(name_of(OLD))}
    for version in (OLD, OLDER):
        files[f"vmlinuz-{version}"] = tiny_kernel(f"kernel {version}", 60_000)
        files[f"initrd.img-{version}"] = f"initrd {version}".encode() + b"\0" * 5000
        files[file_of(version)] = entry(version).encode()
    place = Place({"grub": 1, "loader": 1, "loader/entries": 1}, {})
    for number, (path, data) in enumerate(files.items(), 2):
        place.names[path], place.inodes[number] = number, data
    return place


def keep_on_the_metal(boot: Boot) -> None:
    """The same writes as confirm/keep-bls.sh makes (test_bls_boots runs the sh file itself)."""
    disk, run = boot.disk, "twinboot/tb1"
    for name in (f"vmlinuz-{NEW}", f"initrd.img-{NEW}", f"config-{NEW}", f"System.map-{NEW}"):
        disk.link(f"{run}/files/{name}", name)
    disk.settle()
    for name in disk.names(f"{run}/bls"):
        path, data = f"loader/entries/{name}", disk.read(f"{run}/bls/{name}") or b""
        if disk.read(path) is not None:
            disk.link(path, f"{run}/was/{name}")
        disk.create(f"{path}.twinboot", data)
    disk.settle()
    for name in disk.names(f"{run}/bls"):
        disk.rename(f"loader/entries/{name}.twinboot", f"loader/entries/{name}")
    disk.settle()
    block = env.with_value(disk.read("grub/grubenv") or b"", "saved_entry", name_of(NEW))
    disk.create("grub/grubenv", block)
    disk.settle()
    set_state(BootState.KEPT)(boot)
    boot.sector.disk.settle()


def staged(tmp: Path) -> Place:
    boot, disk = boot_on(installed())
    LOADER.stage(boot, wanted(tmp / "new"))
    return disk.live


def after(tmp: Path, *acts: Act) -> Place:
    place = staged(tmp)
    for act in acts:
        place = boot_and_run(place, act).live
    return place


def on_trial(tmp: Path) -> Place:
    return after(tmp, arm, set_state(BootState.TRIAL))


def is_as_installed(place: Place) -> bool:
    first = installed()
    return {p: place.read(p) for p in place.names} == {p: first.read(p) for p in first.names}


def test_stage_and_arm(tmp_path: Path) -> None:
    boot, disk = boot_on(installed())
    LOADER.stage(boot, wanted(tmp_path / "new"))
    assert cuts(disk, {OLD_ALWAYS}, sparse=True) > 50
    boot, disk = boot_on(disk.live)
    LOADER.arm(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, TRIAL_ONCE})
    assert boots(disk.live) == TRIAL_ONCE


def test_keep(tmp_path: Path) -> None:
    disk = boot_and_run(on_trial(tmp_path), keep_on_the_metal)
    assert cuts(disk, {OLD_ALWAYS, NEW_ALWAYS}) > 50
    assert boots(disk.live) == NEW_ALWAYS


def test_roll_back_then_restore(tmp_path: Path) -> None:
    disk = boot_and_run(on_trial(tmp_path), keep_on_the_metal)
    boot, disk = boot_on(disk.live)
    LOADER.roll_back(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    boot, disk = boot_on(disk.live)
    LOADER.restore(boot, "tb1", tuple(installed().names))
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert is_as_installed(disk.live)


def test_restore_after_a_keep_that_was_cut(tmp_path: Path) -> None:
    """Entries may boot the new root already while the sector still says trial."""
    place = on_trial(tmp_path)
    for cut in range(len(boot_and_run(place, keep_on_the_metal).moments) - 1):
        boot, disk = boot_on(place, cut)
        with pytest.raises(PowerCut):
            keep_on_the_metal(boot)
        boot, disk = boot_on(disk.live)
        if LOADER.view(boot).state is BootState.KEPT:
            continue
        LOADER.restore(boot, "tb1", tuple(installed().names))
        cuts(disk, {OLD_ALWAYS}, sparse=True)
        assert is_as_installed(disk.live), f"cut at {cut}"


def test_settle_and_settled(tmp_path: Path) -> None:
    boot, disk = boot_on(boot_and_run(on_trial(tmp_path), keep_on_the_metal).live)
    LOADER.settle(boot, "tb1", "aa-bb")
    cuts(disk, {NEW_ALWAYS, SETTLE}, sparse=True)
    boot, disk = boot_on(disk.live)
    LOADER.settled(boot, "tb1", NEW_ROOT, "/dev/mapper/vg0-first")
    first = (f"kernel {NEW} with root /dev/mapper/vg0-first",) * 3
    cuts(disk, {SETTLE, first}, sparse=True)
    assert boots(disk.live) == first and "twinboot" not in disk.live.names
    roots = {blsmachine.root_named(disk.live.read(file_of(v)) or b"") for v in (NEW, OLD)}
    assert roots == {"/dev/mapper/vg0-first"}


def test_an_entry_that_no_run_made_is_not_touched(tmp_path: Path) -> None:
    """The older kernel is none of the new system's: its entry names the old root, kept or not."""
    place = boot_and_run(on_trial(tmp_path), keep_on_the_metal).live
    assert place.read(file_of(OLDER)) == entry(OLDER, OLD_ROOT).encode()


ACTS: dict[str, tuple[tuple[Act, ...], Act]] = {
    "roll back": ((arm,), lambda boot: LOADER.roll_back(boot, "tb1")),
    "restore": (
        (arm, set_state(BootState.TRIAL), keep_on_the_metal, lambda b: LOADER.roll_back(b, "tb1")),
        lambda boot: LOADER.restore(boot, "tb1", tuple(installed().names)),
    ),
    "settled": (
        (arm, set_state(BootState.TRIAL), keep_on_the_metal, lambda b: LOADER.settle(b, "tb1", "aa-bb")),
        lambda boot: LOADER.settled(boot, "tb1", NEW_ROOT, "/dev/mapper/vg0-first"),
    ),
}


@pytest.mark.parametrize("name", ["stage", *ACTS])
def test_an_act_cut_at_any_write_finishes_when_repeated(tmp_path: Path, name: str) -> None:
    if name == "stage":
        finishes_when_repeated(installed(), lambda boot: LOADER.stage(boot, wanted(tmp_path / "new")), name)
        return
    before, act = ACTS[name]
    finishes_when_repeated(after(tmp_path, *before), act, name)
