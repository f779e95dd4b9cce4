"""A part of a disk that no partition takes, as a device: for copies of ours, and as the room twins write to.

It is a loop over the disk, since device-mapper would claim all of it, and below that partitions are in use.
What makes it a device is in the kernel alone, and is gone with the power.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.host import mapper
from appliance.host.mapper import LIMIT
from appliance.host.run import Host, read, write
from appliance.host.udev import settle
from appliance.volumes.cow import SECTOR


@dataclass(frozen=True, slots=True)
class DiskPart:
    """`size` bytes of `disk` from `start` on, as the device-mapper device `name`. Both verbs may be called
    twice. `sector` is the disk's own."""

    host: Host
    name: str
    disk: str
    start: int
    size: int
    sector: int = SECTOR

    @property
    def device(self) -> str:
        return mapper.node(self.name)

    def is_up(self) -> bool:
        return self.name in mapper.names(self.host)

    def up(self) -> str:
        if self.is_up():
            return self.device
        loop = next(iter(self._loops()), "") or self._loop()
        return mapper.create(self.host, self.name, (f"0 {self.size // SECTOR} linear {loop} 0",))

    def down(self) -> None:
        """CommandFailed where it is in use."""
        if self.is_up():
            mapper.remove(self.host, self.name)
        for loop in self._loops():
            self.host.run(write("losetup", "-d", loop, timeout=LIMIT))
            settle(self.host)

    def _loop(self) -> str:
        part = ("--offset", str(self.start), "--sizelimit", str(self.size))
        words = ("--find", "--show", "--direct-io=on", "--sector-size", str(self.sector), *part, self.disk)
        return self.host.run(write("losetup", *words, timeout=LIMIT)).stdout.strip()

    def _loops(self) -> tuple[str, ...]:
        columns = "NAME,BACK-FILE,OFFSET,SIZELIMIT,RO"
        listed = self.host.run(read("losetup", "--list", "--json", "-O", columns, timeout=LIMIT))
        rows = json.loads(listed.stdout or "{}").get("loopdevices", [])
        wanted = (str(Path(self.disk).resolve()), self.start, self.size)
        return tuple(
            row["name"]
            for row in rows
            if not row["ro"] and (row["back-file"], int(row["offset"]), int(row["sizelimit"])) == wanted
        )


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Room for the copies of one run (elsewhere.Room) in such a part. `folder` is in the appliance's memory:
    it is gone with the power, as the devices are."""

    part: DiskPart
    folder: Path

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def size(self) -> int:
        return self.part.size

    @property
    def called(self) -> str:
        return f"the free part of {self.part.disk}"

    def make(self, tell: Callable[[int, int], None]) -> None:
        """Nothing is written: the first chunk of each copy is, when it is made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tell(self.size, self.size)

    def made(self) -> bool:
        return self.folder.is_dir()

    def up(self) -> str:
        return self.part.up()

    def down(self) -> None:
        self.part.down()

    def remove(self) -> None:
        self.part.down()
        shutil.rmtree(self.folder, ignore_errors=True)
