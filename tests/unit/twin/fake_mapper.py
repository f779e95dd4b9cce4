"""A machine's device-mapper, loops and LVM in memory: what is in use can not be removed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output

CHANGING = {"losetup", "dmsetup", "dd", "pvcreate", "vgcfgrestore", "mkswap", "cryptsetup"}


@dataclass
class FakeMapper:
    """A Host. `fail_at` is the number of the writing command that fails; `busy` can not be removed.
    `header` is what cryptsetup makes."""

    tables: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)
    loops: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    written: list[tuple[str, int, bytes]] = field(default_factory=list)
    restored: dict[str, str] = field(default_factory=dict)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    fail_at: int = -1
    busy: set[str] = field(default_factory=set)
    writes: int = 0
    header: bytes = b""

    def run(self, command: Command) -> Output:
        self.commands.append(command.argv)
        if command.effect is Effect.WRITE:
            self.writes += 1
            if self.writes - 1 == self.fail_at:
                raise CommandFailed(f"{command} ended with status 1: the power was cut")
        program, *argv = command.argv
        handler = getattr(self, f"_{program.replace('-', '_')}")
        return Output(0, handler(argv, command) or "")

    def _dmsetup(self, argv: list[str], command: Command) -> str:
        if argv[0] == "info":
            return "".join(f"{name}\n" for name in self.tables) or "No devices found\n"
        name = argv[-1]
        if argv[0] == "create":
            name = argv[1]
            if name in self.tables:
                raise CommandFailed(f"{name} exists")
            self.tables[name] = self._table(command.stdin.decode())
            return ""
        assert argv[0] == "remove"
        users = [
            other
            for other, lines in self.tables.items()
            if any(self._uses(line, name) for _, _, line in lines)
        ]
        if name not in self.tables or users or name in self.busy:
            raise CommandFailed(f"{name} can not be removed: used by {users}")
        del self.tables[name]
        return ""

    @staticmethod
    def _uses(line: str, name: str) -> bool:
        return f"/dev/mapper/{name}" in line.split()

    def _table(self, text: str) -> list[tuple[int, int, str]]:
        """As the kernel checks it: lines in order without a gap, every device there."""
        lines, at = [], 0
        for row in text.splitlines():
            start, length, rest = row.split(" ", 2)
            assert int(start) == at, f"a gap at sector {at}: {row}"
            at += int(length)
            for device in re.findall(r"/dev/\S+", rest):
                name = device.removeprefix("/dev/mapper/")
                known = name in self.tables or device in self.loops or "vg0-" in name
                assert known, f"{device} is not there"
            lines.append((int(start), int(length), rest))
        return lines

    def _losetup(self, argv: list[str], command: Command) -> str:
        if "--list" in argv:
            rows = [
                {"name": n, "back-file": b, "offset": o, "sizelimit": s, "ro": True}
                for n, (b, o, s) in self.loops.items()
            ]
            return json.dumps({"loopdevices": rows}) if rows else ""
        if argv[0] == "-d":
            assert not any(argv[1] in rest for lines in self.tables.values() for _, _, rest in lines)
            del self.loops[argv[1]]
            return ""
        assert "--read-only" in argv
        name = f"/dev/loop{len(self.loops)}"
        value = dict(pairwise(argv))
        self.loops[name] = (argv[-1], int(value["--offset"]), int(value["--sizelimit"]))
        return f"{name}\n"

    def _blockdev(self, argv: list[str], command: Command) -> None:
        assert argv[0] == "--flushbufs"

    def _dd(self, argv: list[str], command: Command) -> None:
        values = dict(word.split("=", 1) for word in argv)
        self.written.append((values["of"], int(values["seek"]), command.stdin))

    def _pvcreate(self, argv: list[str], command: Command) -> None:
        folder = dict(command.env)["LVM_SYSTEM_DIR"]
        node = argv[-1]
        assert node.removeprefix("/dev/mapper/") in self.tables
        assert f'"a|^{node}$|"' in Path(folder, "lvm.conf").read_text()
        self.restored[node] = argv[argv.index("--uuid") + 1]

    def _vgcfgrestore(self, argv: list[str], command: Command) -> None:
        self.restored["text"] = Path(argv[argv.index("-f") + 1]).read_text()

    def _lvs(self, argv: list[str], command: Command) -> str:
        names = re.findall(r"^(\w+) \{\nid = \"LV", self.restored["text"], re.MULTILINE)
        return json.dumps({"report": [{"lv": [{"lv_name": name} for name in names]}]})

    def _mkswap(self, argv: list[str], command: Command) -> None:
        assert argv[-1].removeprefix("/dev/mapper/") in self.tables

    def _cryptsetup(self, argv: list[str], command: Command) -> None:
        assert argv[0] == "luksFormat"
        Path(argv[-1]).write_bytes(self.header)
