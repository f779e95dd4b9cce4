"""The sector that decides is damaged after a keep: GRUB boots its own default, and there is a way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.workflow.steps.undo import is_clear
from tests.crash.lab import NEW, NEW_ROOT
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import (
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    Act,
    after,
    arm,
    boot_on,
    boots,
    cuts,
    finishes_when_repeated,
    keep_on_the_metal,
    set_state,
)
from tests.crash.test_undo_cuts import is_as_installed, roll_back, undo

KEPT = (arm, set_state(BootState.TRIAL), keep_on_the_metal)
LOST = {
    "zeros": bytes(env.SECTOR),
    "noise": b"\xa5" * env.SECTOR,
    "a state nobody knows": env.block(BootState.KEPT, "tb1").replace(b"=kept", b"=kexx")[: env.SECTOR],
}
FIRST = "/dev/mapper/vg0-first"


def lose(sector: bytes) -> Act:
    return lambda boot: boot.disk.write_sector(SECTOR_PATH, sector)


def settle(boot: Boot) -> None:
    LOADER.settle(boot, "tb1", "aa-bb")


@pytest.fixture(params=LOST)
def lost(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A machine whose run was kept and whose sector does not read."""
    return after(tmp_path, *KEPT, lose(LOST[request.param]))


def test_what_grubs_own_default_boots_was_kept(lost: Place) -> None:
    seen = LOADER.view(boot_on(lost)[0])
    assert (seen.state, seen.run, seen.sector_lost) == (BootState.KEPT, "tb1", True)
    assert seen.next_boot == seen.own and seen.own is not None and seen.own.root == NEW_ROOT
    assert seen.fallback is not None and boots(lost) == NEW_ALWAYS


def test_a_sector_that_reads_is_not_lost(tmp_path: Path) -> None:
    seen = LOADER.view(boot_on(after(tmp_path, *KEPT))[0])
    assert (seen.state, seen.run, seen.sector_lost) == (BootState.KEPT, "tb1", False)


def test_it_is_rolled_back_and_undone(lost: Place) -> None:
    boot, disk = boot_on(lost)
    roll_back(boot)
    cuts(disk, {NEW_ALWAYS, OLD_ALWAYS})
    assert boots(disk.live) == OLD_ALWAYS
    seen = LOADER.view(boot)
    assert (seen.state, seen.run, seen.sector_lost) == (BootState.ROLLED_BACK, "tb1", False)
    boot, disk = boot_on(disk.live)
    undo(boot)
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)


def test_it_is_not_undone_from_under_the_machine(lost: Place) -> None:
    boot, disk = boot_on(lost)
    with pytest.raises(Refused, match="roll it back first"):
        undo(boot)
    assert boots(disk.live) == NEW_ALWAYS


@pytest.mark.parametrize("act", [roll_back, settle])
def test_an_act_on_it_cut_at_any_write_finishes_when_repeated(lost: Place, act: Act) -> None:
    finishes_when_repeated(lost, act, act.__name__)


def test_its_old_system_is_retired(lost: Place) -> None:
    boot, disk = boot_on(lost)
    settle(boot)
    cuts(disk, {NEW_ALWAYS, ("settle",) * 3})
    boot, disk = boot_on(disk.live)
    LOADER.settled(boot, "tb1", NEW_ROOT, FIRST)
    assert boots(disk.live) == (f"kernel {NEW} with root {FIRST}",) * 3
    assert "twinboot" not in disk.live.names


def test_lost_while_it_was_retired_it_is_not_rolled_back_to_what_may_be_gone(tmp_path: Path) -> None:
    place = after(tmp_path, *KEPT, settle, lose(LOST["zeros"]))
    boot, disk = boot_on(place)
    with pytest.raises(Refused, match="retire again"):
        roll_back(boot)
    assert boots(disk.live) == boots(place)
    settle(boot)
    assert boots(disk.live) == ("settle",) * 3


BEFORE: dict[str, tuple[Act, ...]] = {
    "staged": (),
    "armed": (arm,),
    "on trial": (arm, set_state(BootState.TRIAL)),
}


@pytest.mark.parametrize("name", BEFORE)
def test_lost_before_a_keep_the_old_system_boots_and_all_of_ours_can_go(tmp_path: Path, name: str) -> None:
    boot, disk = boot_on(after(tmp_path, *BEFORE[name], lose(LOST["zeros"])))
    seen = LOADER.view(boot)
    assert (seen.state, seen.run, seen.sector_lost) == (BootState.DAMAGED, "", False)
    assert boots(disk.live) == OLD_ALWAYS
    undo(boot)
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    assert is_clear(boot, LOADER.view(boot)) and is_as_installed(disk.live)


def test_a_run_whose_own_record_does_not_read_either_is_not_guessed(tmp_path: Path) -> None:
    def spoil(boot: Boot) -> None:
        boot.disk.create("twinboot/tb1/manifest.json", b"{")
        boot.disk.settle()

    seen = LOADER.view(boot_on(after(tmp_path, *KEPT, spoil, lose(LOST["zeros"])))[0])
    assert (seen.state, seen.run) == (BootState.DAMAGED, "")
