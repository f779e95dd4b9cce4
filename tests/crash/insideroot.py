"""Our loader code over a disk of two roots with /boot inside: stage, arm, keep, as promotion does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.boot.flip import open_boot
from appliance.boot.place import Boot, BootPlace
from appliance.boot.shapes import StagedSystem
from tests.contract import alone
from tests.crash import grubmachine
from tests.crash.grubmachine import INSIDE, START_2, UUID, UUID_2, config_inside, fill_grub
from tests.crash.lab import HOST, NEW, wanted
from tests.crash.metal import Metal

OLD_CALLED, NEW_CALLED = f"UUID={UUID}", f"UUID={UUID_2}"


@dataclass(frozen=True)
class Roots:
    """Both mounted: the old one as the appliance or the trial has it, the new one by its /boot."""

    boot: Boot
    new: Path


@contextlib.contextmanager
def both(disk: Path, work: Path) -> Iterator[Roots]:
    old, new = work / "old", work / "new-root"
    with (
        alone.held(),
        grubmachine.mounted(disk, old) as (at, loop),
        grubmachine.mounted(disk, new, START_2) as (other, _),
    ):
        place = BootPlace(mount=at, device=loop, fstype="ext4", fsuuid=UUID, prefix=INSIDE)
        yield Roots(open_boot(HOST, place), other / INSIDE.strip("/"))


def by_uuid(work: Path) -> StagedSystem:
    """The system of the second root, as its /boot is sealed with it."""
    return replace(wanted(work / "files"), root=NEW_CALLED, old_root=OLD_CALLED)


def install_second(roots: Roots, work: Path, config: str = "") -> None:
    """The second root's own /boot: the copy that was patched in a twin."""
    fill_grub(roots.new, config or config_inside(UUID))
    for file in by_uuid(work).artifacts.files:
        (roots.new / file.name).write_bytes(Path(file.source).read_bytes())


def own_config() -> str:
    """What the kept system's own grub-mkconfig makes."""
    return config_inside(UUID_2, NEW)


def metal_of(roots: Roots, work: Path) -> Metal:
    """The trial's own part, with the old root brought up already."""
    old, new = roots.boot.place.boot, roots.new
    return Metal(work / "metal", old, root=NEW_CALLED, own=new, old_fs=UUID, mounted=str(new))
