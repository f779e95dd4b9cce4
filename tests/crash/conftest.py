"""Machines of disk and GRUB for the tests that boot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import grubmachine


@pytest.fixture(scope="session")
def installed_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pristine disk for the session; tests copy it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices and mounts")
    if lost := grubmachine.missing_tools():
        pytest.skip(f"needs {', '.join(lost)}")
    work = tmp_path_factory.mktemp("grub")
    grubmachine.build(work / "disk.img", work)
    return work / "disk.img"


@pytest.fixture(scope="session")
def installed_on_lvm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise one with /boot on LVM."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices and mounts")
    if lost := grubmachine.missing_tools("lvcreate", "mkfs.vfat", "mshowfat"):
        pytest.skip(f"needs {', '.join(lost)}")
    work = tmp_path_factory.mktemp("grub-lvm")
    grubmachine.build_on_lvm(work / "disk.img", work)
    return work / "disk.img"


@pytest.fixture
def lvm_disk(installed_on_lvm: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "disk.img"
    shutil.copy(installed_on_lvm, copy)
    yield copy
    copy.unlink()


@pytest.fixture
def disk(installed_disk: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "disk.img"
    shutil.copy(installed_disk, copy)
    yield copy
    copy.unlink()


@pytest.fixture(scope="session")
def installed_inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with /boot inside the root, and room for a second one."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices and mounts")
    if lost := grubmachine.missing_tools():
        pytest.skip(f"needs {', '.join(lost)}")
    work = tmp_path_factory.mktemp("inside")
    grubmachine.build_inside(work / "disk.img", work)
    return work / "disk.img"


@pytest.fixture
def inside(installed_inside: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "disk.img"
    shutil.copy(installed_inside, copy)
    yield copy
    copy.unlink()
