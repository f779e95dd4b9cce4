"""The storages that the contract is tried on: in memory, or on this machine's own LVM where asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.contract.real_btrfs import played_btrfs, real_btrfs
from tests.contract.real_partition import played_named, played_partition, real_named, real_partition
from tests.contract.real_thick import real_thick
from tests.contract.real_thin import real_thin
from tests.contract.stores import Bench, fake_thick, fake_thin

BENCHES: dict[str, Callable[[], Bench]] = {
    "lvm-thin in memory": fake_thin,
    "lvm-thick in memory": fake_thick,
    "btrfs on a loop": played_btrfs,
    "partition on a loop": played_partition,
    "named partition on a loop": played_named,
}
REAL = os.environ.get("TWINBOOT_CONTRACT") == "real"
if REAL:
    BENCHES = {
        "real-thin": real_thin,
        "real-thick": real_thick,
        "real-btrfs": real_btrfs,
        "real-partition": real_partition,
        "real-named": real_named,
    }

MOUNTS = (pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"))


def each(names: Iterable[str]) -> list[object]:
    """Parameters; a storage that is mounted needs root."""
    return [pytest.param(name, marks=MOUNTS if "loop" in name else ()) for name in names]


@pytest.fixture(params=each(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = BENCHES[request.param]()
    yield made
    made.close()
