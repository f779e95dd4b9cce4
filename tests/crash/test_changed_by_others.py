"""What Twinboot staged was changed since, by another version of it or by an admin: nothing is only said."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import entries, flip
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed, Refused
from appliance.workflow.steps.undo import leave
from tests.crash.lab import wanted
from tests.crash.test_cuts import (
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    TRIAL_ONCE,
    after,
    arm,
    boot_on,
    boots,
    cuts,
    keep_on_the_metal,
    set_state,
)


def another_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From here on entries.cfg is written with one comment more."""
    file = tmp_path / "grub-entries.cfg"
    file.write_text("# a later version says more here\n" + entries._ENTRIES.read_text())
    monkeypatch.setattr(entries, "_ENTRIES", file)


def test_what_another_version_kept_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal))
    another_text(monkeypatch, tmp_path)
    LOADER.roll_back(boot, "tb1")
    assert boots(disk.live) == OLD_ALWAYS


def test_what_another_version_staged_is_armed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL)))
    another_text(monkeypatch, tmp_path)
    LOADER.keep(boot, "tb1")
    assert boots(disk.live)[0] == "trial"


@pytest.mark.parametrize("spoilt", [b"", b"# twinboot entries of run tb1\n"])
def test_entries_that_are_damaged_are_no_way_back(tmp_path: Path, spoilt: bytes) -> None:
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal))
    boot.disk.create("twinboot/tb1/entries.cfg", spoilt)
    boot.disk.settle()
    with pytest.raises(BootConfigFailed, match="There is no way back"):
        LOADER.roll_back(boot, "tb1")
    assert boots(disk.live) == NEW_ALWAYS


def test_a_way_back_is_one_where_the_admin_removed_custom_cfg(tmp_path: Path) -> None:
    """Its own comment says that this is how to be rid of our entries."""
    boot, disk = boot_on(after(tmp_path, arm, set_state(BootState.TRIAL), keep_on_the_metal))
    boot.disk.remove("grub/custom.cfg")
    boot.disk.settle()
    assert boots(disk.live) == NEW_ALWAYS
    boot, disk = boot_on(disk.live)
    LOADER.roll_back(boot, "tb1")
    assert boots(disk.live) == OLD_ALWAYS
    cuts(disk, {NEW_ALWAYS, OLD_ALWAYS})


def without_41_custom(boot: Boot) -> None:
    text = (boot.disk.read("grub/grub.cfg") or b"").decode()
    boot.disk.create("grub/grub.cfg", text.replace("custom.cfg", "other.cfg").encode())
    boot.disk.settle()


def test_no_way_back_is_promised_where_grub_cfg_reads_no_custom_cfg(tmp_path: Path) -> None:
    kept = (arm, set_state(BootState.TRIAL), keep_on_the_metal)
    boot, disk = boot_on(after(tmp_path, *kept, without_41_custom))
    with pytest.raises(Refused, match="41_custom"):
        LOADER.roll_back(boot, "tb1")
    assert boots(disk.live) == NEW_ALWAYS


def test_an_edited_custom_cfg_goes_with_all_of_ours(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, edited))
    leave(LOADER, boot, ())
    assert boots(disk.live) == OLD_ALWAYS and "grub/custom.cfg" not in disk.live.names


def edited(boot: Boot) -> None:
    text = (boot.disk.read("grub/custom.cfg") or b"").decode()
    boot.disk.create("grub/custom.cfg", text.replace("source", "# source").encode())
    boot.disk.settle()


def test_a_custom_cfg_of_ours_that_was_edited_by_hand_arms_nothing(tmp_path: Path) -> None:
    """GRUB would not take our entries, and the screen would say that it does."""
    boot, disk = boot_on(after(tmp_path, edited))
    with pytest.raises((Refused, BootConfigFailed), match=r"custom\.cfg"):
        LOADER.arm(boot, "tb1")
    assert boots(disk.live) == OLD_ALWAYS
    with pytest.raises(Refused, match=r"custom\.cfg"):
        LOADER.stage(boot, wanted(tmp_path / "second", run="tb2"))


def test_the_view_tells_what_grub_does_with_an_edited_custom_cfg(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path, arm, edited))
    assert boots(disk.live) == OLD_ALWAYS
    seen = LOADER.view(boot).next_boot
    assert seen is not None and seen.root == "/dev/mapper/vg0-root"


def test_a_machine_whose_twinboot_folder_was_removed_by_hand_is_promoted_again(tmp_path: Path) -> None:
    boot, disk = boot_on(after(tmp_path))
    flip.remove_tree(boot.disk, "twinboot")
    boot.disk.settle()
    boot, disk = boot_on(disk.live)
    LOADER.stage(boot, wanted(tmp_path / "again"))
    cuts(disk, {OLD_ALWAYS}, sparse=True)
    LOADER.arm(boot, "tb1")
    assert boots(disk.live) == TRIAL_ONCE
