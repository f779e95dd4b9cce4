"""Entries that GRUB makes of /boot/loader/entries: which roots go with them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.model.machine import InstalledSystem, LoaderKind, Storage
from appliance.probe.obstacles import of_entries
from tests.fixtures.machines.derive import load


def system(storage: Storage = Storage.LVM_THICK, kind: LoaderKind = LoaderKind.GRUB) -> InstalledSystem:
    found = load("thin-bios").systems[0]
    loader = replace(found.loader, bls=True, kind=kind)
    return replace(found, root=replace(found.root, storage=storage), loader=loader)


@pytest.mark.parametrize("storage", [Storage.LVM_THIN, Storage.LVM_THICK])
def test_a_root_on_lvm_goes(storage: Storage) -> None:
    assert of_entries(system(storage)) == ()


@pytest.mark.parametrize("storage", [Storage.BTRFS, Storage.PARTITION])
def test_another_is_refused_with_the_reason(storage: Storage) -> None:
    (why,) = of_entries(system(storage))
    assert (why.code, why.refuses) == ("bls-entries", True)
    assert "that goes with a root on LVM and /boot on a partition" in why.sentence


def test_as_is_a_boot_that_is_no_partition() -> None:
    assert [why.code for why in of_entries(replace(system(), boot=None))] == ["bls-entries"]


def test_systemd_boot_s_own_entries_are_no_matter() -> None:
    assert of_entries(system(Storage.BTRFS, LoaderKind.SYSTEMD_BOOT)) == ()
