"""The sector on the ESP beside a /boot that GRUB only reads: a power cut at every write of every act."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot.place import SECTOR_PATH
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.workflow.steps.undo import is_clear
from tests.crash.espdisk import EspDisk
from tests.crash.lab import NEW, NEW_ROOT, wanted
from tests.crash.modeldisk import Place, PowerCut
from tests.crash.test_cuts import (
    ACTS,
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    TRIAL_ONCE,
    after,
    arm,
    boot_and_run,
    boot_on,
    boots,
    cuts,
    finishes_when_repeated,
    installed_on_lvm,
    keep_on_the_metal,
    set_state,
    staged,
)
from tests.crash.test_undo_cuts import undo

SETTLE = ("settle",) * 3
FIRST = (f"kernel {NEW} with root /dev/mapper/vg0-first",) * 3
ALLOWED = {
    "arm": {OLD_ALWAYS, TRIAL_ONCE},
    "roll back": {OLD_ALWAYS, TRIAL_ONCE},
    "disarm": {OLD_ALWAYS, TRIAL_ONCE},
    "restore": {OLD_ALWAYS, TRIAL_ONCE},
    "keep": {OLD_ALWAYS, TRIAL_ONCE},
    "settle": {NEW_ALWAYS, SETTLE},
    "settled": {SETTLE, FIRST},
}


def before(tmp: Path, name: str) -> Place:
    return after(tmp, *ACTS[name][0], first=installed_on_lvm())


def is_as_installed(place: Place) -> bool:
    return {p: place.read(p) for p in place.names} == {
        p: installed_on_lvm().read(p) for p in installed_on_lvm().names
    }


def test_nothing_of_it_lies_in_boot(tmp_path: Path) -> None:
    boot, disk = boot_on(staged(tmp_path, installed_on_lvm()))
    assert "esp/twinboot/5c2a/env" in disk.live.names and SECTOR_PATH not in disk.live.names
    assert LOADER.view(boot).state is BootState.STAGED


def test_an_esp_without_room_is_refused_before_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, disk = boot_on(installed_on_lvm())
    monkeypatch.setattr(EspDisk, "free", lambda _: 4096)
    with pytest.raises(Refused, match="The EFI system partition is full"):
        LOADER.stage(boot, wanted(tmp_path / "new"))
    assert len(disk.moments) == 1


def test_stage(tmp_path: Path) -> None:
    boot, disk = boot_on(installed_on_lvm())
    LOADER.stage(boot, wanted(tmp_path / "new"))
    assert cuts(disk, {OLD_ALWAYS}) > 300
    assert boots(disk.live) == OLD_ALWAYS


@pytest.mark.parametrize("name", ACTS)
def test_an_act(tmp_path: Path, name: str) -> None:
    disk = boot_and_run(before(tmp_path, name), ACTS[name][1])
    assert cuts(disk, ALLOWED[name]) >= 3


@pytest.mark.parametrize("name", ACTS)
def test_an_act_cut_at_any_write_finishes_when_repeated(tmp_path: Path, name: str) -> None:
    finishes_when_repeated(before(tmp_path, name), ACTS[name][1], name)


def test_a_stage_cut_at_any_write_is_finished_or_undone(tmp_path: Path) -> None:
    want, place = wanted(tmp_path / "new"), installed_on_lvm()
    finishes_when_repeated(place, lambda boot: LOADER.stage(boot, want), "stage")
    total = len(boot_and_run(place, lambda boot: LOADER.stage(boot, want)).moments) - 1
    for cut in range(total):
        boot, disk = boot_on(place, cut)
        with pytest.raises(PowerCut):
            LOADER.stage(boot, want)
        boot, disk = boot_on(disk.live)
        LOADER.restore(boot, "tb1")
        cuts(disk, {OLD_ALWAYS}, sparse=True)
        assert is_as_installed(disk.live), cut


def test_kept_rolled_back_and_undone(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal, first=installed_on_lvm())
    assert boots(place) == NEW_ALWAYS
    boot, disk = boot_on(place)
    LOADER.roll_back(boot, "tb1")
    cuts(disk, {OLD_ALWAYS, NEW_ALWAYS})
    boot, disk = boot_on(disk.live)
    undo(boot)
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)


def test_lost_with_its_esp_after_a_keep_it_is_what_grubs_own_default_boots(tmp_path: Path) -> None:
    place = after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal, first=installed_on_lvm())
    for name in [name for name in place.names if name.startswith("esp/")]:
        del place.names[name]
    assert boots(place) == NEW_ALWAYS
    seen = LOADER.view(boot_on(place)[0])
    assert seen.own is not None and seen.next_boot == seen.own and seen.own.root == NEW_ROOT
