"""A slow processor draws seldom, a fast one as it likes, and whoever presses a key is never kept waiting."""

from __future__ import annotations

import pytest

from tui.pace import LONGEST, SHARE, Pace


class Machine:
    """`cost` is the processor time of one page, in seconds; the clock stands still while it is drawn."""

    def __init__(self, cost: float) -> None:
        self.cost, self.now, self.spent = cost, 0.0, 0.0
        self.pace = Pace(SHARE, lambda: self.now, lambda: self.spent)

    def drawn(self, seconds: float, every: float = 0.25) -> int:
        """Pages drawn in `seconds`, looked at `every` so many of them."""
        count = 0
        for _ in range(int(seconds / every)):
            if self.pace.due():
                count += 1
                self.spent += self.cost
                self.pace.drawn()
            self.now += every
        return count


def test_a_fast_machine_draws_at_every_look() -> None:
    assert Machine(0.005).drawn(60) == 240


@pytest.mark.parametrize("cost", [0.05, 0.1, 0.2])
def test_a_slow_one_keeps_to_its_share(cost: float) -> None:
    machine = Machine(cost)
    assert machine.drawn(600) > 1
    assert machine.spent <= 600 * SHARE + cost


def test_the_slowest_still_shows_what_is_no_older_than_promised() -> None:
    assert Machine(3.0).drawn(60) == 60 / LONGEST


def test_work_of_others_between_two_pages_is_not_counted() -> None:
    machine = Machine(0.005)
    machine.drawn(1)
    machine.spent += 100
    assert machine.drawn(1) == 4


def test_a_key_is_answered_by_the_next_look() -> None:
    machine = Machine(0.2)
    assert machine.drawn(2) == 1
    machine.pace.hurry()
    assert machine.drawn(0.25) == 1
