"""Machines of disk and GRUB for the tests that boot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash import blsmachine, grubmachine
from tests.lab.bls_packages import grub_modules
from tests.lab.native import LabError

Build = Callable[[Path, Path], None]


def _installed(factory: pytest.TempPathFactory, build: Build, *tools: str) -> Path:
    """A pristine disk; skips where what `build` needs is not there."""
    if os.geteuid() != 0:
        pytest.skip("needs root: loop devices and mounts")
    if lost := grubmachine.missing_tools(*tools):
        pytest.skip(f"needs {', '.join(lost)}")
    work = factory.mktemp("grub")
    build(work / "disk.img", work)
    return work / "disk.img"


def _lent(pristine: Path, folder: Path) -> Iterator[Path]:
    copy = folder / "disk.img"
    shutil.copy(pristine, copy)
    yield copy
    copy.unlink()


@pytest.fixture(scope="session")
def installed_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pristine disk for the session; tests copy it."""
    return _installed(tmp_path_factory, grubmachine.build)


@pytest.fixture(scope="session")
def installed_on_lvm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise one with /boot on LVM."""
    return _installed(tmp_path_factory, grubmachine.build_on_lvm, "lvcreate", "mkfs.vfat", "mshowfat")


@pytest.fixture(scope="session")
def installed_inside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with /boot inside the root, and room for a second one."""
    return _installed(tmp_path_factory, grubmachine.build_inside)


@pytest.fixture(scope="session")
def installed_with_bls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose GRUB makes its entries of loader/entries. Its modules come from Debian's archive."""
    try:
        modules = grub_modules()
    except LabError as error:
        pytest.skip(f"needs GRUB 2.14's modules: {error}")
    return _installed(tmp_path_factory, lambda disk, work: blsmachine.build(disk, work, modules))


@pytest.fixture
def disk(installed_disk: Path, tmp_path: Path) -> Iterator[Path]:
    yield from _lent(installed_disk, tmp_path)


@pytest.fixture
def lvm_disk(installed_on_lvm: Path, tmp_path: Path) -> Iterator[Path]:
    yield from _lent(installed_on_lvm, tmp_path)


@pytest.fixture
def bls_disk(installed_with_bls: Path, tmp_path: Path) -> Iterator[Path]:
    yield from _lent(installed_with_bls, tmp_path)


@pytest.fixture
def inside(installed_inside: Path, tmp_path: Path) -> Iterator[Path]:
    yield from _lent(installed_inside, tmp_path)
