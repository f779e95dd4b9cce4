"""GRUB reads /boot on LVM and can not write there: the sector on the ESP decides. Real SeaBIOS, real GRUB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState
from tests.crash.blockcuts import Recorder, WatchedDisk
from tests.crash.grubmachine import ESP_SECTORS, ESP_START, start
from tests.crash.lab import LOADER, SECTOR, opened, opened_apart, wanted
from tests.crash.test_block_cuts import flipped, hold, started_from
from tests.crash.test_grub_boots import armed as armed_in_boot
from tests.crash.test_grub_boots import is_old, is_previous, is_trial

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


def armed(disk: Path, work: Path) -> None:
    with opened_apart(disk, work) as boot:
        LOADER.stage(boot, wanted(work / "new"))
        LOADER.arm(boot, "tb1")


def test_staged_changes_nothing_about_the_next_boot(lvm_disk: Path, tmp_path: Path) -> None:
    with opened_apart(lvm_disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new"))
        view = LOADER.view(boot)
        assert view.state is BootState.STAGED and view.next_boot == view.own
        assert boot.disk.read(SECTOR_PATH) is None and len(boot.sector.read() or b"") == env.SIZE
    assert is_old(started := start(lvm_disk)) and "twinboot" not in started.line


def test_armed_boots_the_trial_once_then_the_previous_system_for_good(lvm_disk: Path, tmp_path: Path) -> None:
    armed(lvm_disk, tmp_path)
    assert is_trial(start(lvm_disk))
    with opened_apart(lvm_disk, tmp_path) as boot:
        view = LOADER.view(boot)
        assert (view.state, view.once) == (BootState.TRIAL, False)
    assert is_previous(start(lvm_disk))
    assert is_previous(start(lvm_disk))


def test_a_sector_in_boot_itself_would_start_no_trial(lvm_disk: Path, tmp_path: Path) -> None:
    """Why it lies elsewhere: GRUB finds that its own write did not come through."""
    armed_in_boot(lvm_disk, tmp_path)
    assert is_previous(start(lvm_disk))
    with opened(lvm_disk, tmp_path) as boot:
        assert LOADER.view(boot).state is BootState.ARMED


def test_a_disk_that_refuses_writes_boots_the_old_system(lvm_disk: Path, tmp_path: Path) -> None:
    armed(lvm_disk, tmp_path)
    assert is_previous(start(lvm_disk, readonly=True))
    assert is_trial(start(lvm_disk))  # nothing was consumed


@pytest.mark.parametrize("damage", [b"\0" * 512, b"\xff" * 1024, b"", b"tb_state=armed\n" * 40])
def test_a_damaged_sector_boots_the_old_system(lvm_disk: Path, tmp_path: Path, damage: bytes) -> None:
    armed(lvm_disk, tmp_path)
    with opened_apart(lvm_disk, tmp_path) as boot:
        boot.sector.disk.create(SECTOR, damage)
    assert is_old(start(lvm_disk))


@pytest.mark.parametrize("lost", ["file", "partition", "first FAT"])
def test_a_lost_esp_boots_the_old_system(lvm_disk: Path, tmp_path: Path, lost: str) -> None:
    armed(lvm_disk, tmp_path)
    with opened_apart(lvm_disk, tmp_path) as boot:
        if lost == "file":
            boot.sector.disk.remove(SECTOR)
    if lost != "file":
        with lvm_disk.open("r+b") as out:
            out.seek((ESP_START + (0 if lost == "partition" else 1)) * 512)
            out.write(bytes(512 * (ESP_SECTORS if lost == "partition" else 1)))
    assert is_old(start(lvm_disk))


def test_kept_and_rolled_back_and_all_of_ours_gone(lvm_disk: Path, tmp_path: Path) -> None:
    with opened_apart(lvm_disk, tmp_path) as boot:
        names = boot.disk.names(""), boot.sector.disk.names("")
    armed(lvm_disk, tmp_path)
    with opened_apart(lvm_disk, tmp_path) as boot:
        boot.sector.disk.write_sector(SECTOR, env.block(BootState.KEPT, "tb1")[: env.SECTOR])
    assert "twinboot" not in start(lvm_disk).line  # grub.cfg is still the old system's here
    with opened_apart(lvm_disk, tmp_path) as boot:
        LOADER.roll_back(boot, "tb1")
    assert is_previous(start(lvm_disk))
    with opened_apart(lvm_disk, tmp_path) as boot:
        LOADER.restore(boot, "tb1")
        LOADER.restore(boot, "tb1")
        assert LOADER.view(boot).state is BootState.ABSENT
        assert (boot.disk.names(""), boot.sector.disk.names("")) == names
    assert is_old(started := start(lvm_disk)) and "twinboot" not in started.line


def test_another_systems_sector_on_the_same_esp_stays(lvm_disk: Path, tmp_path: Path) -> None:
    other = "twinboot/0b0b/env"
    with opened_apart(lvm_disk, tmp_path) as boot:
        boot.sector.disk.make_folder("twinboot")
        boot.sector.disk.make_folder("twinboot/0b0b")
        boot.sector.disk.create(other, theirs := env.block(BootState.ROLLED_BACK, "tb1"))
    armed(lvm_disk, tmp_path)
    with opened_apart(lvm_disk, tmp_path) as boot:
        LOADER.disarm(boot, "tb1")
        LOADER.restore(boot, "tb1")
        assert boot.sector.disk.read(other) == theirs and boot.sector.read() is None


def watched(boot: Boot, disk: Path) -> tuple[Boot, Recorder]:
    """Both file systems in one time."""
    recorder = Recorder(disk, behind=ESP_SECTORS)
    apart = replace(boot.sector, disk=WatchedDisk(boot.sector.disk, recorder))  # type: ignore[arg-type]
    seen = replace(boot, disk=WatchedDisk(boot.disk, recorder), apart=apart)  # type: ignore[arg-type]
    return seen, recorder


def test_stage_and_arm_cut_inside_any_write(lvm_disk: Path, tmp_path: Path) -> None:
    with opened_apart(lvm_disk, tmp_path) as real:
        boot, recorder = watched(real, lvm_disk)
        LOADER.stage(boot, wanted(tmp_path / "new"))
        LOADER.arm(boot, "tb1")
    found = started_from(recorder, lvm_disk)
    hold(found, {"old", "trial"}, at_least=40)
    flipped(found, "write_sector", "trial")
