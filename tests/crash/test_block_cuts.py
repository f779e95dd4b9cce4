"""Real ext4, real sh, real GRUB: each disk that a cut inside a write may leave is started."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from appliance.boot import env, flip
from appliance.boot.place import SECTOR_PATH, Boot, BootDisk
from appliance.boot.shapes import BootState
from tests.crash.blockcuts import Recorder, WatchedDisk, cut_disks
from tests.crash.grubmachine import OLD, Started, start
from tests.crash.lab import LOADER, NEW, NEW_ROOT, OLD_ROOT, opened, wanted
from tests.crash.metal import Metal

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
# Random subsets per write: a few in every run, many where somebody asks for them.
SPARE = int(os.environ.get("TWINBOOT_CUTS", "1"))


def what(started: Started) -> str:
    """old, trial, new, or what else it was; kernel, initrd and root must belong together."""
    if started.kernel.removeprefix("kernel ") != started.initrd.removeprefix("initrd "):
        return str(started)
    if (started.kernel, started.root) == (f"kernel {OLD}", OLD_ROOT):
        return "old"
    if (started.kernel, started.root) == (f"kernel {NEW}", NEW_ROOT):
        return "trial" if "twinboot.trial=tb1" in started.line else "new"
    return str(started)


def watched(boot: Boot, disk: Path, roots: int = 1) -> tuple[Boot, Recorder]:
    recorder = Recorder(disk, roots)
    return replace(boot, disk=cast(BootDisk, WatchedDisk(boot.disk, recorder))), recorder


def started_from(recorder: Recorder, disk: Path, spare: int = SPARE) -> dict[str, str]:
    return {name: what(start(disk, throwaway=True)) for name in cut_disks(recorder, disk, spare)}


def hold(found: dict[str, str], allowed: set[str], at_least: int) -> None:
    wrong = {name: result for name, result in found.items() if result not in allowed}
    assert not wrong, wrong
    assert len(found) >= at_least, len(found)


def flipped(found: dict[str, str], write: str, to: str) -> None:
    """Every cut before the flip starts the old system, every one after it the new."""
    names, results = list(found), list(found.values())
    inside = [n for n, name in enumerate(names) if write in name]
    assert set(results[: inside[0]]) == {"old"} and set(results[inside[-1] :]) == {to}


def test_stage_and_arm(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as real:
        boot, recorder = watched(real, disk)
        LOADER.stage(boot, wanted(tmp_path / "new"))
        LOADER.arm(boot, "tb1")
    found = started_from(recorder, disk)
    hold(found, {"old", "trial"}, at_least=40)
    flipped(found, "write_sector", "trial")


@pytest.mark.full
def test_roll_back_and_restore(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as real:
        LOADER.stage(real, wanted(tmp_path / "new"))
        LOADER.arm(real, "tb1")
        real.disk.settle()
        boot, recorder = watched(real, disk)
        LOADER.roll_back(boot, "tb1")
        LOADER.restore(boot, "tb1")
    hold(started_from(recorder, disk), {"old", "trial"}, at_least=15)


SHIM = """#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
@NAME@ "$@"
status=$?
echo "@NAME@ $*" >"@WORK@/turn"
while [ -e "@WORK@/turn" ]; do sleep 0.01; done
exit $status
"""


def keep_recorded(metal: Metal, recorder: Recorder) -> Recorder:
    """The metal's own sh keeps; after each of its commands that write, the disk is looked at."""
    work = metal.work
    shims = work.parent / "shims"
    shims.mkdir()
    for name in ("ln", "mv", "cp", "dd", "fsfreeze", "sync", "rm"):
        text = SHIM.replace("@NAME@", name).replace("@WORK@", str(work))
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    metal.path = f"{shims}:"
    ended, turn = threading.Event(), work / "turn"
    statuses: list[int] = []

    def keep() -> None:
        try:
            statuses.append(metal.call("keep", limit=400))
        finally:
            ended.set()

    runner = threading.Thread(target=keep)
    runner.start()
    while not ended.is_set():
        if turn.exists() and (text := turn.read_text()):
            recorder.mark(text.replace(str(metal.boot), "").strip())
            turn.unlink()
        time.sleep(0.005)
    runner.join()
    assert statuses == [0], metal.said("stderr")
    return recorder


def test_keep_on_the_metal(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as real:
        LOADER.stage(real, wanted(tmp_path / "new"))
        LOADER.arm(real, "tb1")
        real.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
        real.disk.settle()
        recorder = keep_recorded(Metal(tmp_path / "metal", real.place.boot), Recorder(disk))
    labels = [epoch.label for epoch in recorder.epochs]
    assert any(":mv" in x and "grub.cfg" in x for x in labels) and any(":dd" in x for x in labels)
    found = started_from(recorder, disk)
    hold(found, {"old", "new"}, at_least=20)
    flipped(found, ":dd", "new")


# -- what must not survive: the harness has to see it


@pytest.mark.full
def test_without_a_name_for_the_old_grub_cfg_a_cut_is_seen(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as real:
        boot, recorder = watched(real, disk)
        text = boot.disk.read("grub/grub.cfg") or b""
        boot.disk.create("grub/grub.cfg.new", text + b"# a newer one\n")
        boot.disk.settle()
        boot.disk.rename("grub/grub.cfg.new", "grub/grub.cfg")
        boot.disk.settle()
    found = started_from(recorder, disk, spare=4)
    assert set(found.values()) - {"old"}, "a freed inode was expected to be met"


@pytest.mark.full
def test_with_a_name_for_it_none_is(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as real:
        boot, recorder = watched(real, disk)
        text = boot.disk.read("grub/grub.cfg") or b""
        flip.replace(boot, "grub/grub.cfg", text + b"# a newer one\n", "grub/kept")
    assert set(started_from(recorder, disk, spare=4).values()) == {"old"}


@pytest.mark.full
def test_without_the_freeze_arm_is_seen_to_boot_less(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(disk, tmp_path) as real:
        boot, recorder = watched(real, disk)
        monkeypatch.setattr(type(real.disk), "settle", lambda _: None)
        LOADER.stage(boot, wanted(tmp_path / "new"))
        LOADER.arm(boot, "tb1")
        last = len(recorder.epochs)
    del recorder.epochs[last:]
    *_, found = started_from(recorder, disk).values()
    assert found == "old", "armed, said the disk to Linux; GRUB does not see it without the freeze"
