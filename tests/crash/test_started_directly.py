"""A kernel started without GRUB: the one that GRUB starts, told the same, and the same is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.grub_started import command_line, take, upcoming
from appliance.boot.place import SECTOR_PATH, Boot
from appliance.boot.shapes import BootState, Entry
from appliance.errors import BootConfigFailed
from tests.crash.grubmachine import Started, start
from tests.crash.lab import LOADER, opened, wanted

pytestmark = pytest.mark.root
QUOTED = 'quiet dyndbg="file drivers/usb/* +p" panic=30'


def started_by_grub(disk: Path, tmp_path: Path) -> tuple[Started, dict[str, str]]:
    """What real GRUB starts from a copy of `disk`, and what its sector says then."""
    copy = tmp_path / "copy.img"
    (tmp_path / "by-grub").mkdir()
    shutil.copy(disk, copy)
    started = start(copy)
    with opened(copy, tmp_path / "by-grub") as boot:
        return started, env.values_of(boot.disk.read(SECTOR_PATH))


def said(boot: Boot, entry: Entry) -> Started:
    """The same of what is started without it."""
    kernel, initrd = (boot.disk.read(name) or b"" for name in (entry.kernel, *entry.initrds))
    assert b"kernel 6.1" in kernel
    named = f"BOOT_IMAGE=/{entry.kernel} {command_line(entry)}"
    return Started(initrd=initrd.split(b"\0")[0].decode(), line=named)


def alike(one: Started, other: Started) -> bool:
    return (one.line.split(), one.initrd) == (other.line.split(), other.initrd)


def test_the_installed_system_s_own_default(disk: Path, tmp_path: Path) -> None:
    by_grub, _ = started_by_grub(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        entry, once = upcoming(boot)
        assert not once and alike(said(boot, entry), by_grub), (said(boot, entry), by_grub)


def test_an_armed_trial_is_taken_once_as_grub_does(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new"))
        LOADER.arm(boot, "tb1")
    by_grub, sector = started_by_grub(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        entry, once = upcoming(boot)
        assert once and "twinboot.trial=tb1" in command_line(entry).split()
        assert said(boot, entry).initrd == by_grub.initrd
        assert said(boot, entry).line.split()[1:] == by_grub.line.split()[1:]
        take(boot)
        assert LOADER.view(boot).state is BootState.TRIAL
        assert env.values_of(boot.disk.read(SECTOR_PATH)) == sector
        after, again = upcoming(boot)
        assert not again and after.id == "twinboot-previous"


def test_words_that_are_quoted_for_grub_come_as_the_kernel_gets_them(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        text = (boot.disk.read("grub/grub.cfg") or b"").decode()
        (boot.place.boot / "grub/grub.cfg").write_text(text.replace(" ro  quiet", f" ro {QUOTED}"))
        boot.disk.settle()
    by_grub, _ = started_by_grub(disk, tmp_path)
    assert "dyndbg" in by_grub.line
    with opened(disk, tmp_path) as boot:
        assert command_line(upcoming(boot)[0]).split() == by_grub.line.split()[1:]


def test_a_default_that_can_not_be_said_starts_nothing(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        (boot.place.boot / "grub/grub.cfg").write_text("set default=0\n")
        boot.disk.settle()
        with pytest.raises(BootConfigFailed, match="can not be said"):
            upcoming(boot)
