"""What a loader offers so that the contract can be tried on it: a model disk and the loader's own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from appliance.boot.base import BootLoader
from appliance.boot.place import Boot
from appliance.boot.shapes import StagedSystem
from tests.crash import (
    blsmachine,
    lab,
    sdmachine,
    test_bls_cuts,
    test_cuts,
    test_systemd_cuts,
    test_unified_cuts,
)
from tests.crash.modeldisk import ModelDisk, Moment, Place


class Bench(Protocol):
    """One installed machine: its disk, and its variables where the loader has them.

    `starts` is what an unattended machine boots, one start after the other: old, trial, new or settle.
    """

    loader: BootLoader
    boot: Boot
    disk: ModelDisk

    def wanted(self, folder: Path) -> StagedSystem:
        """A new system for this machine, with its files in `folder`."""

    def begin(self, cut: int = -1) -> None:
        """Power comes back; it goes again after `cut` writes."""

    def starts(self) -> tuple[str, ...]: ...

    def may_start(self, moment: Moment) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(name, starts) of every state a cut at `moment` may leave."""

    def trial_begins(self) -> None:
        """What the loader leaves behind when it starts the trial."""

    def metal_keeps(self) -> None:
        """What the metal writes when it keeps its trial."""

    def as_installed(self) -> bool: ...


class GrubBench:
    """GRUB over a journaling file system."""

    loader: BootLoader = test_cuts.LOADER

    def __init__(self, first: Callable[[], Place] = test_cuts.installed) -> None:
        self.first = first
        self.boot, self.disk = test_cuts.boot_on(first())

    def wanted(self, folder: Path) -> StagedSystem:
        return lab.wanted(folder)

    def begin(self, cut: int = -1) -> None:
        self.boot, self.disk = test_cuts.boot_on(self.disk.live, cut)

    def starts(self) -> tuple[str, ...]:
        return test_cuts.boots(self.disk.live)

    def may_start(self, moment: Moment) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, place in moment.states(sparse=True):
            yield name, test_cuts.boots(place)

    def trial_begins(self) -> None:
        test_cuts.set_state(test_cuts.BootState.TRIAL)(self.boot)

    def metal_keeps(self) -> None:
        test_cuts.keep_on_the_metal(self.boot)

    def as_installed(self) -> bool:
        first = self.first()
        names = self.disk.live.names
        return {p: self.disk.live.read(p) for p in names} == {p: first.read(p) for p in first.names}


class BlsBench(GrubBench):
    """GRUB that makes its entries of loader/entries."""

    def __init__(self) -> None:
        super().__init__(test_bls_cuts.installed)

    def wanted(self, folder: Path) -> StagedSystem:
        return blsmachine.wanted(folder)

    def metal_keeps(self) -> None:
        test_bls_cuts.keep_on_the_metal(self.boot)


class SystemdBootBench:
    """systemd-boot over a FAT and the firmware's variables."""

    loader: BootLoader = sdmachine.LOADER
    first = staticmethod(sdmachine.installed)
    wanted = staticmethod(lab.wanted)
    metal_keeps_on = staticmethod(test_systemd_cuts.keep_on_the_metal)

    def __init__(self) -> None:
        self.boot, self.disk = sdmachine.boot_on(self.first())

    def begin(self, cut: int = -1) -> None:
        self.boot, self.disk = sdmachine.boot_on(self.disk.live, self.disk.variables, cut)

    def starts(self) -> tuple[str, ...]:
        return sdmachine.boots(self.disk)

    def may_start(self, moment: Moment) -> Iterator[tuple[str, tuple[str, ...]]]:
        for name, place in moment.states(sparse=True):
            yield name, sdmachine.starts(place, moment.variables)

    def trial_begins(self) -> None:
        test_systemd_cuts.started(self.boot)

    def metal_keeps(self) -> None:
        self.metal_keeps_on(self.boot)

    def as_installed(self) -> bool:
        return test_systemd_cuts.is_as_installed(self.disk, self.first) and self.disk.variables == {}


class UnifiedBench(SystemdBootBench):
    """systemd-boot that starts unified kernel images."""

    first = staticmethod(sdmachine.installed_images)
    wanted = staticmethod(sdmachine.wanted_image)
    metal_keeps_on = staticmethod(test_unified_cuts.keep_on_the_metal)


def grub_beside_the_esp() -> Bench:
    """GRUB over a /boot that it only reads."""
    return GrubBench(test_cuts.installed_on_lvm)


BENCHES: dict[str, Callable[[], Bench]] = {
    "GRUB": GrubBench,
    "GRUB, sector on the ESP": grub_beside_the_esp,
    "GRUB, entries by BLS": BlsBench,
    "systemd-boot": SystemdBootBench,
    "systemd-boot, unified images": UnifiedBench,
}
