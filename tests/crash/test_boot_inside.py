"""/boot inside the root: sector and files in the old root's, and from keep on the kept one's own grub.cfg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH
from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed
from tests.crash.grubmachine import INSIDE, OLD, START_2, Started, install_grub, start
from tests.crash.insideroot import NEW_CALLED, OLD_CALLED, Roots, both, by_uuid, install_second, own_config
from tests.crash.lab import LOADER, NEW

pytestmark = pytest.mark.root


def is_old(started: Started) -> bool:
    return (started.kernel, started.root) == (f"kernel {OLD}", OLD_CALLED)


def is_previous(started: Started) -> bool:
    return is_old(started) and "/twinboot/tb1/old/" in started.line


def is_trial(started: Started) -> bool:
    own = (started.kernel, started.initrd, started.root) == (f"kernel {NEW}", f"initrd {NEW}", NEW_CALLED)
    return own and "twinboot.trial=tb1" in started.line.split()


def is_kept(started: Started, kernel: str = NEW) -> bool:
    own = (started.kernel, started.root) == (f"kernel {kernel}", NEW_CALLED)
    return own and "twinboot" not in started.line


def armed(roots: Roots, work: Path) -> None:
    install_second(roots, work)
    LOADER.stage(roots.boot, by_uuid(work))
    LOADER.arm(roots.boot, "tb1")


def kept(disk: Path, work: Path) -> None:
    """What the metal leaves (keep.sh): the new root's own grub.cfg and custom.cfg, and the sector."""
    with both(disk, work) as roots:
        armed(roots, work)
        (roots.new / "grub/grub.cfg").write_text(own_config().replace("set timeout=5", "set timeout=0"))
        custom = roots.boot.disk.read("twinboot/tb1/custom.kept")
        assert custom is not None
        (roots.new / "grub/custom.cfg").write_bytes(custom)
        flipped(roots, BootState.KEPT)


def flipped(roots: Roots, state: BootState) -> None:
    roots.boot.disk.write_sector(SECTOR_PATH, env.block(state, "tb1")[: env.SECTOR])
    roots.boot.disk.settle()


