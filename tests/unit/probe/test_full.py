"""A file system of an installed system that is full refuses a rehearsal before anything is made for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.model.machine import InstalledSystem, Role
from appliance.probe.obstacles import LEAST_FILES, LEAST_FREE, of_free
from appliance.probe.tree import Tree
from tests.fixtures.machines.derive import load

BLOCK = 4096
PLENTY = 1 << 20
INODES = 100000


def full(free: int, *, all_inodes: int = INODES, inodes: int = INODES) -> os.statvfs_result:
    """What statvfs(3) says where root may write `free` bytes more, and nobody else any."""
    return os.statvfs_result((BLOCK, BLOCK, PLENTY, free // BLOCK, 0, all_inodes, inodes, inodes, 0, 255))


def sentences(system: InstalledSystem, tree: Path) -> list[str]:
    found = of_free(system, Tree(tree))
    assert all(t.refuses and t.code == "file-system-full" for t in found)
    return [t.sentence for t in found]


@pytest.fixture
def system() -> InstalledSystem:
    return load("thin-bios").systems[0]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (full(0), "has 0 MiB free, and what a rehearsal adds to a copy of it takes up to 32 MiB."),
        (full(LEAST_FREE - BLOCK), "has 31 MiB free"),
        (full(LEAST_FREE), ""),
        (full(1 << 30, inodes=LEAST_FILES - 1), "has 199 inodes free"),
        (full(1 << 30, all_inodes=0, inodes=0), ""),
    ],
    ids=["full", "nearly", "enough", "no inodes", "none counted"],
)
def test_a_root_without_room_for_our_own_files_is_refused_with_the_way_to_make_it(
    system: InstalledSystem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: os.statvfs_result,
    why: str,
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda at: said)
    found = sentences(system, tmp_path)
    assert len(found) == bool(why)
    assert all(why in sentence and "/ on /dev/mapper/vg0-root" in sentence for sentence in found)
    assert all("`apt-get clean`" in sentence for sentence in found)


def test_a_volume_beside_the_root_is_held_to_it_as_well(
    system: InstalledSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = replace(system.root, role=Role.SET, target="/var", lv="var", device="/dev/mapper/vg0-var")
    beside = replace(system, volumes=(*system.volumes, var))
    (tmp_path / "var").mkdir()
    device = os.stat(tmp_path).st_dev

    def stat(path: Path, **_: object) -> os.stat_result:
        of_var = path == tmp_path / "var"
        return os.stat_result((0o40755, 2, device + of_var, 2, 0, 0, 0, 0, 0, 0))

    monkeypatch.setattr(os, "statvfs", lambda at: full(0 if at == tmp_path / "var" else 1 << 30))
    monkeypatch.setattr(Path, "stat", stat)
    assert [s.partition(" has ")[0] for s in sentences(beside, tmp_path)] == [
        "The file system of /var on /dev/mapper/vg0-var"
    ]


def test_what_does_not_mount_is_said_elsewhere(system: InstalledSystem, tmp_path: Path) -> None:
    assert sentences(system, tmp_path / "gone") == []
