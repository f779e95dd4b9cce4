"""How full a pool is, from the kernel's own line."""

from __future__ import annotations

import pytest

from appliance.errors import DamagedData
from appliance.volumes.pool_status import parse_pool_status


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("0 6291456 thin-pool 1 480/4096 7767/49152 - rw discard_passdown queue_if_no_space - 1024", 15.8),
        (
            "0 6291456 thin-pool 1 4000/4096 7767/49152 4 out_of_data_space no_discard_passdown queue - 1024",
            97.7,
        ),
        ("0 6291456 thin-pool Fail", 100.0),
    ],
)
def test_the_kernel_s_line(text: str, used: float) -> None:
    assert parse_pool_status(text) == pytest.approx(used, abs=0.1)


@pytest.mark.parametrize("text", ["", "0 8 linear", "0 8 thin-pool 1 0/0 0/0 - rw", "0 8 thin 1 2"])
def test_what_is_no_status_is_never_an_empty_pool(text: str) -> None:
    with pytest.raises(DamagedData):
        parse_pool_status(text)
