"""A twin that stands still: no limit counts, nobody asks it anything, and cancel still works."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import Cancelled, Refused, TwinFailed
from appliance.twin.guest import Guest
from appliance.twin.pausing import PausableChannel, Pausing
from tests.unit.twin.fake_guest import Clock, FakeAgent
from tests.unit.twin.test_twin import Desk, FakeHypervisor, _twin


def pausing(clock: Clock, cancelled: bool = False) -> Pausing:
    return Pausing(lambda: cancelled, clock.read)


def test_time_that_is_paused_does_not_count() -> None:
    clock = Clock()
    still = pausing(clock)
    clock.sleep(10)
    still.pause(lambda: None)
    clock.sleep(3600)
    assert (still.clock(), still.paused) == (10, True)
    assert still.resume(lambda: None) == 3600
    clock.sleep(5)
    assert (still.clock(), still.paused) == (15, False)


def test_a_limit_of_the_guest_does_not_run_out_over_a_pause() -> None:
    """A program of 4 polls with a limit of 60 s: an hour's pause comes in between."""
    clock = Clock()
    still, agent = pausing(clock), FakeAgent(polls=4)
    done = 0

    def sleep(seconds: float) -> None:
        nonlocal done
        done += 1
        clock.sleep(seconds)
        if done == 2:
            still.pause(lambda: None)
            clock.sleep(3600)
            still.resume(lambda: None)

    guest = Guest(PausableChannel(agent, still), sleep=sleep, clock=still.clock)
    assert guest.exec(("true",), timeout=60).status == 0


def test_a_pause_waits_for_the_answer_under_way_and_nobody_asks_meanwhile() -> None:
    still = Pausing(lambda: False)
    asked, answer, said = threading.Event(), threading.Event(), []

    class Slow:
        def call(self, command: str, arguments: Any, timeout: float) -> Any:
            asked.set()
            answer.wait(10)
            said.append(command)

    channel = PausableChannel(Slow(), still)  # type: ignore[arg-type]
    first = threading.Thread(target=channel.call, args=("first", {}, 5))
    first.start()
    asked.wait(10)
    pause = threading.Thread(target=still.pause, args=(lambda: said.append("suspended"),))
    pause.start()
    second = threading.Thread(target=channel.call, args=("second", {}, 5))
    second.start()
    assert not still.paused
    answer.set()
    pause.join(10)
    first.join(10)
    assert still.paused and said[:2] == ["first", "suspended"]
    still.resume(lambda: said.append("resumed"))
    second.join(10)
    assert said == ["first", "suspended", "resumed", "second"] or said == [
        "first",
        "second",
        "suspended",
        "resumed",
    ]


def test_what_can_not_be_paused_is_refused() -> None:
    still = pausing(Clock())
    with pytest.raises(Refused, match="not paused"):
        still.resume(lambda: None)
    with still.undisturbed("It is being sealed."), pytest.raises(Refused, match="It is being sealed"):
        still.pause(lambda: None)
    with still.call(), pytest.raises(Refused, match="answering a question"):
        still.pause(lambda: None, patience=0.01)
    still.pause(lambda: None)
    with pytest.raises(Refused, match="paused already"):
        still.pause(lambda: None)


def test_a_suspend_that_fails_leaves_it_running() -> None:
    still = pausing(Clock())

    def fails() -> None:
        raise TwinFailed("The twin can not be paused: no.")

    with pytest.raises(TwinFailed):
        still.pause(fails)
    assert not still.paused
    with still.call():
        pass
    still.pause(lambda: None)
    with pytest.raises(TwinFailed):
        still.resume(fails)
    assert still.paused


def test_cancel_reaches_who_waits_for_a_paused_twin() -> None:
    still = pausing(Clock(), cancelled=True)
    still.pause(lambda: None)
    with pytest.raises(Cancelled), still.call():
        pass


def test_a_twin_pauses_its_domain_and_teardown_ends_it(tmp_path: Path, monkeypatch: Any) -> None:
    hypervisor = FakeHypervisor(FakeAgent())
    hypervisor.pause = lambda name: hypervisor.did.append("pause")  # type: ignore[attr-defined]
    hypervisor.resume = lambda name: hypervisor.did.append("resume")  # type: ignore[attr-defined]
    twin = _twin(Desk(), hypervisor, tmp_path, monkeypatch)
    twin.devices.build()
    twin.start()
    twin.pause()
    before = twin.clock()
    assert twin.clock() == before
    twin.resume()
    twin.pause()
    assert hypervisor.did[2:] == ["pause", "resume", "pause"]
    with pytest.raises(Refused, match="frozen"):
        twin.resume()
        twin.while_frozen(twin.pause)
    twin.pause()
    twin.teardown()
    assert not twin.pausing.paused
