"""An act begun in one start of the appliance and taken up in a later one: the machine has lived meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import flip
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import BootConfigFailed
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, OLD_ROOT, sources
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import LOADER, OLD_ALWAYS, Act, after, arm, boot_on, boots, installed, set_state

OWN_UPDATE = (f"kernel {NEW} with root {OLD_ROOT}",) * 3


def own_update(tmp: Path) -> Act:
    """The old system's package manager brings the very kernel that was rehearsed, and runs update-grub."""

    def act(boot: Boot) -> None:
        for file in sources(tmp / "update").files:
            boot.disk.create(file.name, Path(file.source).read_bytes())
        boot.disk.settle()
        text = (boot.disk.read("grub/grub.cfg") or b"").decode().replace(OLD, NEW)
        flip.replace(boot, "grub/grub.cfg", text.encode(), "grub/grub.cfg.before")

    return act


STATES: dict[str, tuple[Act, ...]] = {
    "staged": (),
    "on trial": (arm, set_state(BootState.TRIAL)),
}


@pytest.mark.parametrize("name", STATES)
def test_a_kernel_the_old_system_installed_since_is_not_taken_away(tmp_path: Path, name: str) -> None:
    place: Place = after(tmp_path, *STATES[name], own_update(tmp_path))
    boot, disk = boot_on(place)
    LOADER.restore(boot, "tb1")
    assert boots(disk.live) == OWN_UPDATE


def test_what_a_cut_keep_left_between_two_names_does_not_stay_for_update_grub(tmp_path: Path) -> None:
    """keep.sh links a file beside its name before it takes the name; update-grub takes that for a kernel."""

    def cut_keep(boot: Boot) -> None:
        boot.disk.link(f"twinboot/tb1/files/vmlinuz-{NEW}", f"vmlinuz-{NEW}.twinboot")
        boot.disk.settle()

    def update_grub(boot: Boot) -> None:
        newest = f"{NEW}.twinboot" if boot.disk.is_file(f"vmlinuz-{NEW}.twinboot") else OLD
        text = (boot.disk.read("grub/grub.cfg") or b"").decode().replace(OLD, newest)
        flip.replace(boot, "grub/grub.cfg", text.encode(), "grub/grub.cfg.before")

    def back_to_old(boot: Boot) -> None:
        text = (boot.disk.read("grub/grub.cfg") or b"").decode().replace(f"{NEW}.twinboot", OLD)
        flip.replace(boot, "grub/grub.cfg", text.encode(), "grub/grub.cfg.before")

    place = after(tmp_path, arm, set_state(BootState.TRIAL), cut_keep, update_grub)
    boot, disk = boot_on(place)
    with pytest.raises(BootConfigFailed, match="does not boot the old system"):
        LOADER.restore(boot, "tb1", tuple(installed().names))
    assert boots(disk.live) == OLD_ALWAYS
    assert not boot.disk.is_file(f"vmlinuz-{NEW}.twinboot"), "or the advised update-grub would find it again"
    back_to_old(boot)
    LOADER.restore(boot, "tb1", tuple(installed().names))
    assert boots(disk.live) == OLD_ALWAYS and "twinboot" not in disk.live.names
