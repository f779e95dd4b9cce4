"""One holder at a time, and the kernel lets go when it dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from appliance.errors import Busy
from appliance.host.lock import locked


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    lock = tmp_path / "run/lock"
    with locked(lock, "The rehearsal tb1"):
        started = time.monotonic()
        with pytest.raises(Busy, match="The rehearsal tb1"), locked(lock, "Another"):
            pass
        assert time.monotonic() - started < 1.0
    with locked(lock, "Another"):
        assert lock.read_text() == "Another"
    assert lock.read_text() == ""


def test_waiting_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    lock, held = tmp_path / "lock", threading.Event()
    order: list[str] = []

    def hold() -> None:
        with locked(lock, "first"):
            held.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(5)
    with locked(lock, "second", wait=20):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "a"):
        _ = 1 / 0
    with locked(tmp_path / "lock", "b"):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(lock, "child"):
            os.write(told, b"x")
            time.sleep(60)
        os._exit(0)
    assert os.read(ready, 1) == b"x"
    with pytest.raises(Busy, match="child"), locked(lock, "parent"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with locked(lock, "parent"):
        assert lock.read_text() == "parent"
