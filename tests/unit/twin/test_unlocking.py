"""Typing the passphrase: only where it is asked for, once a start, and never to anybody else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.errors import TwinFailed
from appliance.twin.hypervisor import BlockStats, Load
from appliance.twin.unlocking import LET_IN, MOST, NothingAsked, OnTheLine, OnTheScreen

ASKS = "\x1b[2J\r\nLoading initial ramdisk ...\r\nPlease unlock disk vda4_crypt: "
SYSTEMD = "[    3.1] x\r\n\x1b[0;1;39m🔐 Please enter passphrase for disk QEMU_HARDDISK (vda4_crypt):\x1b[0m "
OPENED = "\r\ncryptsetup: vda4_crypt: set up successfully\r\n"
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

    def unlocking(self) -> OnTheLine:
        made = OnTheLine(self.log, lambda: self.typed)
        made.begin()
        return made

    def says(self, text: str) -> None:
        with self.log.open("ab") as log:
            log.write(text.encode())


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


@dataclass
class Guest:
    """A twin as its hypervisor sees it, by a clock of its own. `gone`: it is off, and gives no figures."""

    now: float = 0.0
    cpu: float = 0.0
    read: int = 0
    gone: bool = False
    pressed: list[int] = field(default_factory=list)

    def load(self, name: str) -> Load:
        if self.gone:
            raise TwinFailed("not running")
        return Load(cpu=self.cpu, cpus=1, memory=0, most=0)

    def block_stats(self, name: str) -> BlockStats:
        return BlockStats(read=self.read, written=0)

    def press(self, name: str, key: int) -> None:
        self.pressed.append(key)

    def goes_on(self, unlocking: OnTheScreen, seconds: int, cpu: float = 0.0, read: int = 0) -> None:
        """For so long, with so much of a processor used and so many bytes read each second."""
        for _ in range(seconds):
            self.now, self.cpu, self.read = self.now + 1, self.cpu + cpu, self.read + read
            unlocking.look()

    @property
    def answers(self) -> int:
        assert self.pressed == [57, 57, 57, 57, 28] * (len(self.pressed) // 5), "whole answers alone"
        return len(self.pressed) // 5


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


def test_a_disk_that_is_not_encrypted_is_never_told_anything() -> None:
    nothing = NothingAsked()
    nothing.begin()
    nothing.look()
    nothing.end()
