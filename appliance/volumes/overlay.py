"""Throw-away writable devices: copy-on-write over another device, with a plain linear volume as the store.

On the disk there is only the linear volume, which disturbs nobody who finds it. What makes it an overlay is
in the kernel alone, so a power cut leaves nothing to repair (dmsetup(8), snapshot.rst).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from appliance.host import mapper
from appliance.host.mapper import LIMIT
from appliance.host.run import Host, read, write
from appliance.volumes.cow import CHUNK, SECTOR

EMPTY = 1 << 50
"""Bytes an overlay over nothing shows: more than any twin asks for. Only what is written takes room."""

SUFFIX = "-over"


@dataclass(frozen=True, slots=True)
class Overlay:
    """The overlay whose store is the active volume at `store`; over nothing (zeros) where `below` is empty.

    `store` and `below` are device paths. The store's first chunk is zeros when it is used for the first time.
    """

    host: Host
    store: str
    below: str = ""

    @property
    def device(self) -> str:
        return f"{self.store}{SUFFIX}"

    def up(self) -> str:
        """Make it and return its path; what is left of an attempt that was cut short is used."""
        names = mapper.names(self.host)
        if mapper.name_of(self.device) in names:
            return self.device
        if self.below:
            below, size = self._window(), int(self._ask("--getsz", self.below))
        else:
            below, size = self._zeros, EMPTY // SECTOR
            if mapper.name_of(self._zeros) not in names:
                mapper.create(self.host, mapper.name_of(self._zeros), (f"0 {size} zero",))
        table = f"0 {size} snapshot {below} {self.store} P {CHUNK // SECTOR}"
        return mapper.create(self.host, mapper.name_of(self.device), (table,))

    def down(self) -> None:
        """Take it down; nothing happens where it is down. CommandFailed where it is in use."""
        names = mapper.names(self.host)
        for path in (self.device, self._zeros):
            if mapper.name_of(path) in names:
                mapper.remove(self.host, mapper.name_of(path))
        for loop in windows(self.host, self.below) if self.below else ():
            self.host.run(write("losetup", "-d", loop, timeout=LIMIT))

    @property
    def _zeros(self) -> str:
        return f"{self.store}-zeros"

    def _window(self) -> str:
        """A read-only loop over what lies below: device-mapper would claim it, and nobody could mount it."""
        for loop in windows(self.host, self.below):
            return loop
        block = self._ask("--getss", self.below)
        self.host.run(write("blockdev", "--flushbufs", self.below, timeout=LIMIT))
        made = self.host.run(
            write("losetup", "--find", "--show", "--read-only", "--direct-io=on", "--sector-size", block,
                  self.below, timeout=LIMIT)
        )  # fmt: skip
        return made.stdout.strip()

    def _ask(self, what: str, device: str) -> str:
        return self.host.run(read("blockdev", what, device, timeout=LIMIT)).stdout.strip()


def windows(host: Host, below: str, *, readonly: bool = True) -> tuple[str, ...]:
    """The loops over the device `below`: the read-only ones that overlays look through, or the others."""
    listed = host.run(read("losetup", "--list", "--json", "-O", "NAME,BACK-FILE,RO", timeout=LIMIT))
    loops = json.loads(listed.stdout or "{}").get("loopdevices", [])
    # The kernel names the device itself, not the link to it in /dev/mapper.
    real = str(Path(below).resolve())
    return tuple(loop["name"] for loop in loops if loop["ro"] is readonly and loop["back-file"] == real)
