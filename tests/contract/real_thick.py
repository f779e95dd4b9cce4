"""Thick snapshots on real LVM: a volume group of its own on a file in memory, never the machine's.

Only where TWINBOOT_CONTRACT=real says so (see real_thin): it needs root, device-mapper and dm-snapshot.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from appliance.host.run import RealHost
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup, mapper_path
from appliance.probe.lvm import lvm_config
from appliance.volumes.base import SnapshotStore
from appliance.volumes.cow import CHUNK
from appliance.volumes.lvm_thick import LvmThickStore
from tests.contract.dark import DarkAfter

T = TypeVar("T")
VG = "twinboot_thick"
FILE = Path("/run/twinboot-thick.img")
SIZE = 2048 << 20
"""The file is sparse; the store asks for room that it never fills."""


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise OSError(f"{argv}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


@dataclass
class RealThickBench:
    """Contents are read and written through the volumes' own devices, brought up for that moment."""

    store: LvmThickStore
    loop: str
    config: tuple[str, ...]
    vg: str = VG
    one_volume: bool = True

    def write(self, lv: str, block: int) -> None:
        over = Path(f"{mapper_path(VG, lv)}-over")
        self._with(lv, lambda path: _write(str(over) if over.exists() else path, block))

    def content(self, lv: str) -> object:
        return self._with(lv, lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest())

    def _with(self, lv: str, act: Callable[[str], T]) -> T:
        was_up = lv in self.active()
        if not was_up:
            _run("lvchange", *self.config, "-ay", "-K", "-y", f"{VG}/{lv}")
        try:
            return act(mapper_path(VG, lv))
        finally:
            if not was_up:
                _run("lvchange", *self.config, "-an", "-y", f"{VG}/{lv}")

    def foreign(self, lv: str) -> None:
        _run("lvcreate", *self.config, "-y", "-L", "4m", "-n", lv, VG)
        _run("lvchange", *self.config, "-an", f"{VG}/{lv}")

    @contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        _run("lvchange", *self.config, "-ay", "-K", "-y", f"{VG}/{lv}")
        held = os.open(mapper_path(VG, lv), os.O_RDONLY)
        try:
            yield
        finally:
            os.close(held)
            _run("lvchange", *self.config, "-an", "-y", f"{VG}/{lv}")

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.store.host, program))

    def names(self) -> set[str]:
        return self._names("lv_name")

    def active(self) -> set[str]:
        return self._names("lv_name", "-S", "lv_active=active")

    def autoactivates(self, lv: str) -> bool:
        return lv in self._names("lv_name", "-S", "skip_activation=0")

    def _names(self, column: str, *select: str) -> set[str]:
        return set(_run("lvs", *self.config, "--noheadings", "-o", column, *select, VG).split())

    def close(self) -> None:
        self.store.release()
        _run("vgchange", *self.config, "-an", VG)
        _run("losetup", "-d", self.loop)
        FILE.unlink()


def _write(path: str, block: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, os.urandom(CHUNK), block * CHUNK)
        os.fsync(fd)
    finally:
        os.close(fd)


def real_thick() -> RealThickBench:
    """A fresh linear volume `root`, 10 blocks of it written."""
    with FILE.open("wb") as out:
        out.truncate(SIZE)
    loop = _run("losetup", "--find", "--show", str(FILE)).strip()
    config = lvm_config((loop,))
    _run("pvcreate", *config, "-y", loop)
    _run("vgcreate", *config, "-s", "1m", VG, loop)
    _run("lvcreate", *config, "-y", "-L", "16m", "-n", "root", VG)
    for block in range(10):
        _write(mapper_path(VG, "root"), block)
    _run("lvchange", *config, "-an", f"{VG}/root")
    root = LogicalVolume(name="root", uuid="r", size=16 << 20, segtype="linear")
    group = VolumeGroup(
        name=VG, uuid="vg", extent_size=1 << 20, extent_count=2047, free_count=2031, seqno=1,
        pvs=(PhysicalVolume(path=loop, uuid="pv", size=SIZE),), lvs=(root,),
    )  # fmt: skip
    return RealThickBench(LvmThickStore(RealHost(), group, config, "root"), loop, config)
