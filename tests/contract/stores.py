"""What a storage must offer so that the contract can be tried on it: a store and a hand in its volumes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup
from appliance.volumes.base import Snapshot, SnapshotRole, SnapshotStore
from appliance.volumes.lvm_thick import LvmThickStore
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.dark import DarkAfter
from tests.contract.fake_lvm import BLOCK, FakeLvm
from tests.contract.fake_thick import FakeThickLvm


class Bench(Protocol):
    """One storage with an installed volume `root`, at least 2 blocks of it written.

    `one_volume`: work, sealed and trial are one volume here, and a snapshot is up whenever its origin is.
    """

    store: SnapshotStore
    vg: str
    one_volume: bool

    def write(self, lv: str, block: int) -> None:
        """Change one block of a volume, as a running system would. Raises OSError on a read-only one."""

    def content(self, lv: str) -> object:
        """Something equal if and only if the volume's content is."""

    def foreign(self, lv: str) -> None:
        """Make a volume that is not ours."""

    def in_use(self, lv: str) -> AbstractContextManager[None]:
        """While this holds, somebody has the volume open."""

    def dark_after(self, program: str) -> SnapshotStore:
        """The same store, on a machine whose power goes (PowerCut) right after `program` has run."""

    def names(self) -> set[str]:
        """Every volume that is there, ours or not, without pools."""

    def active(self) -> set[str]:
        """The names of the volumes that are up."""

    def autoactivates(self, lv: str) -> bool:
        """Whether the installed system would bring the volume up at boot."""

    def close(self) -> None:
        """Give everything back."""


@dataclass
class FakeThinBench:
    """LVM thin in memory."""

    lvm: FakeLvm
    store: LvmThinStore
    vg: str = "vg0"
    one_volume: bool = False

    def write(self, lv: str, block: int) -> None:
        self.lvm.write(lv, block)

    def content(self, lv: str) -> object:
        return self.lvm.read(lv)

    def foreign(self, lv: str) -> None:
        self.lvm.add(lv, 1 << 20, 1)

    @contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        was = self.lvm.lvs[lv]
        self.lvm.lvs[lv] = replace(was, active=True, in_use=True)
        yield
        self.lvm.lvs[lv] = replace(self.lvm.lvs[lv], active=was.active, in_use=False)

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.lvm, program))

    def names(self) -> set[str]:
        return set(self.lvm.lvs)

    def active(self) -> set[str]:
        up = {name for name, lv in self.lvm.lvs.items() if lv.active}
        return up | ({"pool"} if self.lvm.pool_active else set())

    def autoactivates(self, lv: str) -> bool:
        return not self.lvm.lvs[lv].skip

    def close(self) -> None:
        return None


def thin_group(data_percent: float = 10.0, metadata_percent: float = 5.0, missing: int = 0) -> VolumeGroup:
    pool = LogicalVolume(
        name="pool", uuid="p", size=1000 * BLOCK, segtype="thin-pool",
        data_percent=data_percent, metadata_percent=metadata_percent,
    )  # fmt: skip
    root = LogicalVolume(name="root", uuid="r", size=100 * BLOCK, segtype="thin", pool="pool")
    pv = PhysicalVolume(path="/dev/vda2", uuid="pv", size=1 << 30)
    return VolumeGroup(
        name="vg0", uuid="vg", extent_size=4 << 20, extent_count=200, free_count=50, seqno=1,
        pvs=(pv,), lvs=(pool, root), missing_pvs=missing,
    )  # fmt: skip


@dataclass
class FakeThickBench:
    """LVM thick in memory."""

    lvm: FakeThickLvm
    store: LvmThickStore
    vg: str = "vg0"
    one_volume: bool = True

    def write(self, lv: str, block: int) -> None:
        self.lvm.write(lv, block)

    def content(self, lv: str) -> object:
        return self.lvm.read(lv)

    def foreign(self, lv: str) -> None:
        self.lvm.add(lv, 1 << 20, 1)

    def names(self) -> set[str]:
        return set(self.lvm.lvs)

    def active(self) -> set[str]:
        return {name for name, lv in self.lvm.lvs.items() if self.lvm.is_up(lv)} | set(self.lvm.devices)

    @contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        was = self.lvm.lvs[lv]
        self.lvm.lvs[lv] = replace(was, active=True, held=True)
        yield
        self.lvm.lvs[lv] = replace(self.lvm.lvs[lv], active=was.active, held=False)

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.lvm, program))

    def autoactivates(self, lv: str) -> bool:
        return not self.lvm.lvs[lv].skip

    def close(self) -> None:
        return None


def thick_group(free: int = 2000, missing: int = 0, root: int = 40 << 20) -> VolumeGroup:
    """A group of extents of 1 MiB, `free` of them free."""
    pv = PhysicalVolume(path="/dev/vda2", uuid="pv", size=4 << 30)
    lv = LogicalVolume(name="root", uuid="r", size=root, segtype="linear")
    return VolumeGroup(
        name="vg0", uuid="vg", extent_size=1 << 20, extent_count=4000, free_count=free, seqno=1,
        pvs=(pv,), lvs=(lv,), missing_pvs=missing,
    )  # fmt: skip


def fake_thick() -> FakeThickBench:
    lvm = FakeThickLvm()
    lvm.add("root", 40 << 20, 10)
    return FakeThickBench(lvm, LvmThickStore(lvm, thick_group(), ("--config", "devices {}"), "root"))


def fake_thin() -> FakeThinBench:
    lvm = FakeLvm()
    lvm.add("root", 100 * BLOCK, 10)
    return FakeThinBench(lvm, LvmThinStore(lvm, thin_group(), ("--config", "devices {}"), "pool"))


def snapshot(bench: Bench, lv: str, origin: str, role: SnapshotRole, run: str = "tb1") -> Snapshot:
    return Snapshot(bench.vg, lv, origin, run, role)
