"""A second root on a real disk, which is a loop device; device-mapper is this machine's own, or played."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from appliance.host import mapper
from appliance.host.run import Host, RealHost
from appliance.host.udev import settle
from appliance.model.machine import Bus, Disk, Partition
from appliance.volumes.base import SnapshotRole, SnapshotStore
from appliance.volumes.elsewhere import prefix_of
from appliance.volumes.overlay import SUFFIX
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_copies import COPIES
from appliance.volumes.partition_disk import device_of, label_of
from appliance.volumes.table import MIB
from tests.contract import alone
from tests.contract.dark import DarkAfter
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import place
from tests.contract.real_lvm import run, write

T = TypeVar("T")
SIZE = 64 * MIB
DISK = 1024 * MIB
ROOM = 512 * MIB
BLOCK = 4096
SPARE = 850 * MIB
"""A partition behind the root's that holds nothing, where one is named. Behind it a history has room."""

UUID = "2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052"
GPT, DOS = "gpt", "dos"


@dataclass
class PartitionBench:
    """`root` is the first partition, an ext4 with the file `data`, at whose `blocks` is written."""

    store: PartitionStore
    host: Host
    folder: Path
    loop: str
    blocks: tuple[int, ...]
    counts: bool = True
    one_volume: bool = True
    with_origin: bool = False
    apart: frozenset[SnapshotRole] = field(default=COPIES)

    @property
    def vg(self) -> str:
        return self.store.vg

    def write(self, lv: str, block: int) -> None:
        at = block if lv.endswith("scratch") else self.blocks[block]
        self._with(lv, lambda path: write(path, at, BLOCK))

    def content(self, lv: str) -> object:
        base = next((s for s in self.store.ours() if s.lv == lv and s.role is SnapshotRole.BASE), None)
        mark = self.store.mark_of(base) if base is not None else None
        if mark is not None:
            return mark.witness
        return self._with(lv, lambda path: hashlib.sha256(Path(path).read_bytes()).hexdigest())

    def _with(self, lv: str, act: Callable[[str], T]) -> T:
        if lv == "root":
            return act(device_of(self.loop, 1))
        snapshot = next((s for s in self.store.ours() if s.lv == lv), None)
        if snapshot is None:
            slot = next(s for s in self.store.table().slots if s.name == label_of(lv))
            return act(device_of(self.loop, slot.number))
        was_up = lv in self.active()
        path = self.store.activate(snapshot)
        try:
            return act(path)
        finally:
            if not was_up:
                self.store.deactivate(snapshot)

    def foreign(self, lv: str) -> None:
        line = f'start=1000MiB, size=4MiB, name="{label_of(lv)}"\n'
        said = self.folder / "line"
        said.write_text(line)
        run("sh", "-c", f"sfdisk --quiet --append --force --no-reread --no-tell-kernel {self.loop} < {said}")
        tell(self.host, self.loop, max(s.number for s in self.store.table().slots))

    @contextlib.contextmanager
    def in_use(self, lv: str) -> Iterator[None]:
        held = os.open(self.store.device(next(s for s in self.store.ours() if s.lv == lv)), os.O_RDONLY)
        try:
            yield
        finally:
            os.close(held)

    def dark_after(self, program: str) -> SnapshotStore:
        return replace(self.store, host=DarkAfter(self.host, program))

    def names(self) -> set[str]:
        ours = {s.lv for s in self.store.ours()}
        there = (s for s in self.store.table().slots)
        called = {"root" if s.number == 1 else s.name.removeprefix(label_of("")) for s in there}
        return (called | ours) - {""}

    def active(self) -> set[str]:
        begins, region = prefix_of("tb1"), "twinboot-tb1-region-"
        up = mapper.names(self.host)
        copies = {n.removeprefix(begins).removesuffix(SUFFIX) for n in up if n.endswith(SUFFIX)}
        return copies | {n.removeprefix(region) for n in up if n.startswith(region)}

    def autoactivates(self, lv: str) -> bool:
        table = self.store.table()
        return any(self.store.numbers(r, table) for r in self.store.records() if r.lv == lv)

    def close(self) -> None:
        try:
            self.store.release()
            if isinstance(self.host, PlayedMapper):
                self.host.close()
            for slot in self.store.table().slots:
                run("sh", "-c", f"partx --delete --nr {slot.number} {self.loop} || true")
            run("losetup", "-d", self.loop)
            shutil.rmtree(self.folder)
        finally:
            alone.end()


@functools.cache
def made(kind: str, named: bool) -> tuple[Path, tuple[int, ...]]:
    """A disk with one partition, or with a spare one behind it, and the numbers of the blocks of a file in
    the first."""
    called = f"{kind}-named" if named else kind
    file, tree, root = place() / f"{called}.img", place() / f"{called}.tree", place() / f"{called}.root"
    tree.mkdir()
    (tree / "data").write_bytes(os.urandom(100 * BLOCK))
    for at, size in ((file, DISK), (root, SIZE)):
        with at.open("wb") as out:
            out.truncate(size)
    run("mkfs.ext4", "-q", "-b", str(BLOCK), "-U", UUID, "-d", str(tree), str(root))
    said = run("debugfs", "-R", "blocks /data", str(root))
    script = place() / f"{called}.sfdisk"
    spare = f"size={SPARE // MIB}MiB\n" if named else ""
    script.write_text(f"label: {kind}\nstart=1MiB, size={SIZE // MIB}MiB\n{spare}")
    run("sh", "-c", f"sfdisk --quiet {file} < {script}")
    run("dd", f"if={root}", f"of={file}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    return file, tuple(int(number) for number in re.findall(r"\d+", said))


def tell(host: Host, loop: str, number: int) -> None:
    """Make the kernel know a partition. udev, where it runs, reads the table anew after a write."""
    settle(host)
    if not Path(device_of(loop, number)).exists():
        run("partx", "--add", "--nr", str(number), loop)


def partition_bench(
    host_of: Callable[[Path], Host], kind: str = GPT, *, named: bool = False
) -> PartitionBench:
    """`named`: copies go into an empty partition behind the root's, which a technician named."""
    alone.begin()
    folder = Path(tempfile.mkdtemp(dir=place()))
    file, blocks = made(kind, named)
    run("cp", "--sparse=always", str(file), str(folder / "disk.img"))
    loop = run("losetup", "--find", "--show", "--partscan", str(folder / "disk.img")).strip()
    host = host_of(folder)
    part = Partition(path=device_of(loop, 1), number=1, start=MIB, size=SIZE, fstype="ext4", fsuuid=UUID)
    spare = Partition(path=device_of(loop, 2), number=2, start=MIB + SIZE, size=SPARE)
    parts = (part, spare) if named else (part,)
    for number in range(1, len(parts) + 1):
        tell(host, loop, number)
    disk = Disk(path=loop, size=DISK, bus=Bus.OTHER, table=kind, partitions=parts, named=2 if named else 0)
    store = PartitionStore(host, disk, part, "root", folder / "memory", ROOM)
    return PartitionBench(store, host, folder, loop, blocks)


def played_partition() -> PartitionBench:
    return partition_bench(PlayedMapper)


def played_named() -> PartitionBench:
    return partition_bench(PlayedMapper, named=True)


def real_partition() -> PartitionBench:
    return partition_bench(lambda _: RealHost())


def real_named() -> PartitionBench:
    return partition_bench(lambda _: RealHost(), named=True)
