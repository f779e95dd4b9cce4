"""What the benches on real LVM share: a volume group of their own on a file in memory, never the machine's.

Only where TWINBOOT_CONTRACT=real says so, as it needs root and device-mapper: inside the booted appliance,
`python -m pytest tests/contract` with the checkout on its path.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from appliance.model.machine import mapper_path
from appliance.probe.lvm import lvm_config
from appliance.volumes.base import SnapshotRole, SnapshotStore
from appliance.volumes.lvm_thick import LvmThickStore
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.dark import DarkAfter

T = TypeVar("T")
S = TypeVar("S", LvmThinStore, LvmThickStore)
Config = tuple[str, ...]


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, check=False, timeout=300)
    if done.returncode:
        raise OSError(f"{argv}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


@dataclass
class RealBench(Generic[S]):
    """Contents are read and written through the volumes' own devices, brought up for that moment."""

    store: S
    file: Path
    loop: str
    config: Config
    vg: str
    block: int
    counts: bool = True
    one_volume: bool = False
    pool: str = ""
    with_origin: bool = False
    apart: frozenset[SnapshotRole] = frozenset()

    def write(self, lv: str, block: int) -> None:
        over = Path(f"{mapper_path(self.vg, lv)}-over")
        self._with(lv, lambda path: write(str(over) if over.exists() else path, block, self.block))

    def content(self, lv: str) -> object:
        return self._with(lv, lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest())

    def _with(self, lv: str, act: Callable[[str], T]) -> T:
        was_up = lv in self.active()
        if not was_up:
            self._up(lv)
        try:
            return act(mapper_path(self.vg, lv))
        finally:
            if not was_up:
                self._down(lv)

    def _up(self, lv: str) -> None:
        run("lvchange", *self.config, "-ay", "-K", "-y", f"{self.vg}/{lv}")

    def _down(self, lv: str) -> None:
        run("lvchange", *self.config, "-an", "-y", f"{self.vg}/{lv}")

    def foreign(self, lv: str) -> None:
        room = ("-V", "4m", "--thinpool", f"{self.vg}/{self.pool}") if self.pool else ("-L", "4m", self.vg)
        run("lvcreate", *self.config, "-y", "-n", lv, *room)
        self._down(lv)

    @contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        self._up(lv)
        held = os.open(mapper_path(self.vg, lv), os.O_RDONLY)
        try:
            yield
        finally:
            os.close(held)
            self._down(lv)

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.store.host, program))

    def names(self) -> set[str]:
        return self._names("lv_name") - {self.pool}

    def active(self) -> set[str]:
        return self._names("lv_name", "-S", "lv_active=active")

    def autoactivates(self, lv: str) -> bool:
        # LVM takes a number for a flag in a selection: lvs(8), -S help.
        return lv in self._names("lv_name", "-S", "skip_activation=0")

    def _names(self, column: str, *select: str) -> set[str]:
        return set(run("lvs", *self.config, "--noheadings", "-o", column, *select, self.vg).split())

    def close(self) -> None:
        self.store.release()
        run("vgchange", *self.config, "-an", self.vg)
        run("losetup", "-d", self.loop)
        self.file.unlink()


def write(path: str, block: int, size: int) -> None:
    """One block of `size` bytes of chance, on the disk before this returns."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, os.urandom(size), block * size)
        os.fsync(fd)
    finally:
        os.close(fd)


def group_on_a_file(file: Path, size: int, vg: str, fill: Callable[[Config], None]) -> tuple[str, Config]:
    """A loop device with a volume group on a fresh `file` of `size` bytes, all down; `fill` makes volumes.

    It is made once and copied for every further test: LVM's commands are slow where the machine is emulated.
    """
    made = file.with_suffix(".made")
    if not made.exists():
        with file.open("wb") as out:
            out.truncate(size)
        loop, config = _on_loop(file)
        run("pvcreate", *config, "-y", loop)
        run("vgcreate", *config, "-s", "1m", vg, loop)
        fill(config)
        run("vgchange", *config, "-an", vg)
        run("losetup", "-d", loop)
        file.rename(made)
    run("cp", "--sparse=always", str(made), str(file))
    return _on_loop(file)


def _on_loop(file: Path) -> tuple[str, Config]:
    loop = run("losetup", "--find", "--show", str(file)).strip()
    return loop, lvm_config((loop,))
