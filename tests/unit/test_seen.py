"""What was seen on machines is said alike in the table, on the screens and in README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.model.machine import InstalledSystem, LoaderKind, Role, Storage
from appliance.model.seen import (
    BENEATH,
    BESIDE_ITSELF,
    BESIDE_THE_ROOT,
    BOOTED,
    RECOGNISED_SYSTEMS,
    Seen,
    only_recognised,
    seen,
)
from tests.fixtures.machines.derive import load

README = re.sub(r"\s+", " ", (Path(__file__).parents[2] / "README.md").read_text())


def debian() -> InstalledSystem:
    return load("thin-bios").systems[0]


def test_debian_12_on_thin_lvm_by_grub_was_booted_by_us() -> None:
    assert seen(debian()) is Seen.BOOTED


BY_SYSTEMD_BOOT = replace(debian(), loader=replace(debian().loader, kind=LoaderKind.SYSTEMD_BOOT))


def test_and_by_systemd_boot() -> None:
    assert seen(BY_SYSTEMD_BOOT) is Seen.BOOTED


def test_and_debian_13_by_grub_alone() -> None:
    assert seen(replace(debian(), os_version="13")) is Seen.BOOTED
    assert seen(replace(BY_SYSTEMD_BOOT, os_version="13")) is Seen.RECOGNISED


def test_and_that_by_systemd_boot_with_unified_images() -> None:
    by_images = replace(BY_SYSTEMD_BOOT.loader, unified=True)
    assert seen(replace(BY_SYSTEMD_BOOT, os_version="13", loader=by_images)) is Seen.BOOTED


def test_and_that_with_bls_entries_on_lvm() -> None:
    by_bls = replace(debian(), os_version="13", loader=replace(debian().loader, bls=True))
    assert seen(by_bls) is Seen.BOOTED
    thick, btrfs = (
        replace(by_bls, root=replace(by_bls.root, storage=kept))
        for kept in (Storage.LVM_THICK, Storage.BTRFS)
    )
    assert seen(thick) is Seen.BOOTED
    assert seen(btrfs) is Seen.RECOGNISED


def test_and_of_a_partition_what_was_seen_is_its_file_system() -> None:
    root = replace(debian().root, storage=Storage.PARTITION)
    assert root.fstype == "ext4" and seen(replace(debian(), root=root)) is Seen.BOOTED


@pytest.mark.parametrize(
    "other",
    [
        replace(debian(), os_id="ubuntu"),
        replace(debian(), os_version="11"),
        replace(debian(), loader=replace(debian().loader, bls=True)),
        replace(BY_SYSTEMD_BOOT, loader=replace(BY_SYSTEMD_BOOT.loader, unified=True)),
        replace(debian(), loader=replace(debian().loader, kind=LoaderKind.UNKNOWN)),
        replace(debian(), root=replace(debian().root, storage=Storage.PARTITION, fstype="f2fs")),
        replace(debian(), volumes=(replace(debian().root, role=Role.SET, target="/opt"),)),
    ],
)
def test_what_differs_in_one_thing_is_only_recognised(other: InstalledSystem) -> None:
    assert seen(other) is Seen.RECOGNISED


def test_readme_says_what_the_table_says() -> None:
    assert README.count(only_recognised()) == 1
    assert README.count(Seen.BOOTED.value) == 1
    told = _told_as_booted()
    for circle in BOOTED:
        assert {circle.os_name, circle.loader.value, circle.storage.value} <= _named(told)
    booted = (
        {c.os_name for c in BOOTED} | {c.loader.value for c in BOOTED} | {c.storage.value for c in BOOTED}
    )
    assert _named(told) == booted, "README claims what the table does not"


@pytest.mark.parametrize("word", sorted({layer.value for layer in BENEATH} | BESIDE_THE_ROOT | BESIDE_ITSELF))
def test_and_what_may_lie_beneath_or_beside_a_root(word: str) -> None:
    assert word in _told_as_booted(), f"README does not say that {word} was seen on a machine"


def _told_as_booted() -> str:
    return README[README.index(Seen.BOOTED.value) : README.index(Seen.RECOGNISED.value)]


def _named(told: str) -> set[str]:
    """Every system, loader and storage that a text names."""
    words = {*RECOGNISED_SYSTEMS, *(c.os_name for c in BOOTED)}
    words |= {kind.value for kind in LoaderKind} | {storage.value for storage in Storage}
    return {word for word in words if word in told}
