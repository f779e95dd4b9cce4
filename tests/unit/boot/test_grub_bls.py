"""What promotion says and names where GRUB makes its entries of loader/entries."""

from __future__ import annotations

from pathlib import Path

from appliance.boot import kernel_cmdline
from appliance.boot.grub import Grub
from tests.crash.blsmachine import OLDER, name_of
from tests.crash.lab import NEW_ROOT, OLD_ROOT
from tests.crash.test_bls_cuts import installed
from tests.crash.test_cuts import boot_on

BY_ENTRIES, BY_CONFIG = Grub(lambda text: None, bls=True), Grub(lambda text: None)
HOME = "var/lib/twinboot/tb1"


def test_the_plan_names_the_entries_that_are_going_to_be_written() -> None:
    first, *rest = BY_ENTRIES.writes("tb1")
    plain, *same = BY_CONFIG.writes("tb1")
    assert "the entries that keep puts into /boot/loader/entries" in first.what
    assert "loader/entries" not in plain.what and rest == same
    assert BY_ENTRIES.words.config == "/boot/loader/entries: each entry names"
    assert BY_CONFIG.words.config == "/boot/grub/grub.cfg names"


def test_the_trial_s_next_kernel_gets_the_trial_s_root(tmp_path: Path) -> None:
    boot, _ = boot_on(installed())
    made = BY_ENTRIES.name_root(boot, tmp_path, HOME, NEW_ROOT)
    assert made == (kernel_cmdline.FILE, f"{HOME}/{kernel_cmdline.FIRST}")
    said = (tmp_path / kernel_cmdline.FILE).read_text()
    assert said == f"root={NEW_ROOT} ro console=ttyS0,115200 quiet\n"
    assert BY_CONFIG.name_root(boot, tmp_path, HOME, OLD_ROOT) == ()
    assert (tmp_path / kernel_cmdline.FILE).read_text() == said


def test_nothing_is_named_where_the_default_can_not_be_told_and_promotion_says_so(tmp_path: Path) -> None:
    place = installed()
    place.inodes[place.names["grub/grubenv"]] = (
        b"# GRUB Environment Block\nsaved_entry=" + name_of(OLDER).encode() + b"\n"
    ).ljust(1024, b"#")
    boot, _ = boot_on(place)
    assert BY_ENTRIES.name_root(boot, tmp_path, HOME, NEW_ROOT) == ()
    assert list(tmp_path.iterdir()) == []
    (said,) = BY_ENTRIES.why_not(boot)
    assert said.startswith(
        "Which of /boot/loader/entries GRUB starts by default can not be told: save the newest"
    )
