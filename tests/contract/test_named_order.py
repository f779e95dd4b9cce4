"""Copies and a history inside of a named partition, made, shown, hidden and deleted in whatever order."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from appliance.errors import OutOfSpace
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.partition import PartitionStore
from appliance.volumes.partition_disk import PartitionDisk
from appliance.volumes.partition_state import PartitionHistory
from appliance.volumes.state import NAME
from appliance.volumes.table import MIB
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_partition import DOS, GPT, SIZE, PartitionBench, partition_bench

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
    pytest.mark.timeout(600),
]
ACTS = ("create", "create", "show", "hide", "delete", "remember", "forget")
ROUNDS = 30


class Disk:
    """What should be on it, beside the bench's own reading of what is. Whoever comes later was not told the
    name of the partition."""

    def __init__(self, bench: PartitionBench, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        self.told = replace(bench.store, room_bytes=100 * MIB)
        self.later = replace(self.told, probed=replaced(bench.store.probed, named=0))
        self.runs: dict[str, Snapshot] = {}
        self.shown = ""
        self.remembers = False
        self.made = 0

    @property
    def any_store(self) -> PartitionStore:
        return self.chance.choice((self.told, self.later))

    def history(self, store: PartitionStore) -> PartitionHistory:
        return PartitionHistory(PartitionDisk(self.bench.host, store.probed))

    def create(self) -> None:
        self.made += 1
        name = f"copy{self.made}"
        snapshot = Snapshot(self.bench.vg, name, "root", f"tb{self.made}", SnapshotRole.TRIAL)
        with contextlib.suppress(OutOfSpace):
            self.any_store.create(snapshot)
            self.runs[name] = snapshot

    def show(self) -> None:
        if self.runs and not self.shown:
            self.shown = self.chance.choice(sorted(self.runs))
            self.later.show(self.runs[self.shown])

    def hide(self) -> None:
        if self.shown:
            self.later.hide(self.runs[self.shown])
            self.shown = ""

    def delete(self) -> None:
        if self.runs:
            name = self.chance.choice(sorted(self.runs))
            self.later.delete(self.runs.pop(name))
            self.shown = "" if self.shown == name else self.shown

    def remember(self) -> None:
        history = self.history(self.any_store)
        with contextlib.suppress(OutOfSpace):
            history.ensure()
            history.unmount(self.bench.folder / "nowhere")
            self.remembers = True

    def forget(self) -> None:
        self.history(self.later).delete()
        self.remembers = False

    def names(self) -> set[str]:
        return set(self.runs) | ({NAME} if self.remembers else set())


@pytest.fixture(params=[GPT, DOS])
def bench(request: pytest.FixtureRequest) -> Iterator[PartitionBench]:
    made = partition_bench(PlayedMapper, request.param, named=True)
    yield made
    made.close()


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_nothing_is_lost_and_in_the_end_nothing_is_left(bench: PartitionBench, seed: int) -> None:
    chance = random.Random(seed)
    disk, table = Disk(bench, chance), bench.store.table()
    for _ in range(ROUNDS):
        act = chance.choice(ACTS)
        getattr(disk, act)()
        found = disk.later.records()
        assert {record.lv for record in found} == disk.names(), act
        assert all(one.end <= other.at for one, other in itertools.pairwise(found)), act
        assert all(record.at >= MIB + SIZE for record in found), "never in the machine's own root"
        assert disk.shown or disk.later.table() == table, act
    while disk.runs:
        disk.delete()
    disk.forget()
    assert disk.later.table() == table and disk.later.written_down(table) == ()
