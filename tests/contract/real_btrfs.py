"""Snapshots on a real btrfs on a loop device; device-mapper is this machine's own, or played."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from appliance.host import mapper
from appliance.host.run import Host, RealHost
from appliance.volumes.base import Snapshot, SnapshotRole, SnapshotStore
from appliance.volumes.below import Disk
from appliance.volumes.btrfs import COPIES, BtrfsStore
from appliance.volumes.btrfs_disk import BtrfsDisk
from appliance.volumes.btrfs_tags import FOLDER, Tags
from appliance.volumes.elsewhere import ElsewhereStore, prefix_of, room_name
from appliance.volumes.file_room import FileRoom, Place
from appliance.volumes.overlay import SUFFIX, windows
from tests.contract import alone
from tests.contract.dark import DarkAfter
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_lvm import run, write

T = TypeVar("T")
SIZE = 128 << 20
ROOM = 576 << 20
SPARE = 64 << 20
BLOCK = 4096
RUN = "tb1"


@dataclass
class BtrfsBench:
    """`root` is a subvolume with the file `data`, whose blocks are written and read."""

    store: BtrfsStore
    host: Host
    folder: Path
    loop: str
    vg: str = "btrfs"
    counts: bool = False
    one_volume: bool = False
    with_origin: bool = True
    apart: frozenset[SnapshotRole] = field(default=COPIES)

    def write(self, lv: str, block: int) -> None:
        if lv.endswith("scratch"):
            write(self._copy(lv), block, BLOCK)
        else:
            self._with(lv, lambda at: write(str(at / "data"), block, BLOCK))

    def content(self, lv: str) -> object:
        if (self.store.copies.room.folder / f"{lv}.{RUN}.described").exists():
            self.store.activate(Snapshot(self.vg, lv, "", RUN, SnapshotRole.SEALED))
        return self._with(lv, tree)

    def _with(self, lv: str, act: Callable[[Path], T]) -> T:
        disk = replace(self.store.disk, folder=self.folder / "hand", host=RealHost())
        if lv not in self._copies():
            with disk.writing() as mounted:
                return act(mounted.at(self.store.where(mounted, lv)))
        over = run("losetup", "--find", "--show", self._copy(lv)).strip()
        try:
            with disk.writing(over) as mounted:
                return act(mounted.at(self.store.root))
        finally:
            run("losetup", "-d", over)
            disk.forget()

    def _copy(self, lv: str) -> str:
        return mapper.node(f"{prefix_of(RUN)}{lv}{SUFFIX}")

    def _copies(self) -> set[str]:
        files = self.store.copies.room.folder.iterdir()
        ends = {role.value for role in COPIES}
        return {p.stem for p in files if p.suffix.removeprefix(".") in ends}

    def foreign(self, lv: str) -> None:
        with self.store.disk.writing() as mounted:
            mounted.at(FOLDER).mkdir(exist_ok=True)
            run("btrfs", "subvolume", "create", str(mounted.at(f"{FOLDER}/{lv}")))
            (mounted.at(f"{FOLDER}/{lv}") / "data").write_bytes(b"theirs" * 1000)

    def in_use(self, lv: str) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError("a subvolume is used by whoever mounts its file system")

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.host, program))

    def names(self) -> set[str]:
        with self.store.disk.reading() as mounted:
            named = {tag.path: lv for lv, tag in Tags(mounted.top).all().items()}
            paths = {s.path for s in mounted.look().subvolumes}
        return {named.get(path, path.removeprefix(f"{FOLDER}/")) for path in paths} | self._copies()

    def active(self) -> set[str]:
        begins = prefix_of(RUN)
        up = (name for name in mapper.names(self.host) if name.startswith(begins) and name.endswith(SUFFIX))
        return {name.removeprefix(begins).removesuffix(SUFFIX) for name in up}

    def autoactivates(self, lv: str) -> bool:
        return lv not in self._copies()

    def close(self) -> None:
        try:
            self.store.copies.remove_room()
            if isinstance(self.host, PlayedMapper):
                self.host.close()
            run("losetup", "-d", self.loop)
            assert not windows(RealHost(), self.loop)
            shutil.rmtree(self.folder)
        finally:
            alone.end()


def tree(at: Path) -> str:
    """sha256 over names and contents below `at`."""
    total = hashlib.sha256()
    for path in sorted(at.rglob("*")):
        total.update(str(path.relative_to(at)).encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


@functools.cache
def place() -> Path:
    """A folder on a disk for all benches of this process, gone with it."""
    folder = tempfile.mkdtemp(prefix="twinboot-contract-btrfs-", dir="/var/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def made() -> Path:
    """A btrfs whose root is the subvolume `root`, 16 blocks written."""
    file, at = place() / "made.img", place() / "made"
    with file.open("wb") as out:
        out.truncate(SIZE)
    run("mkfs.btrfs", "-q", str(file))
    at.mkdir()
    run("mount", "-o", "loop", str(file), str(at))
    run("btrfs", "subvolume", "create", str(at / "root"))
    (at / "root/data").write_bytes(os.urandom(16 * BLOCK))
    run("umount", str(at))
    return file


def file_system(folder: Path) -> Path:
    """A copy of it in `folder`."""
    file = folder / "disk.img"
    run("cp", "--sparse=always", str(made()), str(file))
    return file


def btrfs_bench(host_of: Callable[[Path], Host]) -> BtrfsBench:
    alone.begin()
    folder = Path(tempfile.mkdtemp(dir=place()))
    loop = run("losetup", "--find", "--show", str(file_system(folder))).strip()
    host = host_of(folder)
    room = FileRoom(host, room_name(RUN), Place(folder), ROOM)
    copies = ElsewhereStore(host, RUN, Disk(loop), room, spare=SPARE)
    copies.make_room(lambda done, total: None)
    store = BtrfsStore(host, BtrfsDisk(host, loop, folder / "at"), "btrfs", "root", copies)
    return BtrfsBench(store, host, folder, loop)


def played_btrfs() -> BtrfsBench:
    return btrfs_bench(PlayedMapper)


def real_btrfs() -> BtrfsBench:
    return btrfs_bench(lambda _: RealHost())