def test_staged_changes_nothing_about_the_next_boot(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        LOADER.stage(roots.boot, by_uuid(tmp_path))
        view = LOADER.view(roots.boot)
        assert view.state is BootState.STAGED and view.next_boot == view.own
    started = start(inside)
    assert is_old(started) and "twinboot" not in started.line


def test_armed_boots_the_trial_once_then_the_previous_system_for_good(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        armed(roots, tmp_path)
        seen = LOADER.view(roots.boot)
        assert seen.next_boot is not None and seen.next_boot.root == NEW_CALLED
    assert is_trial(start(inside))
    with both(inside, tmp_path) as roots:
        view = LOADER.view(roots.boot)
        assert (view.state, view.once) == (BootState.TRIAL, False)
        assert view.next_boot is not None and view.next_boot.id == "twinboot-previous"
    assert is_previous(start(inside))
    assert is_previous(start(inside))


def test_kept_the_new_root_s_own_grub_cfg_decides_and_later_updates_of_it_count(
    inside: Path, tmp_path: Path
) -> None:
    kept(inside, tmp_path)
    assert is_kept(start(inside))
    with both(inside, tmp_path) as roots:
        seen = LOADER.view(roots.boot)
        assert seen.state is BootState.KEPT and seen.next_boot is not None and seen.fallback is not None
        assert (seen.next_boot.root, seen.next_boot.kernel) == (NEW_CALLED, f"vmlinuz-{NEW}")
        assert seen.own is not None and seen.own.root == OLD_CALLED
        newer = "6.1.0-41-amd64"
        for name in ("vmlinuz", "initrd.img"):
            data = (roots.new / f"{name}-{NEW}").read_bytes().replace(NEW.encode(), newer.encode())
            (roots.new / f"{name}-{newer}").write_bytes(data)
        config = roots.new / "grub/grub.cfg"
        config.write_text(config.read_text().replace(NEW, newer))
    assert is_kept(start(inside), newer)
    with both(inside, tmp_path) as roots:
        seen = LOADER.view(roots.boot)
        assert seen.next_boot is not None and seen.next_boot.kernel == f"vmlinuz-{newer}"


def test_kept_a_choice_made_in_the_new_system_is_honoured(inside: Path, tmp_path: Path) -> None:
    """grub-reboot writes the grubenv beside its own grub.cfg."""
    kept(inside, tmp_path)
    with both(inside, tmp_path) as roots:
        block = b"# GRUB Environment Block\nnext_entry=twinboot-previous\n".ljust(1024, b"#")
        (roots.new / "grub/grubenv").write_bytes(block)
    assert is_previous(start(inside)), "the previous system is in the kept one's own menu"
    assert is_kept(start(inside)), "once"


@pytest.mark.parametrize("lost", ["grub.cfg gone", "grub.cfg empty", "the file system gone"])
def test_kept_without_its_grub_cfg_the_previous_system_boots(inside: Path, tmp_path: Path, lost: str) -> None:
    kept(inside, tmp_path)
    with both(inside, tmp_path) as roots:
        config = roots.new / "grub/grub.cfg"
        if lost == "grub.cfg empty":
            config.write_text("")
        elif lost == "grub.cfg gone":
            config.unlink()
        else:
            roots.boot.disk.settle()
    if lost == "the file system gone":
        with inside.open("r+b") as disk:
            disk.seek(START_2 * 512)
            disk.write(b"\0" * 65536)
    assert is_previous(start(inside))


def test_kept_then_rolled_back_then_restored_the_old_root_s_boot_is_what_it_was(
    inside: Path, tmp_path: Path
) -> None:
    with both(inside, tmp_path) as roots:
        first = {p: roots.boot.disk.read(p) for p in ("grub/grub.cfg", "grub/grubenv", f"vmlinuz-{OLD}")}
        names = roots.boot.disk.names("")
    kept(inside, tmp_path)
    with both(inside, tmp_path) as roots:
        LOADER.roll_back(roots.boot, "tb1")
    assert is_previous(start(inside))
    with both(inside, tmp_path) as roots:
        for _ in range(2):
            LOADER.restore(roots.boot, "tb1", names)
        assert LOADER.view(roots.boot).state is BootState.ABSENT
        assert {p: roots.boot.disk.read(p) for p in first} == first and roots.boot.disk.names("") == names
        assert roots.boot.disk.read("grub/custom.cfg") is None
    started = start(inside)
    assert is_old(started) and "twinboot" not in started.line


@pytest.mark.parametrize(
    ("state", "boots"),
    [
        (BootState.KEPT, is_kept),
        (BootState.ROLLED_BACK, is_previous),
        (BootState.ARMED, is_trial),
        (BootState.PLAIN, is_kept),
    ],
)
def test_the_sector_decides_after_the_kept_system_has_installed_grub_anew(
    inside: Path, tmp_path: Path, state: BootState, boots: Callable[[Started], bool]
) -> None:
    """An update of grub-pc does: from then on GRUB reads the new root's /boot first."""
    kept(inside, tmp_path)
    install_grub(inside, tmp_path, f"(,gpt3){INSIDE}/grub")
    with both(inside, tmp_path) as roots:
        flipped(roots, state)
    assert boots(start(inside))


def test_a_damaged_sector_boots_the_old_system(inside: Path, tmp_path: Path) -> None:
    kept(inside, tmp_path)
    with both(inside, tmp_path) as roots:
        (roots.boot.place.boot / SECTOR_PATH).write_bytes(b"\0" * 1024)
        roots.boot.disk.settle()
        seen = LOADER.view(roots.boot)
        assert seen.next_boot is not None and seen.next_boot.root == OLD_CALLED
    assert is_old(start(inside))


def test_a_boot_that_is_a_symbolic_link_is_written_to_by_nobody(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        boot = roots.boot.place.boot
        boot.rename(boot.with_name("elsewhere"))
        boot.symlink_to("elsewhere")
        with pytest.raises(BootConfigFailed, match="symbolic link"):
            roots.boot.disk.create("x", b"")
