"""A console started by the process that has all loaded: the terminal is its own, and none is left alone."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tui import prefork

LIMIT = 20.0
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a terminal is taken from another session by root only")


def client(name: str, mode: str) -> None:
    """Says what it was given, then what reaches it; `exit N` and `fail` end it."""

    def resized(*_: object) -> None:
        print("size", *os.get_terminal_size(0), flush=True)

    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # not pytest's
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
    signal.signal(signal.SIGWINCH, resized)
    print("here", os.getpid(), name, mode, os.environ["WORD"], os.getcwd(), os.ttyname(0), flush=True)
    while True:
        word, *rest = os.read(0, 100).decode().split()
        if word == "fail":
            raise ValueError("as it was told to")
        sys.exit(int(rest[0]))


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Path]:
    """A socket that is served."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        context = multiprocessing.get_context("fork")
        serving = context.Process(target=prefork.serve, args=(listening, client))
        serving.start()
        try:
            yield path
        finally:
            serving.kill()
            serving.join()


@dataclass
class Seat:
    """A terminal with the asker on it."""

    asker: int
    master: int
    said: str = ""

    def sees(self, word: str) -> str:
        """Wait for a line that begins with `word`; the rest of it."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            for line in self.said.splitlines(keepends=True):
                if line.startswith(word) and line.endswith("\n"):
                    return line.removeprefix(word).strip()
            if select.select([self.master], [], [], 0.1)[0]:
                self.said += os.read(self.master, 4096).decode()
        raise AssertionError(self.said)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            done, status = os.waitpid(self.asker, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError(f"the asker has not ended: {self.said}")


def seat(at: Path, folder: Path) -> Seat:
    asker, master = pty.fork()
    if not asker:
        os.environ["WORD"] = "mine"
        os.chdir(folder)
        status = prefork.ask("ttyS9", "basic", at)
        os._exit(99 if status is None else status)
    return Seat(asker, master)


def gone(process: int) -> bool:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, 0)
            time.sleep(0.02)
            continue
        return True
    return False


def test_nobody_answers_where_nobody_listens(tmp_path: Path) -> None:
    assert prefork.ask("ttyS9", "basic", tmp_path / "nowhere") is None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    assert prefork.ask("ttyS9", "basic", tmp_path / "left") is None


def test_one_that_ends_before_it_has_started_a_client_is_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        there = seat(tmp_path / "socket", tmp_path)
        listening.accept()[0].close()
        assert there.ended() == 99


def test_a_client_has_the_askers_terminal_environment_and_folder(at: Path, tmp_path: Path) -> None:
    there = seat(at, tmp_path)
    process, *told, terminal = there.sees("here").split()
    assert told == ["ttyS9", "basic", "mine", str(tmp_path)]
    assert {os.readlink(f"/proc/{process}/fd/{number}") for number in range(3)} == {terminal}
    there.type("exit 7\n")
    assert there.ended() == 7
    assert gone(int(process))


def test_two_terminals_have_a_client_each(at: Path, tmp_path: Path) -> None:
    first, second = seat(at, tmp_path), seat(at, tmp_path)
    assert first.sees("here").split()[0] != second.sees("here").split()[0]
    first.type("exit 3\n")
    assert first.ended() == 3
    second.type("exit 4\n")
    assert second.ended() == 4


def test_an_error_is_shown_on_the_terminal_and_is_status_1(at: Path, tmp_path: Path) -> None:
    there = seat(at, tmp_path)
    there.sees("here")
    there.type("fail\n")
    assert there.ended() == 1
    assert there.sees("ValueError:") == "as it was told to"


def test_a_client_does_not_outlive_its_asker(at: Path, tmp_path: Path) -> None:
    there = seat(at, tmp_path)
    process = int(there.sees("here").split()[0])
    os.kill(there.asker, signal.SIGKILL)
    os.waitpid(there.asker, 0)
    assert gone(process)


def test_an_asker_whose_client_is_killed_says_hung_up(at: Path, tmp_path: Path) -> None:
    there = seat(at, tmp_path)
    os.kill(int(there.sees("here").split()[0]), signal.SIGKILL)
    assert there.ended() == prefork.HUNG_UP


@pytest.mark.root
@ROOT
def test_keys_a_new_size_and_a_hang_up_reach_the_client(at: Path, tmp_path: Path) -> None:
    there = seat(at, tmp_path)
    process = int(there.sees("here").split()[0])
    there.type("\x03")
    assert there.sees("^Cinterrupted") == ""
    fcntl.ioctl(there.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    assert there.sees("size") == "111 33"
    os.close(there.master)
    assert gone(process)
    assert there.ended() == prefork.HUNG_UP
