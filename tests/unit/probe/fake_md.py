"""A kernel's MD in memory: its part of /sys, and mdadm and dmsetup as they change it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.model.machine import Layer, LayerKind

LEGS = ("/dev/vda4", "/dev/vdb2")
LAYER = Layer(
    kind=LayerKind.RAID1, path="/dev/mapper/twinboot-below-md-00", uuid="00010203:04050607:08090a0b:0c0d0e0f",
    name="ledger:0", below=LEGS, offset=1 << 20, size=64 << 20,
)  # fmt: skip
NAME = "twinboot-below-md-00"


@dataclass
class FakeMd:
    """A Host over `root`. `assembled` are the array's files of /sys once it is up, `fail_at` is the number of
    the command that the power is cut before, `refuses` one of mdadm's words that it fails at."""

    root: Path
    assembled: dict[str, str] = field(default_factory=dict)
    mapped: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    fail_at: int = -1
    refuses: str = ""

    def run(self, command: Command) -> Output:
        if command.effect is Effect.WRITE:
            if len(self.ran) == self.fail_at:
                raise CommandFailed(f"{command} ended with status 1: the power was cut")
            self.ran.append(str(command))
        program, verb, *words = command.argv
        if program == "dmsetup":
            return Output(0, self._dmsetup(verb, words, command.stdin.decode()))
        assert program == "mdadm"
        if verb == self.refuses:
            raise CommandFailed(f"{command} ended with status 1: made to fail")
        if verb == "--assemble":
            assert tuple(words[-len(LEGS) :]) == LEGS, "every leg, or none"
            assert {"--readonly", f"--uuid={LAYER.uuid}"} <= set(words) and "--run" not in words
            self.up()
        elif verb == "--readwrite":
            self.file("array_state").write_text("clean\n")
        else:
            assert verb == "--stop" and not self.mapped, "a device in use does not stop"
            shutil.rmtree(self.root / "sys")
        return Output(0, "")

    def up(self) -> None:
        said = {
            "degraded": "0", "sync_action": "idle", "resync_start": "none", "array_state": "readonly",
            **{f"dev-{Path(leg).name}/state": "in_sync" for leg in LEGS}, **self.assembled,
        }  # fmt: skip
        for name, value in said.items():
            self.file(name).parent.mkdir(parents=True, exist_ok=True)
            self.file(name).write_text(f"{value}\n")
        (self.root / "sys/block/md127/size").write_text(f"{LAYER.size // 512}\n")
        for leg in LEGS:
            holders = self.root / "sys/class/block" / Path(leg).name / "holders"
            holders.mkdir(parents=True)
            (holders / "md127").touch()

    def file(self, name: str) -> Path:
        return self.root / "sys/block/md127/md" / name

    def _dmsetup(self, verb: str, words: list[str], table: str) -> str:
        if verb == "info":
            return "".join(f"{name}\n" for name in self.mapped)
        if verb == "create":
            self.mapped[words[-1]] = table
        else:
            del self.mapped[words[-1]]
        return ""
