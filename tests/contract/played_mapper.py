"""device-mapper played with loop devices and copies, for a kernel that has none; everything else is real.

A linear device is a loop over a part of another, a snapshot a sparse copy of what lies below it. What was
written stays with the device that is its store, until the beginning of that is wiped.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Host, Output, RealHost

SECTOR = 512
MOST = 1 << 42
"""Bytes of a file that may stand for a larger device."""


@dataclass
class PlayedMapper:
    """Host. `folder` holds the copies; `devices` are tables by name."""

    folder: Path
    inner: Host = field(default_factory=RealHost)
    devices: dict[str, str] = field(default_factory=dict)
    loops: dict[str, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def run(self, command: Command) -> Output:
        program, *argv = command.argv
        if program == "dmsetup":
            try:
                return Output(0, getattr(self, f"_{argv[0]}")(argv[1:], command))
            except (OSError, subprocess.CalledProcessError) as error:
                raise CommandFailed(f"{command} ended with status 1: {error}") from None
        if program == "dd":
            stores = [word for word in argv if word.startswith("of=/dev/mapper/")]
            for store in stores:
                self._copy(store.removeprefix("of=")).unlink(missing_ok=True)
        return self.inner.run(command)

    def close(self) -> None:
        """As a power cut leaves it: no device is up."""
        for name in list(self.devices)[::-1]:
            self._drop(name)

    def _info(self, *_: object) -> str:
        return "".join(f"{name}\n" for name in self.devices) or "No devices found\n"

    def _status(self, *_: object) -> str:
        lines = []
        for name, table in self.devices.items():
            words = table.split()
            if words[2] == "snapshot":
                file = self._copy(words[4])
                size = int(self.devices[Path(words[4]).name].split()[1])
                used = 16 + max(0, file.stat().st_blocks - self.first[words[4]])
                told = f"{used}/{size} 16" if used <= size else "Invalid"
                lines.append(f"{name}: 0 {words[1]} snapshot {told}\n")
        return "".join(lines) or "No devices found\n"

    def _table(self, *_: object) -> str:
        """As the kernel says it: loops by their numbers."""
        lines = (f"{name}: {table.replace('/dev/loop', '7:')}\n" for name, table in self.devices.items())
        return "".join(lines) or "No devices found\n"

    def _create(self, argv: list[str], command: Command) -> str:
        name, table = argv[-1], command.stdin.decode().strip()
        _, length, kind, *words = table.split()
        if name in self.devices:
            raise OSError("Device or resource busy")
        if kind == "linear":
            device, at = words
            size = str(int(length) * SECTOR)
            part = ("--offset", str(int(at) * SECTOR), "--sizelimit", size)
            self.loops[name] = _said("losetup", "--find", "--show", *part, device)
        elif kind == "snapshot":
            self.loops[name] = _said("losetup", "--find", "--show", str(self._filled(words, int(length))))
        if name in self.loops:
            node = Path("/dev/mapper") / name
            node.unlink(missing_ok=True)
            node.symlink_to(self.loops[name])
        self.devices[name] = table
        return ""

    def _filled(self, words: list[str], length: int) -> Path:
        below, store = words[0], words[1]
        file = self._copy(store)
        if not file.exists():
            if Path(below).exists():
                _said("cp", "--sparse=always", below, str(file))
            else:
                with file.open("wb") as out:
                    out.truncate(min(length * SECTOR, MOST))
            self.first[store] = file.stat().st_blocks
        return file

    def _remove(self, argv: list[str], _: Command) -> str:
        name = argv[-1]
        node = f"/dev/mapper/{name}"
        loop = self.loops.get(name, "")
        over = _said("losetup", "--list", "--noheadings", "-O", "BACK-FILE").splitlines()
        if loop and loop in {line.strip() for line in over}:
            raise OSError("Device or resource busy")
        if any(f"{node} " in f"{table} " for table in self.devices.values()):
            raise OSError("Device or resource busy")
        self._drop(name)
        return ""

    def _drop(self, name: str) -> None:
        del self.devices[name]
        if name in self.loops:
            loop = self.loops.pop(name)
            # A loop that was made read-only stays so for whoever gets it next.
            subprocess.run(("blockdev", "--setrw", loop), check=True)
            subprocess.run(("losetup", "-d", loop), check=True)
            (Path("/dev/mapper") / name).unlink()

    def _copy(self, store: str) -> Path:
        return self.folder / f"played-{os.path.basename(store)}"


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300).stdout.strip()
