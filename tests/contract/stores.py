"""What a storage must offer so that the contract can be tried on it: a store and a hand in its volumes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup
from appliance.probe.mappings import Mapping
from appliance.volumes.base import RehearsalStore, Snapshot, SnapshotRole, SnapshotStore
from appliance.volumes.below import View
from appliance.volumes.elsewhere import ElsewhereStore, prefix_of, room_name
from appliance.volumes.file_room import FileRoom, Place
from appliance.volumes.lvm_thick import LvmThickStore
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.dark import DarkAfter
from tests.contract.fake_elsewhere import ROOT, FakeElsewhere
from tests.contract.fake_lvm import BLOCK, FakeLvm
from tests.contract.fake_thick import FakeThickLvm

APART = frozenset({SnapshotRole.SCRATCH, SnapshotRole.PROOF})
"""What is made beside a thick volume, not as a snapshot of it."""


class RehearsalBench(Protocol):
    """One storage with an installed volume `root`, at least 2 blocks of it written.

    `one_volume`: work, sealed and trial are one volume here. `with_origin`: a snapshot is up whenever its
    origin is, but for those of the roles `apart`.
    """

    vg: str
    one_volume: bool
    with_origin: bool
    apart: frozenset[SnapshotRole]

    @property
    def store(self) -> RehearsalStore: ...

    def write(self, lv: str, block: int) -> None:
        """Change one block of a volume, as a running system would. Raises OSError on a read-only one."""

    def content(self, lv: str) -> object:
        """Something equal if and only if the volume's content is."""

    def names(self) -> set[str]:
        """Every volume that is there, ours or not, without pools."""

    def active(self) -> set[str]:
        """The names of the volumes that are up."""

    def close(self) -> None:
        """Give everything back."""


class Bench(RehearsalBench, Protocol):
    """One whose store keeps what it makes on the machine.

    `counts`: it says how many blocks the old system wrote, not only that it wrote some.
    """

    counts: bool

    @property
    def store(self) -> SnapshotStore: ...

    def foreign(self, lv: str) -> None:
        """Make a volume that is not ours."""

    def in_use(self, lv: str) -> AbstractContextManager[None]:
        """While this holds, somebody has the volume open."""

    def dark_after(self, program: str) -> SnapshotStore:
        """The same store, on a machine whose power goes (PowerCut) right after `program` has run."""

    def autoactivates(self, lv: str) -> bool:
        """Whether the installed system would bring the volume up at boot."""


@dataclass
class FakeThinBench:
    """LVM thin in memory."""

    lvm: FakeLvm
    store: LvmThinStore
    counts: bool = True
    vg: str = "vg0"
    one_volume: bool = False
    with_origin: bool = False
    apart: frozenset[SnapshotRole] = frozenset()

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
    counts: bool = True
    vg: str = "vg0"
    one_volume: bool = True
    with_origin: bool = True
    apart: frozenset[SnapshotRole] = APART

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


@dataclass
class FakeElsewhereBench:
    """A root that is read where it lies, with the room for its copy in a folder."""

    host: FakeElsewhere
    store: ElsewhereStore
    folder: tempfile.TemporaryDirectory[str]
    vg: str = "vg0"
    one_volume: bool = True
    with_origin: bool = True
    apart: frozenset[SnapshotRole] = APART

    def write(self, lv: str, block: int) -> None:
        self.host.write(self._over(lv), block)

    def content(self, lv: str) -> object:
        return dict(self.host.blocks) if lv == "root" else self.host.read(self._over(lv))

    def names(self) -> set[str]:
        files = (p for p in self.store.room.folder.iterdir() if not p.name.startswith("room."))
        return {"root", *(p.stem for p in files)}

    def active(self) -> set[str]:
        begins = prefix_of("tb1")
        return {name.removeprefix(begins).removesuffix("-over") for name in self.host.devices}

    def close(self) -> None:
        self.store.remove_room()
        assert not self.host.devices and not self.host.loops
        self.folder.cleanup()

    @staticmethod
    def _over(lv: str) -> str:
        return f"{prefix_of('tb1')}{lv}-over"


ROOM = 512 << 20
"""Bytes: what the twin's other disks have at least, and a little for its root."""


def elsewhere_store(host: FakeElsewhere, place: Place) -> ElsewhereStore:
    shown = Mapping(name=f"{prefix_of('tb1')}view0", table=(f"0 {host.size // 512} linear {ROOT} 2048",))
    return ElsewhereStore(host, "tb1", View(host, (shown,)), FileRoom(host, room_name("tb1"), place, ROOM))


def fake_elsewhere() -> FakeElsewhereBench:
    folder, host = tempfile.TemporaryDirectory(dir="/var/tmp"), FakeElsewhere()
    store = elsewhere_store(host, Place(Path(folder.name)))
    store.make_room(lambda done, total: None)
    return FakeElsewhereBench(host, store, folder)


def fake_thick() -> FakeThickBench:
    lvm = FakeThickLvm()
    lvm.add("root", 40 << 20, 10)
    return FakeThickBench(lvm, LvmThickStore(lvm, thick_group(), ("--config", "devices {}"), "root"))


def fake_thin() -> FakeThinBench:
    lvm = FakeLvm()
    lvm.add("root", 100 * BLOCK, 10)
    return FakeThinBench(lvm, LvmThinStore(lvm, thin_group(), ("--config", "devices {}"), "pool"))


def snapshot(bench: RehearsalBench, lv: str, origin: str, role: SnapshotRole, run: str = "tb1") -> Snapshot:
    return Snapshot(bench.vg, lv, origin, run, role)
