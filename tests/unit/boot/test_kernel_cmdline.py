"""/etc/kernel/cmdline of a trial volume: what kernel-install writes into every entry from keep on."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import kernel_cmdline
from appliance.errors import BootConfigFailed

HOME = "var/lib/twinboot/tb1"
OWN = "root=/dev/mapper/vg0-root ro quiet systemd.machine_id=aa"
NEW, OLD = "/dev/mapper/vg0-root--tb1", "/dev/mapper/vg0-root"


def test_where_there_was_none_the_machine_s_own_words_are_laid_down_and_go_again(tmp_path: Path) -> None:
    wrote = kernel_cmdline.point_root(tmp_path, OWN, NEW, HOME)
    assert wrote == (kernel_cmdline.FILE, f"{HOME}/cmdline.first")
    file = tmp_path / kernel_cmdline.FILE
    assert file.read_text() == f"root={NEW} ro quiet systemd.machine_id=aa\n"
    kernel_cmdline.point_root(tmp_path, "root=/dev/other", NEW, HOME)
    kernel_cmdline.turn_back(tmp_path, HOME)
    kernel_cmdline.turn_back(tmp_path, HOME)
    assert not file.exists()


def test_an_admin_s_own_file_keeps_its_words_and_gets_its_root_back(tmp_path: Path) -> None:
    file = tmp_path / kernel_cmdline.FILE
    file.parent.mkdir(parents=True)
    file.write_text(f"ro root={OLD}\n  console=ttyS0\n")
    kernel_cmdline.point_root(tmp_path, OWN, NEW, HOME)
    kernel_cmdline.point_root(tmp_path, OWN, NEW, HOME)
    assert file.read_text().split() == [f"root={NEW}", "ro", "console=ttyS0"]
    file.write_text(file.read_text().strip() + " audit=1\n")
    kernel_cmdline.turn_back(tmp_path, HOME)
    assert file.read_text().split() == [f"root={OLD}", "ro", "console=ttyS0", "audit=1"]


def test_a_trial_s_own_words_never_stay(tmp_path: Path) -> None:
    kernel_cmdline.point_root(tmp_path, f"{OWN} twinboot.trial=tb0", NEW, HOME)
    assert "twinboot" not in (tmp_path / kernel_cmdline.FILE).read_text()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "etc/kernel").mkdir(parents=True)
    (tmp_path / kernel_cmdline.FILE).symlink_to("/etc/hostname")
    with pytest.raises(BootConfigFailed, match="symbolic link"):
        kernel_cmdline.point_root(tmp_path, OWN, NEW, HOME)


def test_nothing_is_turned_back_where_nothing_was_turned(tmp_path: Path) -> None:
    kernel_cmdline.turn_back(tmp_path, HOME)
    assert list(tmp_path.iterdir()) == []
