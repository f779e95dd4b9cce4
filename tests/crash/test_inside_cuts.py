"""The same where /boot is a folder of each of two roots: a cut inside any write, in either of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH
from appliance.boot.shapes import BootState
from tests.crash.blockcuts import Recorder, cut_disks
from tests.crash.grubmachine import OLD, Started, start
from tests.crash.insideroot import NEW_CALLED, OLD_CALLED, both, by_uuid, install_second, metal_of
from tests.crash.lab import LOADER, NEW
from tests.crash.test_block_cuts import flipped, hold, keep_recorded, watched

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]
SPARE = int(os.environ.get("TWINBOOT_CUTS", "1"))


def what(started: Started) -> str:
    if started.kernel.removeprefix("kernel ") != started.initrd.removeprefix("initrd "):
        return str(started)
    if (started.kernel, started.root) == (f"kernel {OLD}", OLD_CALLED):
        return "old"
    if (started.kernel, started.root) == (f"kernel {NEW}", NEW_CALLED):
        return "trial" if "twinboot.trial=tb1" in started.line else "new"
    return str(started)


def started_from(recorder: Recorder, disk: Path) -> dict[str, str]:
    return {name: what(start(disk, throwaway=True)) for name in cut_disks(recorder, disk, SPARE)}


def test_stage_and_arm(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        install_second(roots, tmp_path)
        boot, recorder = watched(roots.boot, inside, 2)
        LOADER.stage(boot, by_uuid(tmp_path))
        LOADER.arm(boot, "tb1")
    found = started_from(recorder, inside)
    hold(found, {"old", "trial"}, at_least=40)
    flipped(found, "write_sector", "trial")


def test_keep_on_the_metal(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        install_second(roots, tmp_path)
        LOADER.stage(roots.boot, by_uuid(tmp_path))
        LOADER.arm(roots.boot, "tb1")
        roots.boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
        roots.boot.disk.settle()
        recorder = keep_recorded(metal_of(roots, tmp_path), Recorder(inside, 2))
    labels = [epoch.label for epoch in recorder.epochs]
    assert any(":mv" in x and "grub.cfg" in x for x in labels) and any(":cp" in x for x in labels)
    found = started_from(recorder, inside)
    hold(found, {"old", "new"}, at_least=15)
    flipped(found, ":dd", "new")


@pytest.mark.full
def test_roll_back_and_restore(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        install_second(roots, tmp_path)
        LOADER.stage(roots.boot, by_uuid(tmp_path))
        LOADER.arm(roots.boot, "tb1")
        roots.boot.disk.settle()
        boot, recorder = watched(roots.boot, inside, 2)
        LOADER.roll_back(boot, "tb1")
        LOADER.restore(boot, "tb1")
    hold(started_from(recorder, inside), {"old", "trial"}, at_least=15)
