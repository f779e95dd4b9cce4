"""The storages that the contract is tried on: in memory, or on this machine's own LVM where asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.contract.real_thick import real_thick
from tests.contract.real_thin import real_thin
from tests.contract.stores import Bench, fake_thick, fake_thin

BENCHES: dict[str, Callable[[], Bench]] = {
    "lvm-thin in memory": fake_thin,
    "lvm-thick in memory": fake_thick,
}
REAL = os.environ.get("TWINBOOT_CONTRACT") == "real"
if REAL:
    BENCHES = {"real-thin": real_thin, "real-thick": real_thick}


@pytest.fixture(params=list(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = BENCHES[request.param]()
    yield made
    made.close()
