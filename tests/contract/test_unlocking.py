"""Every way of telling a twin its passphrase: once where it asks, not where it does not, anew each start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from appliance.twin.unlocking import NothingAsked, OnTheLine, Unlocking
from appliance.twin.unlocking_screen import OnTheScreen
from tests.contract.asking import ASKS, OPENED, Bench, Guest

LONG = 12
"""Looks, a second each, within which every way has answered."""


class Way(Protocol):
    """One of them, and the twin that it is told by. `asks` stands until `lets_in`."""

    unlocking: Unlocking

    def asks(self) -> None: ...
    def lets_in(self) -> None: ...
    def look(self, times: int) -> None: ...

    @property
    def answers(self) -> int: ...


@dataclass
class Line:
    bench: Bench
    unlocking: Unlocking = field(init=False)

    def __post_init__(self) -> None:
        self.unlocking = OnTheLine(self.bench.log, lambda: self.bench.typed)

    def asks(self) -> None:
        self.bench.says(ASKS)

    def lets_in(self) -> None:
        self.bench.says(OPENED)

    def look(self, times: int) -> None:
        for _ in range(times):
            self.unlocking.look()

    @property
    def answers(self) -> int:
        return len(self.bench.typed.data)


@dataclass
class Screen:
    guest: Guest
    at_work: bool = True
    unlocking: Unlocking = field(init=False)

    def __post_init__(self) -> None:
        self.unlocking = OnTheScreen("twin", self.guest, lambda: self.guest.now)

    def asks(self) -> None:
        self.at_work = False

    def lets_in(self) -> None:
        self.at_work = True

    def look(self, times: int) -> None:
        for _ in range(times):
            self.guest.now += 1
            self.guest.cpu += 1.0 if self.at_work else 0.01
            self.guest.read += 1 << 20 if self.at_work else 0
            before = self.guest.answers
            self.unlocking.look()
            self.at_work = self.at_work or self.guest.answers > before

    @property
    def answers(self) -> int:
        return self.guest.answers


@pytest.fixture(params=["line", "screen"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    return Line(Bench(tmp_path / "console.log")) if request.param == "line" else Screen(Guest())


def test_a_twin_that_does_not_ask_is_told_nothing(way: Way) -> None:
    way.unlocking.begin()
    way.look(LONG)
    way.unlocking.end()
    assert way.answers == 0


def test_one_that_asks_is_answered_once(way: Way) -> None:
    way.unlocking.begin()
    way.look(2)
    way.asks()
    way.look(LONG)
    way.lets_in()
    way.look(LONG)
    assert way.answers == 1


def test_every_start_is_answered_anew(way: Way) -> None:
    for starts in (1, 2, 3):
        way.unlocking.begin()
        way.look(2)
        way.asks()
        way.look(LONG)
        way.lets_in()
        way.look(2)
        assert way.answers == starts


def test_the_end_may_come_twice_and_before_the_beginning(way: Way) -> None:
    way.unlocking.end()
    way.unlocking.begin()
    way.unlocking.end()
    way.unlocking.end()
    assert way.answers == 0


def test_a_disk_that_is_not_encrypted_is_never_told_anything() -> None:
    nothing: Unlocking = NothingAsked()
    nothing.begin()
    nothing.look()
    nothing.end()
