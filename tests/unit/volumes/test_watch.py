"""The watch over the room: it pauses once, in time, and never hides why a step failed."""

from __future__ import annotations

import threading

import pytest

from appliance.errors import CommandFailed, DamagedData, OutOfSpace, TwinFailed
from appliance.volumes.pool_status import parse_pool_status
from appliance.volumes.watch import watched


class Filling:
    """A store whose pool fills by one percent at every look; `silent` looks fail first."""

    def __init__(self, start: float, silent: int = 0) -> None:
        self.used, self.silent, self.looks = start, silent, 0
        self.enough = threading.Event()

    def fullest(self) -> float:
        self.looks += 1
        if self.looks > 30:
            self.enough.set()
        if self.silent:
            self.silent -= 1
            raise CommandFailed("dmsetup did not finish within 60 s.")
        self.used += 1
        return self.used


def _run(store: Filling, limit: float) -> list[str]:
    paused: list[str] = []
    with watched(store, limit, lambda: paused.append("paused"), every=0.001):
        assert store.enough.wait(20)
    return paused


def test_nothing_happens_while_there_is_room() -> None:
    assert _run(Filling(0), 80) == []


def test_paused_once_and_said_at_the_end() -> None:
    store, paused = Filling(60), []
    with (
        pytest.raises(OutOfSpace, match="81 % full"),
        watched(store, 80, lambda: paused.append(1), every=0.001) as watch,
    ):
        assert store.enough.wait(20)
        assert watch.full
    assert paused == [1]


def test_a_failure_of_the_step_itself_is_what_is_raised() -> None:
    store = Filling(90)
    with pytest.raises(TwinFailed), watched(store, 80, lambda: None, every=0.001):
        assert store.enough.wait(20)
        raise TwinFailed("The twin's agent did not answer.")


def test_a_store_that_is_silent_is_asked_again() -> None:
    store, paused = Filling(60, silent=5), []
    with pytest.raises(OutOfSpace), watched(store, 80, lambda: paused.append(1), every=0.001):
        assert store.enough.wait(20)
    assert paused == [1]


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
