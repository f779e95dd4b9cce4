"""Typing the passphrase: only where it is asked for, once a start, and never to anybody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.host.passphrases import Passphrases
from appliance.twin.segments import LuksPlace
from appliance.twin.unlocking import Unlocking

UUID = "7c41d0e9-3b58-4f26-8e1d-a95f02c6b738"
PLACE = LuksPlace(UUID, "/dev/vda4", 0, 2048, 32768)
ASKS = "\x1b[2J\r\nLoading initial ramdisk ...\r\nPlease unlock disk vda4_crypt: "
SYSTEMD = "[    3.1] x\r\n\x1b[0;1;39m🔐 Please enter passphrase for disk QEMU_HARDDISK (vda4_crypt):\x1b[0m "
LET_IN = "\r\ncryptsetup: vda4_crypt: set up successfully\r\n"
AGAIN = "\r\ncryptsetup: ERROR: vda4_crypt: cryptsetup failed, bad password or options?\r\n" + ASKS


@dataclass
class Typed:
    """Lines that were opened, and what was typed on them."""

    data: list[bytes] = field(default_factory=list)
    closed: int = 0

    def send(self, data: bytes) -> None:
        self.data.append(data)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Bench:
    log: Path
    typed: Typed = field(default_factory=Typed)
    passphrases: Passphrases = field(default_factory=Passphrases)

    def unlocking(self, *places: LuksPlace) -> Unlocking:
        made = Unlocking(self.log, places, self.passphrases, lambda: self.typed)
        made.begin()
        return made

    def says(self, text: str) -> None:
        with self.log.open("ab") as log:
            log.write(text.encode())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "console.log")
    made.passphrases.keep(UUID, b"correct horse")
    return made


@pytest.mark.parametrize("asks", [ASKS, SYSTEMD])
def test_it_answers_where_it_is_asked_at_the_second_look(bench: Bench, asks: str) -> None:
    unlocking = bench.unlocking(PLACE)
    unlocking.look()
    bench.says(asks)
    unlocking.look()
    assert bench.typed.data == [], "the question may stand there before the echo is off"
    for _ in range(5):
        unlocking.look()
    assert (bench.typed.data, bench.typed.closed) == ([b"correct horse\n"], 0)
    bench.says(LET_IN)
    unlocking.look()
    assert (bench.typed.data, bench.typed.closed) == ([b"correct horse\n"], 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ledger login: ",
        "Please unlock disk",
        ASKS + LET_IN,
        "Please unlock disk vda4_crypt: (no longer)\r\nledger login: ",
        "# echo Please unlock the disk: ",
    ],
)
def test_it_types_nowhere_else(bench: Bench, text: str) -> None:
    unlocking = bench.unlocking(PLACE)
    bench.says(text)
    for _ in range(3):
        unlocking.look()
    assert bench.typed.data == []


def test_a_disk_that_is_not_encrypted_is_never_told_anything(bench: Bench) -> None:
    unlocking = bench.unlocking()
    bench.says(ASKS)
    for _ in range(3):
        unlocking.look()
    assert bench.typed.data == []


def test_asked_again_it_gives_up_and_does_not_type_it_twice(bench: Bench) -> None:
    unlocking = bench.unlocking(PLACE)
    bench.says(ASKS)
    unlocking.look()
    unlocking.look()
    bench.says(AGAIN)
    unlocking.look()
    with pytest.raises(TwinFailed, match="does not open its twin's"):
        unlocking.look()
    assert bench.typed.data == [b"correct horse\n"]


def test_each_start_is_answered_once_and_an_earlier_question_is_none(bench: Bench) -> None:
    unlocking = bench.unlocking(PLACE)
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


def test_a_passphrase_nobody_has_said_is_an_error_with_a_way_on(bench: Bench) -> None:
    bench.passphrases.forget(UUID)
    unlocking = bench.unlocking(PLACE)
    bench.says(ASKS)
    unlocking.look()
    with pytest.raises(TwinFailed, match="nobody has said") as failed:
        unlocking.look()
    assert "twinboot unlock" in failed.value.next_actions[0]
    assert bench.typed.data == []
