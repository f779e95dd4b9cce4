"""Typing the passphrase by the keyboard: only to a twin that does nothing, a few times a start."""

from __future__ import annotations

import pytest

from appliance.twin.unlocking_screen import LET_IN, MOST, OnTheScreen
from tests.contract.asking import Guest


@pytest.fixture
def guest() -> Guest:
    return Guest()


def on_screen(guest: Guest) -> OnTheScreen:
    made = OnTheScreen("twin", guest, lambda: guest.now)
    made.begin()
    return made


def test_on_the_screen_it_answers_once_the_twin_does_nothing(guest: Guest) -> None:
    unlocking = on_screen(guest)
    guest.goes_on(unlocking, 30, cpu=1.0)  # GRUB's menu
    guest.goes_on(unlocking, 20, cpu=0.9, read=1 << 20)
    assert guest.answers == 0
    guest.goes_on(unlocking, 5, cpu=0.1)
    assert guest.answers == 1
    guest.goes_on(unlocking, 2, cpu=1.0)
    guest.goes_on(unlocking, 30, cpu=0.3, read=1 << 20)
    guest.goes_on(unlocking, 300, cpu=0.0)
    assert guest.answers == 1, "it was let in: what waits now is something else"


@pytest.mark.parametrize(
    ("cpu", "read"), [(0.3, 0), (0.0, 4096), (1.0, 0)], ids=["computes", "reads", "waits as GRUB does"]
)
def test_a_twin_at_work_is_told_nothing(guest: Guest, cpu: float, read: int) -> None:
    unlocking = on_screen(guest)
    guest.read = 1
    guest.goes_on(unlocking, 100, cpu=cpu, read=read)
    assert guest.answers == 0


def test_before_its_disk_is_read_it_is_told_nothing(guest: Guest) -> None:
    """Firmware that waits is no initrd."""
    guest.goes_on(on_screen(guest), 100)
    assert guest.answers == 0


def test_asked_again_it_answers_again_but_not_for_ever(guest: Guest) -> None:
    unlocking = on_screen(guest)
    guest.read = 1 << 20
    guest.goes_on(unlocking, 6)
    assert guest.answers == 1
    guest.goes_on(unlocking, 3, cpu=1.0, read=LET_IN // 8)
    guest.goes_on(unlocking, 100)
    assert guest.answers == MOST
    unlocking.begin()
    guest.goes_on(unlocking, 6)
    assert guest.answers == MOST + 1, "the next start asks anew"


def test_one_that_stands_still_is_told_nothing(guest: Guest) -> None:
    """Paused, its clock stands."""
    unlocking = on_screen(guest)
    guest.read = 1
    for _ in range(100):
        unlocking.look()
    assert guest.answers == 0


def test_one_that_is_going_off_is_left_alone(guest: Guest) -> None:
    unlocking = on_screen(guest)
    guest.read, guest.gone = 1, True
    guest.goes_on(unlocking, 100)
    assert guest.answers == 0
    unlocking.end()
