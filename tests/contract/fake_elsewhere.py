"""A machine in memory whose root is read where it lies: device-mapper, loops and the files of a room.

Files are real, in a folder of the test's. `blocks` is what the machine's own disk holds; what an overlay was
written is kept by its part of the room, and forgotten when the beginning of that is wiped.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.volumes.cow import CHUNK, SECTOR

ROOT = "/dev/vda2"
READS = (
    "losetup --list",
    "dmsetup status",
    "dmsetup info",
    "blockdev --getsz",
    "blockdev --getss",
    "findmnt",
)


@dataclass
class FakeElsewhere:
    """Host. `knows_fallocate`: whether the file system does; `sparse`: whether a longer file is one."""

    size: int = 64 << 20
    blocks: dict[int, int] = field(default_factory=lambda: {n: n + 1 for n in range(10)})
    devices: dict[str, str] = field(default_factory=dict)
    readonly: set[str] = field(default_factory=set)
    loops: dict[str, tuple[str, bool]] = field(default_factory=dict)
    parts: dict[str, dict[int, int]] = field(default_factory=dict)
    mounts: dict[str, str] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    knows_fallocate: bool = True
    sparse: bool = False
    full: bool = False

    def run(self, command: Command) -> Output:
        self.commands.append(command)
        program, *argv = command.argv
        reads = str(command).startswith(READS)
        assert reads or command.effect is Effect.WRITE, f"{command} writes and does not say so"
        try:
            return Output(0, getattr(self, f"_{program}")(argv, command) or "")
        except ValueError as error:
            raise CommandFailed(f"{command} ended with status 1: {error}") from None

    # A hand in its volumes.

    def write(self, over: str, block: int) -> None:
        """One block of the overlay `over`, as a twin would."""
        if over in self.readonly or over not in self.devices:
            raise OSError("read-only, or down")
        words = self.devices[over].split()
        self.parts.setdefault(words[4], {})[block] = 1000 + len(self.commands) + block

    def read(self, over: str) -> dict[int, int]:
        words = self.devices[over].split()
        below = self.blocks if words[3].startswith("/dev/loop") else {}
        return {**below, **self.parts.get(words[4], {})}

    # Programs.

    def _dmsetup(self, argv: list[str], command: Command) -> str:
        if argv[0] == "info":
            return "".join(f"{name}\n" for name in self.devices) or "No devices found\n"
        if argv[0] == "create":
            if argv[-1] in self.devices:
                raise ValueError("Device or resource busy")
            table = command.stdin.decode().strip()
            assert "--readonly" in argv or ROOT not in table, "the machine's disk would be open for writing"
            self.devices[argv[-1]] = table
            return ""
        if argv[0] == "remove":
            node = f"/dev/mapper/{argv[-1]}"
            if any(f"{node} " in f"{table} " for table in self.devices.values()):
                raise ValueError("Device or resource busy")
            if any(file == node for file, _ in self.loops.values()):
                raise ValueError("Device or resource busy")
            del self.devices[argv[-1]]
            self.readonly.discard(argv[-1])
            return ""
        return "".join(self._status()) or "No devices found\n"

    def _status(self) -> list[str]:
        lines = []
        for name, table in self.devices.items():
            words = table.split()
            if words[2] == "snapshot":
                length = int(self.devices[words[4].rpartition("/")[2]].split()[1])
                used = (2 + len(self.parts.get(words[4], {}))) * CHUNK // SECTOR
                told = f"{used}/{length} {2 * CHUNK // SECTOR}" if used <= length else "Invalid"
                lines.append(f"{name}: 0 {words[1]} snapshot {told}\n")
        return lines

    def _losetup(self, argv: list[str], _: Command) -> str:
        if argv[0] == "--list":
            # As the kernel says it; another process may play a device of that name just now.
            named = ((n, str(Path(f).resolve()), ro) for n, (f, ro) in self.loops.items())
            rows = [{"name": n, "back-file": f, "ro": ro} for n, f, ro in named]
            return json.dumps({"loopdevices": rows}) if rows else ""
        if argv[0] == "-d":
            if any(f"{argv[1]} " in table for table in self.devices.values()):
                raise ValueError("Device or resource busy")
            del self.loops[argv[1]]
            return ""
        name = next(f"/dev/loop{n}" for n in range(99) if f"/dev/loop{n}" not in self.loops)
        self.loops[name] = (argv[-1], "--read-only" in argv)
        return f"{name}\n"

    def _blockdev(self, argv: list[str], _: Command) -> str:
        name = argv[1].rpartition("/")[2]
        if argv[0] == "--setro":
            self.readonly.add(name)
        if argv[0] == "--setrw":
            self.readonly.discard(name)
        return {"--getsz": str(self.size // SECTOR), "--getss": "512"}.get(argv[0], "")

    def _fallocate(self, argv: list[str], _: Command) -> None:
        if not self.knows_fallocate:
            raise ValueError("fallocate failed: Operation not supported")
        if self.full:
            raise ValueError("fallocate failed: No space left on device")
        self._whole(Path(argv[2]), int(argv[1]))

    def _truncate(self, argv: list[str], _: Command) -> None:
        if self.sparse or self.full:
            Path(argv[2]).touch()
            os.truncate(argv[2], int(argv[1]))
        else:
            self._whole(Path(argv[2]), int(argv[1]))

    @staticmethod
    def _whole(file: Path, size: int) -> None:
        with file.open("wb") as out:
            os.posix_fallocate(out.fileno(), 0, size)

    def _dd(self, argv: list[str], _: Command) -> None:
        words = dict(word.split("=", 1) for word in argv)
        if words["of"].startswith("/dev/mapper/"):
            assert words["of"].rpartition("/")[2] in self.devices
            self.parts[words["of"]] = {}
            return
        if self.full:
            raise ValueError("error writing: No space left on device")
        self._whole(Path(words["of"]), int(words["count"]) << 20)

    def _mount(self, argv: list[str], _: Command) -> None:
        assert argv[-1] not in self.mounts
        self.mounts[argv[-1]] = argv[-2]

    def _umount(self, argv: list[str], _: Command) -> None:
        del self.mounts[argv[-1]]

    def _findmnt(self, argv: list[str], _: Command) -> str:
        return self.mounts.get(argv[-1], "")
