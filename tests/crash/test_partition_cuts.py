"""The power goes before any write of a second root's way: what is on the disk then, and what the next start
makes of it. The disk is a real one on a loop device."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from msgspec import structs

from appliance.host.run import Command, Effect, Host, Output
from appliance.model.machine import Partition
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_disk import device_of
from appliance.volumes.partition_entries import as_sfdisk_reads
from appliance.volumes.partition_fs import look
from appliance.volumes.table import MIB
from tests.contract.dark import PowerCut
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_partition import DISK, DOS, GPT, SIZE, UUID, PartitionBench, partition_bench

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
    pytest.mark.timeout(600),
]
TABLE = (MIB, 33 * 512)
"""Bytes at the beginning and at the end of the disk that hold a table, and what lies beside it."""


@dataclass
class Dark:
    """A Host that goes dark before the write number `left`."""

    inner: Host
    left: int = 10**6
    done: list[str] = field(default_factory=list)

    def run(self, command: Command) -> Output:
        if command.effect is Effect.WRITE:
            if self.left == 0:
                raise PowerCut
            self.left -= 1
            self.done.append(str(command))
        return self.inner.run(command)


@pytest.fixture(params=[(GPT, False), (DOS, False), (GPT, True), (DOS, True)], ids=str)
def bench(request: pytest.FixtureRequest) -> Iterator[PartitionBench]:
    kind, named = request.param
    made = partition_bench(PlayedMapper, kind, named=named)
    yield made
    made.close()


def snapshot(bench: PartitionBench, lv: str, origin: str, role: SnapshotRole) -> Snapshot:
    return Snapshot(bench.vg, lv, origin, "tb1", role)


def base(bench: PartitionBench) -> Snapshot:
    return snapshot(bench, "base", "root", SnapshotRole.BASE)


def trial(bench: PartitionBench) -> Snapshot:
    return snapshot(bench, "copy", "copy", SnapshotRole.TRIAL)


def kept(bench: PartitionBench) -> Snapshot:
    return snapshot(bench, "copy", "copy", SnapshotRole.KEPT)


def rehearse(bench: PartitionBench, store: PartitionStore) -> None:
    """Up to the trial volume; block 5 is what the twin wrote."""
    work = snapshot(bench, "copy", "base", SnapshotRole.WORK)
    store.create(base(bench))
    store.create(work)
    store.activate(work)
    bench.write("copy", 5)
    store.seal(work, snapshot(bench, "copy", "copy", SnapshotRole.SEALED))
    store.create(trial(bench))


def retire(bench: PartitionBench, store: PartitionStore) -> None:
    """Safe to repeat, as the steps of a plan are."""
    if any(s.role in (SnapshotRole.TRIAL, SnapshotRole.KEPT) and s.lv == "copy" for s in store.ours()):
        store.keep(trial(bench))
        if store.present("root"):
            store.delete(store.adopt("root", "tb1"))
    store.settle(kept(bench), "root")


def cut_everywhere(bench: PartitionBench, act: Callable[[PartitionStore], None]) -> Iterator[Dark]:
    """The disk as it is, then `act` cut before its first write, its second, and so on, each time anew."""
    image = bench.folder / "disk.img"
    before = bench.folder / "before.img"
    power_off(bench)
    _said("cp", "--sparse=always", str(image), str(before))
    for left in range(1000):
        dark = Dark(bench.host, left)
        try:
            act(replace(bench.store, host=dark))
        except PowerCut:
            power_off(bench)
            yield dark
            power_off(bench)
            _said("cp", "--sparse=always", str(before), str(image))
            _refresh(bench)
            continue
        assert left > 2, "nothing was cut"
        return


def power_off(bench: PartitionBench) -> None:
    """All that was in the kernel and in memory is gone."""
    assert isinstance(bench.host, PlayedMapper)
    for loop in reversed(_over(bench.loop)):
        if loop not in bench.host.loops.values():
            _said("losetup", "-d", loop)
    bench.host.close()
    for loop in reversed(_over(bench.loop)):
        _said("losetup", "-d", loop)
    shutil.rmtree(bench.store.memory, ignore_errors=True)
    for copy in bench.folder.glob("played-*"):
        copy.unlink()
    _refresh(bench)


def _over(device: str) -> list[str]:
    """Loops over `device` or a partition of it, and those over these; the lowest first."""
    rows = _said("losetup", "--list", "--noheadings", "-O", "NAME,BACK-FILE").splitlines()
    backs = [(loop, back.strip()) for loop, _, back in (row.strip().partition(" ") for row in rows)]
    found = [loop for loop, back in backs if back == device or back.startswith(f"{device}p")]
    return found + [above for loop in found for above in _over(loop)]


def _refresh(bench: PartitionBench) -> None:
    """The kernel knows what the table says, as after a start; of two in one place it takes one here."""
    _said("blockdev", "--flushbufs", bench.loop)
    _said("blockdev", "--rereadpt", bench.loop)
    for slot in bench.store.table().slots:
        added = ("partx", "--add", "--nr", str(slot.number), bench.loop)
        subprocess.run(added, check=False, capture_output=True, timeout=60)


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout


def roots(bench: PartitionBench) -> dict[str, set[int]]:
    """Every file system that a partition shows, by UUID: where those partitions begin, in MiB."""
    assert as_sfdisk_reads(bench.host, bench.loop) == {(s.start, s.size) for s in bench.store.table().slots}
    found: dict[str, set[int]] = {}
    for slot in bench.store.table().slots:
        uuid = look(bench.store.host, device_of(bench.loop, slot.number)).uuid
        if uuid:
            found.setdefault(uuid, set()).add(slot.start // MIB)
    return found


def table(bench: PartitionBench) -> bytes:
    with Path(bench.loop).open("rb", buffering=0) as disk:
        first = disk.read(TABLE[0])
        disk.seek(DISK - TABLE[1])
        return first + disk.read(TABLE[1])


def test_a_cut_rehearsal_leaves_the_table_as_it_was_and_nothing_of_ours(bench: PartitionBench) -> None:
    before, root = table(bench), bench.content("root")
    for dark in cut_everywhere(bench, lambda store: rehearse(bench, store)):
        assert table(bench) == before and bench.content("root") == root, dark.done[-1:]
        assert bench.store.ours() == () or bench.store.exists(trial(bench)), "whole or not there"
    assert bench.store.exists(trial(bench))
    assert table(bench) == before and bench.content("root") == root


@pytest.fixture
def rehearsed(bench: PartitionBench) -> PartitionBench:
    """Who comes later knows of a named partition by what stands on the disk alone."""
    rehearse(bench, bench.store)
    bench.store = replace(bench.store, probed=structs.replace(bench.store.probed, named=0))
    return bench


def test_a_cut_show_or_hide_leaves_one_file_system_of_each_name(rehearsed: PartitionBench) -> None:
    bench = rehearsed
    (record,) = bench.store.records()
    hidden = table(bench)
    for dark in cut_everywhere(bench, lambda store: store.show(trial(bench))):
        there = roots(bench)
        assert there[UUID] == {1} and there.get(record.uuid, {record.start // MIB}) == {record.start // MIB}
        bench.store.hide(trial(bench))
        assert table(bench) == hidden, dark.done[-1:]
    assert roots(bench) == {UUID: {1}, record.uuid: {record.start // MIB}}
    for dark in cut_everywhere(bench, lambda store: store.delete(trial(bench))):
        assert roots(bench)[UUID] == {1}, dark.done[-1:]
        listed = bool(bench.store.numbers(record, bench.store.table()))
        assert table(bench) == hidden or bench.store.ours(), "what is listed, or half so, is known to be ours"
        assert not listed or roots(bench)[record.uuid] == {record.start // MIB}
        bench.store.delete(trial(bench))
        bench.store.delete(base(bench))
        assert table(bench) == hidden and bench.store.ours() == ()
    assert table(bench) == hidden


def test_a_cut_retire_always_leaves_the_kept_root_and_goes_on(rehearsed: PartitionBench) -> None:
    bench = rehearsed
    (record,) = bench.store.records()
    bench.store.show(trial(bench))
    bench.store.keep(trial(bench))
    for dark in cut_everywhere(bench, lambda store: retire(bench, store)):
        there = roots(bench)
        new = record.start // MIB
        assert there[record.uuid] == {new}, dark.done[-1:]
        assert there.get(UUID, {1}) == {1}
        retire(bench, bench.store)
        assert roots(bench) == {record.uuid: {new}}
        assert {s.number: s.start // MIB for s in bench.store.table().slots} == {1: new} | (
            {2: 1} if record.within else {}
        ), "a named partition lies where the old root was"
    assert roots(bench) == {record.uuid: {record.start // MIB}}
    bench.store.disown("root")
    assert bench.store.ours() == ()


def test_the_next_rehearsal_goes_where_the_old_root_was(rehearsed: PartitionBench) -> None:
    bench = rehearsed
    bench.store.show(trial(bench))
    retire(bench, bench.store)
    bench.store.disown("root")
    bench.store.release()
    slot, *_ = bench.store.table().slots
    assert slot.start > 2 * MIB
    again = replace(bench.store, root=probed_anew(bench), memory=bench.folder / "again")
    again.create(Snapshot(bench.vg, "copy2", "root", "tb2", SnapshotRole.TRIAL))
    (record,) = again.records()
    assert record.run == "tb2" and record.within is None
    assert record.start + SIZE <= slot.start or record.at >= slot.end
    again.show(Snapshot(bench.vg, "copy2", "root", "tb2", SnapshotRole.TRIAL))
    assert len(roots(bench)) == 2
    again.release()


def probed_anew(bench: PartitionBench) -> Partition:
    slot, *_ = bench.store.table().slots
    uuid = look(bench.host, device_of(bench.loop, 1)).uuid
    return structs.replace(bench.store.root, start=slot.start, fsuuid=uuid)
