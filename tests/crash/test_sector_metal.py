"""Trials on the metal whose sector lies apart from /boot, on a mount of its own.

That is a FAT on a machine; here it is a file system that this kernel has.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.flip import RealDisk
from appliance.boot.place import SECTOR_PATH, Boot, Sector, SectorPlace
from appliance.boot.raw import GrubReader
from appliance.boot.shapes import BootState
from tests.crash import grubmachine
from tests.crash.lab import HOST, LOADER, opened, wanted
from tests.crash.metal import Metal

pytestmark = pytest.mark.root
SECTORS = 8 << 11


@dataclass
class Apart:
    """A machine on trial, and where its sector is mounted."""

    boot: Boot
    at: Path
    metal: Metal

    @property
    def state(self) -> BootState:
        return env.state_of(env.values_of(self.boot.sector.read()))


@pytest.fixture
def apart(disk: Path, tmp_path: Path) -> Iterator[Apart]:
    image, at = tmp_path / "sector.img", tmp_path / "sector"
    at.mkdir()
    with image.open("wb") as out:
        out.truncate(SECTORS * 512)
    grubmachine.run("mkfs.ext4", "-q", "-F", str(image))
    with opened(disk, tmp_path) as real, grubmachine.looped(image, 0, SECTORS) as loop:
        grubmachine.run("mount", "-t", "ext4", loop, str(at))
        try:
            place = SectorPlace(at, loop, "ext4", grubmachine.ESP, str(at), "twinboot/5c2a/env")
            sector = Sector(RealDisk(HOST, at), GrubReader(HOST, loop), place.path)
            boot = replace(real, place=replace(real.place, sector=place), apart=sector)
            LOADER.stage(boot, wanted(tmp_path / "new"))
            LOADER.arm(boot, "tb1")
            sector.disk.write_sector(place.path, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
            sector.disk.settle()
            metal = Metal(tmp_path / "metal", boot.place.boot, sector=str(at), env=f"{at}/{place.path}")
            yield Apart(boot, at, metal)
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                grubmachine.run("umount", str(at))


def test_a_well_trial_is_kept_there(apart: Apart) -> None:
    assert apart.metal.call("confirm") == 0, apart.metal.said("stderr")
    view = LOADER.view(apart.boot)
    assert view.state is BootState.KEPT and "kept yes" in view.result
    assert apart.boot.disk.read(SECTOR_PATH) is None
    assert apart.metal.call("confirm") == 0 and apart.metal.call("keep") == 0  # safe to repeat


def test_one_that_fstab_mounts_read_only_is_written_all_the_same(apart: Apart) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(apart.at)], check=True)
    assert apart.metal.call("confirm") == 0, apart.metal.said("stderr")
    assert apart.state is BootState.KEPT


def test_where_it_is_not_mounted_and_can_not_be_the_trial_is_given_back(apart: Apart) -> None:
    subprocess.run(["umount", str(apart.at)], check=True)
    assert apart.metal.call("confirm") == 1 and apart.metal.rebooted
    assert "is not there or cannot be written" in apart.metal.said("log")
    assert apart.state is BootState.TRIAL


def test_where_its_file_is_gone_the_trial_is_given_back(apart: Apart) -> None:
    (apart.at / "twinboot/5c2a/env").unlink()
    assert apart.metal.call("confirm") == 1 and apart.metal.rebooted


def test_what_names_another_run_is_not_kept(apart: Apart) -> None:
    apart.boot.sector.disk.write_sector(
        apart.boot.sector.path, env.block(BootState.TRIAL, "tb9")[: env.SECTOR]
    )
    assert apart.metal.call("confirm") == 1 and apart.metal.rebooted
    assert f"{apart.metal.env} names another run" in apart.metal.said("log")


def test_the_way_back_by_hand_writes_it(apart: Apart) -> None:
    """The line of TWINBOOT.txt."""
    assert apart.metal.call("confirm") == 0
    source = apart.boot.place.boot / "twinboot/tb1/env.rolledback"
    grubmachine.run("dd", f"if={source}", f"of={apart.metal.env}", "bs=512", "count=1", "conv=notrunc,fsync")
    apart.boot.sector.disk.settle()
    assert apart.state is BootState.ROLLED_BACK
