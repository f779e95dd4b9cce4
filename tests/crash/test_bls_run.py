"""Keep where GRUB makes its entries of loader/entries, cut off at every write: real sh, real GRUB 2.14."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from tests.crash.grubmachine import OLD, start
from tests.crash.lab import LOADER, NEW, NEW_ROOT, OLD_ROOT, opened
from tests.crash.metal import Metal
from tests.crash.test_bls_boots import came, everything, on_trial
from tests.crash.test_default_metal import DARK

pytestmark = [pytest.mark.root, pytest.mark.full]

WRITERS = ("ln", "cp", "mv", "rm", "dd", "grub-editenv")
"""Programs that keep writes to /boot by."""


def keep(boot: Boot, work: Path, limit: int) -> int:
    """The trial's confirm unit, whose programs end their work after `limit` writes; how many they made."""
    dark = work / "dark"
    dark.mkdir()
    (dark / "count").write_text("0\n")
    metal = Metal(work / "metal", boot.place.boot, path=f"{dark}:")
    (metal.work / "owned").write_text(f"vmlinuz-{OLD}\n")
    for name in WRITERS:
        text = DARK
        words = {"@NAME@": name, "@REAL@": shutil.which(name), "@FOLDER@": dark, "@LIMIT@": limit}
        for mark, value in words.items():
            text = text.replace(mark, str(value))
        (dark / name).write_text(text)
        (dark / name).chmod(0o755)
    metal.call("confirm")
    return int((dark / "count").read_text())


@pytest.mark.timeout(600)
def test_cut_off_anywhere_the_old_or_the_new_system_starts_and_the_old_one_can_stay(
    bls_disk: Path, tmp_path: Path
) -> None:
    with opened(bls_disk, tmp_path) as boot:
        first = everything(boot)
        on_trial(boot, tmp_path)
    tried = tmp_path / "tried.img"
    shutil.copy(bls_disk, tried)
    starts, limit, made = [], 0, 0
    while made >= limit - 1:
        shutil.copy(tried, bls_disk)
        work = tmp_path / f"cut{limit}"
        work.mkdir()
        with opened(bls_disk, work) as boot:
            made = keep(boot, work, limit)
            kept = LOADER.view(boot).state is BootState.KEPT
        starts.append(came(start(bls_disk)))
        assert starts[-1] == ((NEW, NEW_ROOT) if kept else (OLD, OLD_ROOT)), f"cut after {limit} writes"
        with opened(bls_disk, work) as boot:
            if kept:
                LOADER.roll_back(boot, "tb1")
            LOADER.restore(boot, "tb1", tuple(name for name in first if "/" not in name))
            assert everything(boot) == first, f"cut after {limit} writes"
        limit += 1
    assert len(starts) > 12 and starts[-1] == (NEW, NEW_ROOT)
    assert starts == sorted(starts, key=lambda each: each[0] == NEW), "once new, always new"
