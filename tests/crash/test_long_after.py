"""An act begun in one start of the appliance and taken up in a later one: the machine has lived meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import flip
from appliance.boot.base import Boot, BootState
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, OLD_ROOT, sources
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import LOADER, Act, after, arm, boot_on, boots, set_state

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
