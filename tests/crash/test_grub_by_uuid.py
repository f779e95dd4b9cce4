"""GRUB may name its root by UUID where a second root is a partition: that has one of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState
from appliance.errors import Refused
from tests.crash.lab import NEW_ROOT, OLD_ROOT, wanted
from tests.crash.test_cuts import LOADER, Boot, boot_on, installed

OWN, SECOND = "UUID=aa-bb", "UUID=cc-dd"


def by_uuid() -> Boot:
    place = installed()
    config = place.names["grub/grub.cfg"]
    place.inodes[config] = place.inodes[config].replace(OLD_ROOT.encode(), OWN.encode())
    boot, _ = boot_on(place)
    return boot


def test_a_second_root_with_a_uuid_of_its_own_is_staged_and_armed(tmp_path: Path) -> None:
    boot, second = by_uuid(), replace(wanted(tmp_path), root=SECOND, old_root=OWN)
    assert LOADER.why_not(boot, second) == ()
    LOADER.stage(boot, second)
    LOADER.arm(boot, second.run)
    seen = LOADER.view(boot)
    assert seen.state is BootState.ARMED and seen.next_boot is not None and seen.fallback is not None
    assert (seen.next_boot.root, seen.fallback.root) == (SECOND, OWN)


@pytest.mark.parametrize(
    ("root", "old"),
    [
        (NEW_ROOT, OLD_ROOT),
        (SECOND, "UUID=ee-ff"),
        (OWN, OWN),
        (f"{OWN}[/@new]", f"{OWN}[/@]"),
    ],
    ids=["a snapshot", "of another root", "of the same UUID", "a subvolume"],
)
def test_every_other_one_is_refused_before_any_write(root: str, old: str, tmp_path: Path) -> None:
    boot, other = by_uuid(), replace(wanted(tmp_path), root=root, old_root=old)
    (why,) = LOADER.why_not(boot, other)
    assert f"GRUB's default entry names the root as {OWN}" in why
    with pytest.raises(Refused):
        LOADER.stage(boot, other)
    assert LOADER.view(boot).state is BootState.ABSENT
