"""A recorded machine played back: a file tree for /sys, /proc and /dev, and a Host that answers as it did."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Output

RECORDED = Path(__file__).parents[2] / "fixtures/machines/recorded"
HEAD = 128 * 1024


def ext_head(*, state: int = 1, incompatible: int = 0) -> bytes:
    """The start of an ext4 file system with its super block's magic, state and incompatible features."""
    head = bytearray(HEAD)
    struct.pack_into("<HH", head, 1024 + 0x38, 0xEF53, state)
    struct.pack_into("<I", head, 1024 + 0x60, incompatible)
    return bytes(head)


def swap_head(signature: bytes = b"SWAPSPACE2") -> bytes:
    head = bytearray(HEAD)
    head[4096 - 10 : 4096] = signature.ljust(10, b"\0")
    return bytes(head)


@dataclass
class RecordedMachine:
    """Plays back `name` below `root`. `answers` replaces what a command prints, by its first words, or by
    those and its last one.

    `heads` are the first bytes of shown devices by number, `fails` commands (by first words) that end badly.
    `ran` lists every command; writes are an error, since a probe makes none. `opens` is the passphrase of
    every encrypted device.
    """

    name: str
    root: Path
    answers: dict[str, str] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    ran: list[str] = field(default_factory=list)
    opens: bytes = b"correct horse"
    on_run: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        source = RECORDED / self.name
        shutil.copytree(source / "root", self.root, dirs_exist_ok=True)
        for folder in ("dev/mapper", "sys/block", "run"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "proc/self").mkdir(parents=True, exist_ok=True)
        self._mountinfo().write_text("")
        self.trees = self.root / "trees"
        shutil.copytree(source / "trees", self.trees)
        # Symbolic links do not survive every way a checkout can travel: they are kept as text.
        for path, target in json.loads((source / "links.json").read_text()).items():
            link = self.trees / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        self.metadata = (source / "vg0.vg").read_text()
        self.outputs = {
            _key(call["argv"]): call["stdout"] for call in json.loads((source / "commands.json").read_text())
        }
        if "efibootmgr" in self.outputs:
            (self.root / "sys/firmware/efi").mkdir(parents=True)

    def run(self, command: Command) -> Output:
        key = _key(command.argv)
        assert command.effect is Effect.READ, f"a probe writes: {command}"
        self.ran.append(str(command))
        self.on_run(key)
        if key in self.fails:
            raise CommandFailed(f"{command} ended with status 1: made to fail.")
        if key == "udevadm":
            return Output(0, "")
        if key == "dmsetup info":
            return Output(0, "".join(f"{name}\n" for name in self.up_now()))
        if key == "cryptsetup open" and command.stdin != self.opens:
            assert 2 in command.ok
            return Output(2, "", "No key available with this passphrase.")
        acted = {
            "dmsetup create": self._create,
            "dmsetup remove": self._remove,
            "losetup --find": self._attach,
            "losetup --detach": self._detach,
            "mount": self._mount,
            "umount": self._unmount,
            "lvm vgcfgbackup": self._backup,
            "cryptsetup open": self._unlock,
        }.get(key)
        if acted is not None:
            acted(command.argv)
        whole = self.answers.get(f"{key} {command.argv[-1]}")
        answer = whole if whole is not None else self.answers.get(key, self.outputs.get(key))
        if answer is None:
            raise CommandFailed(f"{command.argv[0]} could not be started: not in the recording.")
        return Output(0, answer)

    def up_now(self) -> list[str]:
        return [p.read_text() for p in (self.root / "sys/block").glob("dm-*/dm/name")]

    def left(self) -> list[str]:
        """Devices, mounts and loops that are still there."""
        names = self.up_now()
        loops = [p.parent.parent.name for p in (self.root / "sys/block").glob("loop*/loop/backing_file")]
        mounts = [line.split()[4] for line in self._mountinfo().read_text().splitlines()]
        return sorted(names + loops + mounts)

    def _mountinfo(self) -> Path:
        return self.root / "proc/self/mountinfo"

    def _create(self, argv: tuple[str, ...]) -> None:
        for device in argv[-1].split(";"):
            name, mode = device.split(",")[0], device.split(",")[3]
            if not name.startswith(("twinboot-probe-", "twinboot-below-")):
                raise AssertionError(f"{name} is not a name of the probe's.")
            number = name.removeprefix("twinboot-probe-")
            if f"create {number}" in self.fails:
                raise CommandFailed(f"device-mapper refused {name}.")
            head = self.heads.get(int(number), bytes(HEAD)) if number.isdigit() else bytes(HEAD)
            self.up(name, readonly=mode == "ro", head=head)

    def up(self, name: str, *, readonly: bool, head: bytes = b"") -> None:
        """A device as the kernel shows it."""
        block = self.root / f"sys/block/dm-{name.removeprefix('twinboot-probe-')}"
        (block / "dm").mkdir(parents=True)
        (block / "dm/name").write_text(name)
        (block / "ro").write_text(f"{int(readonly)}\n")
        (self.root / "dev/mapper" / name).write_bytes(head)

    def _unlock(self, argv: tuple[str, ...]) -> None:
        if "--test-passphrase" not in argv:
            self.up(argv[-1], readonly="--readonly" in argv)

    def _remove(self, argv: tuple[str, ...]) -> None:
        busy = [line for line in self._mountinfo().read_text().splitlines() if line]
        assert not busy, f"removed while mounted: {busy}"
        for name in argv[3:]:
            (self.root / "dev/mapper" / name).unlink()
            shutil.rmtree(self.root / f"sys/block/dm-{name.removeprefix('twinboot-probe-')}")

    def _attach(self, argv: tuple[str, ...]) -> None:
        folder = self.root / "sys/block/loop1/loop"
        folder.mkdir(parents=True)
        (folder / "backing_file").write_text(argv[-1])

    def _detach(self, argv: tuple[str, ...]) -> None:
        shutil.rmtree(self.root / f"sys/block/{os.path.basename(argv[-1])}")

    def _mount(self, argv: tuple[str, ...]) -> None:
        device, at = argv[-2:]
        assert "ro" in argv[4].split(","), f"mounted for writing: {argv}"
        assert argv[2] not in ("ext3", "ext4") or "noload" in argv[4], f"a journal would be replayed: {argv}"
        if f"mount {os.path.basename(device)}" in self.fails:
            raise CommandFailed(f"{device} does not mount.")
        source = self.trees / os.path.basename(device)
        if source.is_dir():
            shutil.copytree(source, at, dirs_exist_ok=True, symlinks=True)
        with self._mountinfo().open("a") as table:
            table.write(f"1 1 253:0 / {at} ro - {argv[2]} {device} ro\n")

    def _unmount(self, argv: tuple[str, ...]) -> None:
        lines = self._mountinfo().read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.split()[4] != argv[-1]]
        assert len(kept) == len(lines) - 1, f"{argv[-1]} is not mounted"
        self._mountinfo().write_text("".join(kept))
        for entry in Path(argv[-1]).iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def _backup(self, argv: tuple[str, ...]) -> None:
        Path(argv[-1].replace("%s", "vg0")).write_text(self.metadata)


def _key(argv: list[str] | tuple[str, ...]) -> str:
    """The program, with its subcommand where it has one."""
    two = argv[0] in ("lvm", "dmsetup", "losetup", "cryptsetup")
    return " ".join(argv[:2]) if two else re.sub(r".*/", "", argv[0])
