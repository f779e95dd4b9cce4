"""A trial whose /boot is a folder of its root: it keeps itself with its own grub.cfg, or gives way."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH
from appliance.boot.shapes import BootState
from tests.crash.grubmachine import OLD, start
from tests.crash.insideroot import (
    NEW_CALLED,
    OLD_CALLED,
    Roots,
    both,
    by_uuid,
    install_second,
    metal_of,
)
from tests.crash.lab import LOADER, NEW

pytestmark = pytest.mark.root


def on_trial(roots: Roots, work: Path) -> None:
    install_second(roots, work)
    LOADER.stage(roots.boot, by_uuid(work))
    LOADER.arm(roots.boot, "tb1")
    roots.boot.disk.write_sector(SECTOR_PATH, env.block(BootState.TRIAL, "tb1")[: env.SECTOR])
    roots.boot.disk.settle()


def test_a_well_trial_is_kept_and_its_own_grub_cfg_starts_it(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        first = {name: roots.boot.disk.read(name) for name in (*roots.boot.disk.names(""), "grub/grub.cfg")}
        on_trial(roots, tmp_path)
        metal = metal_of(roots, tmp_path)
        assert metal.call("confirm") == 0, metal.said("stderr") + metal.said("console")
        view = LOADER.view(roots.boot)
        assert view.state is BootState.KEPT and "verdict good\nkept yes\n" in view.result
        assert view.next_boot is not None and view.next_boot.root == NEW_CALLED
        assert view.next_boot.kernel == f"vmlinuz-{NEW}"
        assert {name: roots.boot.disk.read(name) for name in first} == first, "nothing is copied there"
        assert (roots.new / "grub/custom.cfg").read_text().startswith("# twinboot\n")
        assert str(roots.boot.place.mount) in metal.said("umount")
        assert metal.call("confirm") == 0 and metal.call("keep") == 0  # safe to repeat
    started = start(inside)
    assert (started.kernel, started.root) == (f"kernel {NEW}", NEW_CALLED) and "twinboot" not in started.line


def test_kept_by_hand_from_the_running_system(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        on_trial(roots, tmp_path)
        metal = metal_of(roots, tmp_path)
        metal.manual = True
        assert metal.call("confirm") == 0 and LOADER.view(roots.boot).state is BootState.TRIAL
        assert metal.call("keep") == 0 and LOADER.view(roots.boot).state is BootState.KEPT


def test_a_bad_trial_is_given_back_and_its_own_boot_is_as_it_was(inside: Path, tmp_path: Path) -> None:
    with both(inside, tmp_path) as roots:
        on_trial(roots, tmp_path)
        before = (roots.new / "grub/grub.cfg").read_text()
        metal = metal_of(roots, tmp_path)
        metal.expected += "service nginx.service\n"
        assert metal.call("confirm") == 1 and metal.rebooted
        view = LOADER.view(roots.boot)
        assert view.state is BootState.TRIAL and "nginx.service does not run" in view.result
        assert view.next_boot is not None and view.next_boot.root == OLD_CALLED
        assert (roots.new / "grub/grub.cfg").read_text() == before
    assert start(inside).root == OLD_CALLED


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("another kernel", "its /boot does not hold the files that were tested"),
        ("mkconfig fails", "grub-mkconfig failed: grub-probe: error"),
        ("another root", "does not boot UUID="),
        ("custom.cfg of others", "could not be put in place"),
    ],
)
def test_what_would_not_boot_is_not_kept(inside: Path, tmp_path: Path, harm: str, why: str) -> None:
    with both(inside, tmp_path) as roots:
        on_trial(roots, tmp_path)
        metal = metal_of(roots, tmp_path)
        if harm == "another kernel":
            (roots.new / f"vmlinuz-{NEW}").write_bytes(b"another")
        elif harm == "mkconfig fails":
            (metal.work / "mkconfig.fails").touch()
        elif harm == "another root":
            (metal.work / "mkconfig.root").write_text(OLD_CALLED)
        else:
            (roots.new / "grub/custom.cfg").write_text("menuentry mine {\n}\n")
        assert metal.call("confirm") == 1 and metal.rebooted
        view = LOADER.view(roots.boot)
        assert view.state is BootState.TRIAL and why in view.result, view.result
    started = start(inside)
    assert (started.kernel, started.root) == (f"kernel {OLD}", OLD_CALLED)


def test_in_a_proof_the_copy_stands_in_the_old_root_s_place(inside: Path, tmp_path: Path) -> None:
    """One root alone: sector, files and the grub.cfg that keep makes are all in its own /boot."""
    with both(inside, tmp_path) as roots:
        on_trial(roots, tmp_path)
        for file in by_uuid(tmp_path).artifacts.files:
            roots.boot.disk.copy(Path(file.source), file.name)
        metal = metal_of(roots, tmp_path)
        metal.own = roots.boot.place.boot
        (metal.work / "cmdline").write_text(f"root={NEW_CALLED} ro twinboot.trial=tb1 twinboot.proof\n")
        assert metal.call("confirm") == 0, metal.said("stderr") + metal.said("console")
        assert "kept yes" in LOADER.view(roots.boot).result
        assert metal.said("umount") == ""
