"""Throw-away writable devices: copy-on-write over another device, with a plain linear volume as the store.

On the disk there is only the linear volume, which disturbs nobody who finds it. What makes it an overlay is
in the kernel alone, so a power cut leaves nothing to repair (dmsetup(8), snapshot.rst).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from appliance.host.run import Command, Effect, Host, read, write
from appliance.volumes.cow import CHUNK, SECTOR

LIMIT = 120.0
"""Seconds for any one device-mapper or loop command; emulated machines take up to ten."""

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
        names = self._names()
        if self._name(self.device) in names:
            return self.device
        if self.below:
            below, size = self._window(), int(self._ask("--getsz", self.below))
        else:
            below, size = self._zeros, EMPTY // SECTOR
            if self._name(self._zeros) not in names:
                self._create(self._zeros, f"0 {size} zero")
        self._create(self.device, f"0 {size} snapshot {below} {self.store} P {CHUNK // SECTOR}")
        return self.device

    def down(self) -> None:
        """Take it down; nothing happens where it is down. CommandFailed where it is in use."""
        names = self._names()
        for path in (self.device, self._zeros):
            if self._name(path) in names:
                # --retry: udev may be looking at the device just then.
                self.host.run(write("dmsetup", "remove", "--retry", self._name(path), timeout=LIMIT))
        for loop in self._windows() if self.below else ():
            self.host.run(write("losetup", "-d", loop, timeout=LIMIT))

    @property
    def _zeros(self) -> str:
        return f"{self.store}-zeros"

    def _window(self) -> str:
        """A read-only loop over what lies below: device-mapper would claim it, and nobody could mount it."""
        for loop in self._windows():
            return loop
        block = self._ask("--getss", self.below)
        self.host.run(write("blockdev", "--flushbufs", self.below, timeout=LIMIT))
        made = self.host.run(
            write("losetup", "--find", "--show", "--read-only", "--direct-io=on", "--sector-size", block,
                  self.below, timeout=LIMIT)
        )  # fmt: skip
        return made.stdout.strip()

    def _windows(self) -> tuple[str, ...]:
        listed = self.host.run(read("losetup", "--list", "--json", "-O", "NAME,BACK-FILE,RO", timeout=LIMIT))
        loops = json.loads(listed.stdout or "{}").get("loopdevices", [])
        # The kernel names the device itself, not the link to it in /dev/mapper.
        real = str(Path(self.below).resolve())
        return tuple(loop["name"] for loop in loops if loop["ro"] and loop["back-file"] == real)

    def _ask(self, what: str, device: str) -> str:
        return self.host.run(read("blockdev", what, device, timeout=LIMIT)).stdout.strip()

    def _create(self, path: str, line: str) -> None:
        argv = ("dmsetup", "create", self._name(path))
        self.host.run(Command(argv, Effect.WRITE, timeout=LIMIT, stdin=f"{line}\n".encode()))

    def _names(self) -> set[str]:
        listed = self.host.run(read("dmsetup", "info", "-c", "--noheadings", "-o", "name", timeout=LIMIT))
        return {line.strip() for line in listed.stdout.splitlines()}

    @staticmethod
    def _name(path: str) -> str:
        return path.rpartition("/")[2]
