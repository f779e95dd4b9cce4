"""A thin pool on real LVM: a volume group of its own on a file in memory, never the machine's.

Only where TWINBOOT_CONTRACT=real says so, as it needs root, device-mapper and dm-thin: inside the booted
appliance, `python -m pytest tests/contract` with the checkout on its path.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.host.run import RealHost
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup, mapper_path
from appliance.probe.lvm import lvm_config
from appliance.volumes.base import SnapshotStore
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.dark import DarkAfter
from tests.contract.fake_lvm import BLOCK

VG = "twinboot_contract"
FILE = Path("/run/twinboot-contract.img")
SIZE = 160 << 20


def _run(*argv: str, stdin: bytes = b"") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise OSError(f"{argv}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


@dataclass
class RealThinBench:
    """Contents are read and written through the volumes' own devices, brought up for that moment."""

    store: LvmThinStore
    loop: str
    config: tuple[str, ...]
    vg: str = VG
    one_volume: bool = False

    def write(self, lv: str, block: int) -> None:
        self._with(lv, lambda path: _write(path, block))

    def content(self, lv: str) -> object:
        return self._with(lv, lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest())

    def _with(self, lv: str, act):
        was_up = lv in self.active()
        if not was_up:
            _run("lvchange", *self.config, "-ay", "-K", f"{VG}/{lv}")
        try:
            return act(mapper_path(VG, lv))
        finally:
            if not was_up:
                _run("lvchange", *self.config, "-an", f"{VG}/{lv}")

    def foreign(self, lv: str) -> None:
        _run("lvcreate", *self.config, "-y", "-V", "4m", "--thinpool", f"{VG}/pool", "-n", lv)
        _run("lvchange", *self.config, "-an", f"{VG}/{lv}")

    @contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        _run("lvchange", *self.config, "-ay", "-K", f"{VG}/{lv}")
        held = os.open(mapper_path(VG, lv), os.O_RDONLY)
        try:
            yield
        finally:
            os.close(held)
            _run("lvchange", *self.config, "-an", f"{VG}/{lv}")

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.store.host, program))

    def names(self) -> set[str]:
        return self._names("lv_name") - {"pool"}

    def active(self) -> set[str]:
        return self._names("lv_name", "-S", "lv_active=active")

    def autoactivates(self, lv: str) -> bool:
        return lv in self._names("lv_name", "-S", "skip_activation=0")

    def _names(self, column: str, *select: str) -> set[str]:
        return set(_run("lvs", *self.config, "--noheadings", "-o", column, *select, VG).split())

    def close(self) -> None:
        _run("vgchange", *self.config, "-an", VG)
        _run("losetup", "-d", self.loop)
        FILE.unlink()


def _write(path: str, block: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, os.urandom(BLOCK), block * BLOCK)
        os.fsync(fd)
    finally:
        os.close(fd)


def real_thin() -> RealThinBench:
    """A fresh pool with an installed volume `root`, 10 blocks of it written."""
    with FILE.open("wb") as out:
        out.truncate(SIZE)
    loop = _run("losetup", "--find", "--show", str(FILE)).strip()
    config = lvm_config((loop,))
    _run("pvcreate", *config, "-y", loop)
    _run("vgcreate", *config, "-s", "1m", VG, loop)
    _run("lvcreate", *config, "-y", "--type", "thin-pool", "-L", "96m", "-c", "64k",
         "--poolmetadatasize", "4m",
         "-n", "pool", VG)  # fmt: skip
    _run("lvcreate", *config, "-y", "-V", "16m", "--thinpool", f"{VG}/pool", "-n", "root")
    for block in range(10):
        _write(mapper_path(VG, "root"), block)
    _run("lvchange", *config, "-an", f"{VG}/root")
    _run("lvchange", *config, "-an", f"{VG}/pool")
    pool = LogicalVolume(name="pool", uuid="p", size=96 << 20, segtype="thin-pool")
    group = VolumeGroup(
        name=VG, uuid="vg", extent_size=1 << 20, extent_count=159, free_count=50, seqno=1,
        pvs=(PhysicalVolume(path=loop, uuid="pv", size=SIZE),), lvs=(pool,),
    )  # fmt: skip
    return RealThinBench(LvmThinStore(RealHost(), group, config, "pool"), loop, config)
