"""Twins that ask for a passphrase: on the serial line, and on a screen that nobody can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import TwinFailed
from appliance.twin.hypervisor import BlockStats, Load
from appliance.twin.unlocking import OnTheLine
from appliance.twin.unlocking_screen import OnTheScreen

ASKS = "\x1b[2J\r\nLoading initial ramdisk ...\r\nPlease unlock disk vda4_crypt: "
OPENED = "\r\ncryptsetup: vda4_crypt: set up successfully\r\n"


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
