"""Undo everything, out of /boot: what was there of ours goes, and each cut leaves the old system booting."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.workflow.steps.undo import is_clear, leave
from tests.crash.lab import OLD_ROOT, wanted
from tests.crash.modeldisk import Place, PowerCut
from tests.crash.test_cuts import (
    LOADER,
    OLD_ALWAYS,
    TRIAL_ONCE,
    Act,
    after,
    arm,
    boot_and_run,
    boot_on,
    boots,
    cuts,
    installed,
    keep_on_the_metal,
    set_state,
)


def roll_back(boot: Boot) -> None:
    LOADER.roll_back(boot, "tb1")


def undo(boot: Boot) -> None:
    leave(LOADER, boot, tuple(installed().names))


def is_as_installed(place: Place) -> bool:
    return {p: place.read(p) for p in place.names} == {p: installed().read(p) for p in installed().names}


FOUND: dict[str, tuple[Act, ...]] = {
    "staged": (),
    "armed": (arm,),
    "on trial": (arm, set_state(BootState.TRIAL)),
    "kept and rolled back": (arm, set_state(BootState.TRIAL), keep_on_the_metal, roll_back),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_goes_and_each_cut_boots_what_the_sector_says(tmp_path: Path, name: str) -> None:
    place = after(tmp_path, *FOUND[name])
    boot, disk = boot_on(place)
    assert not is_clear(boot, LOADER.view(boot))
    undo(boot)
    cuts(disk, {OLD_ALWAYS, TRIAL_ONCE} if name == "armed" else {OLD_ALWAYS}, sparse=True)
    assert is_clear(boot, LOADER.view(boot))
    assert is_as_installed(disk.live)
    undo(boot)
    assert is_as_installed(disk.live)


@pytest.mark.parametrize("name", FOUND)
def test_cut_at_any_write_it_ends_the_same_when_repeated(tmp_path: Path, name: str) -> None:
    place = after(tmp_path, *FOUND[name])
    total = len(boot_and_run(place, undo).moments) - 1
    for cut in range(total):
        boot, disk = boot_on(place, cut)
        with pytest.raises(PowerCut):
            undo(boot)
        again, disk = boot_on(disk.live)
        undo(again)
        assert is_as_installed(disk.live), f"{name} cut at write {cut}"


def test_two_runs_go_with_all_they_left(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, roll_back))
    LOADER.stage(boot, wanted(tmp_path / "second", run="tb2"))
    LOADER.arm(boot, "tb2")
    undo(boot)
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)
    assert boots(disk.live) == OLD_ALWAYS


def test_a_kept_system_is_not_taken_from_under_the_machine(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal)
    boot, disk = boot_on(place)
    with pytest.raises(Refused, match="roll it back first"):
        undo(boot)
    assert boots(disk.live) == boots(place)


def test_a_run_tried_after_one_that_was_kept_and_rolled_back_goes_with_it(tmp_path: Path) -> None:
    """grub.cfg still boots the first run's root; it is put back where that run goes, not before."""
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal, roll_back)
    boot, disk = boot_on(place)
    second = replace(wanted(tmp_path / "second", run="tb2", version="6.1.0-41-amd64"), old_root=OLD_ROOT)
    LOADER.stage(boot, second)
    LOADER.arm(boot, "tb2")
    boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb2")[: env.SECTOR])
    undo(boot)
    assert boots(disk.live) == OLD_ALWAYS
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)


def test_the_last_run_to_go_leaves_no_sector_of_one_that_went_before(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, roll_back))
    second = replace(wanted(tmp_path / "second", run="tb2"), old_root=OLD_ROOT)
    LOADER.stage(boot, second)
    LOADER.arm(boot, "tb2")
    owned = tuple(installed().names)
    LOADER.restore(boot, "tb1", owned)
    LOADER.roll_back(boot, "tb2")
    LOADER.restore(boot, "tb2", owned)
    assert boots(disk.live) == OLD_ALWAYS
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)
