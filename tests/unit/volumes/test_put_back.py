"""Data put back on an LVM that does not behave as the ones we have read: the end state is the same."""

from __future__ import annotations

import dataclasses

import pytest

from appliance.errors import TwinFailed
from appliance.host.run import Command, Output
from appliance.volumes.base import PutBack, Snapshot, SnapshotRole
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.dark import DarkAfter, PowerCut
from tests.contract.fake_lvm import FakeLvm
from tests.contract.stores import thin_group

DATA = PutBack(
    Snapshot("vg0", "srv-tb1-safety", "srv", "tb1", SnapshotRole.SAFETY),
    Snapshot("vg0", "srv-tb1-undone", "srv", "tb1", SnapshotRole.UNDONE),
)


def put_away(lvm: FakeLvm) -> LvmThinStore:
    """A data volume with one block written since its safety snapshot, and put away."""
    lvm.add("srv", 1 << 20, 4)
    store = LvmThinStore(lvm, thin_group(), ("--config", ""), "pool")
    store.create(DATA.safety)
    lvm.write("srv", 9)
    store.create(DATA.undone)
    return store


def test_flags_of_the_snapshot_are_taken_off_even_after_a_cut() -> None:
    lvm = FakeLvm(merge_takes_flags=True)
    store = put_away(lvm)
    before = lvm.read("srv-tb1-safety")
    with pytest.raises(PowerCut):
        dataclasses.replace(store, host=DarkAfter(lvm, "lvconvert")).put_back(DATA)
    assert not store.is_put_back(DATA)
    store.put_back(DATA)
    assert store.is_put_back(DATA)
    srv = lvm.lvs["srv"]
    assert (srv.blocks, srv.tags, srv.writable, srv.skip) == (before, frozenset(), True, False)


def test_a_read_only_data_volume_of_the_machine_stays_one() -> None:
    lvm = FakeLvm()
    store = put_away(lvm)
    lvm.lvs["srv"] = dataclasses.replace(lvm.lvs["srv"], writable=False)
    store.put_back(DATA)
    assert store.is_put_back(DATA) and not lvm.lvs["srv"].writable


def test_a_merge_that_lvm_put_off_is_an_error_not_an_end() -> None:
    class Opened(FakeLvm):
        """Somebody opens the volume between our look and LVM's."""

        def run(self, command: Command) -> Output:
            if command.argv[0] == "lvconvert":
                self.lvs["srv"] = dataclasses.replace(self.lvs["srv"], in_use=True)
            return super().run(command)

    lvm = Opened()
    store = put_away(lvm)
    now = lvm.read("srv")
    with pytest.raises(TwinFailed, match="is it in use"):
        store.put_back(DATA)
    assert lvm.read("srv") == now == lvm.read("srv-tb1-undone")


@pytest.mark.parametrize(
    ("data", "metadata", "words"),
    [
        (95.0, 95.0, ""),
        (96.0, 5.0, "The thin pool vg0/pool is 96 % full"),
        (9.0, 96.0, "The metadata of the thin pool vg0/pool is 96 % full"),
    ],
)
def test_a_pool_too_full_for_a_snapshot_is_said(data: float, metadata: float, words: str) -> None:
    class Full(FakeLvm):
        def _row(self, name: str, uuid: str, size: int, **known: str) -> dict[str, str]:
            if known.get("segtype") == "thin-pool":
                known |= {"data_percent": str(data), "metadata_percent": str(metadata)}
            return super()._row(name, uuid, size, **known)

    lvm = Full()
    lvm.add("srv", 1 << 20, 4)
    store = LvmThinStore(lvm, thin_group(), ("--config", ""), "pool")
    store.create(DATA.safety)
    said = " ".join(store.why_not_put_back((DATA,)))
    assert said.startswith(words) and said.endswith("% is accepted." if words else "")
    assert bool(said) is bool(words)
