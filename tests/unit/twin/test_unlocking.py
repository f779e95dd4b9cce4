"""Typing the passphrase on a serial line: only where it is asked for, once a start, to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from tests.contract.asking import ASKS, OPENED, Bench

SYSTEMD = "[    3.1] x\r\n\x1b[0;1;39m🔐 Please enter passphrase for disk QEMU_HARDDISK (vda4_crypt):\x1b[0m "
AGAIN = "\r\ncryptsetup: ERROR: vda4_crypt: cryptsetup failed, bad password or options?\r\n" + ASKS


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "console.log")


@pytest.mark.parametrize("asks", [ASKS, SYSTEMD])
def test_it_answers_where_it_is_asked_at_the_second_look(bench: Bench, asks: str) -> None:
    unlocking = bench.unlocking()
    unlocking.look()
    bench.says(asks)
    unlocking.look()
    assert bench.typed.data == [], "the question may stand there before the echo is off"
    for _ in range(5):
        unlocking.look()
    assert (bench.typed.data, bench.typed.closed) == ([b"    \n"], 0)
    bench.says(OPENED)
    unlocking.look()
    assert (bench.typed.data, bench.typed.closed) == ([b"    \n"], 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ledger login: ",
        "Please unlock disk",
        ASKS + OPENED,
        "Please unlock disk vda4_crypt: (no longer)\r\nledger login: ",
        "# echo Please unlock the disk: ",
    ],
)
def test_it_types_nowhere_else(bench: Bench, text: str) -> None:
    unlocking = bench.unlocking()
    bench.says(text)
    for _ in range(3):
        unlocking.look()
    assert bench.typed.data == []


def test_asked_again_it_gives_up_and_does_not_type_it_twice(bench: Bench) -> None:
    unlocking = bench.unlocking()
    bench.says(ASKS)
    unlocking.look()
    unlocking.look()
    bench.says(AGAIN)
    unlocking.look()
    with pytest.raises(TwinFailed, match="does not open, though"):
        unlocking.look()
    assert bench.typed.data == [b"    \n"]


def test_each_start_is_answered_once_and_an_earlier_question_is_none(bench: Bench) -> None:
    unlocking = bench.unlocking()
    bench.says(ASKS)
    unlocking.look()
    unlocking.look()
    unlocking.begin()
    assert bench.typed.closed == 1
    for _ in range(3):
        unlocking.look()
    assert len(bench.typed.data) == 1, "what stands in the log from before is no question"
    bench.says(ASKS)
    unlocking.look()
    unlocking.look()
    assert len(bench.typed.data) == 2
