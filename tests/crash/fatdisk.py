"""A BootDisk on the ESP of a grubmachine, by mtools: the development machines' kernel has no FAT."""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.crash.grubmachine import ESP_START

_CLUSTER = re.compile(r"<(\d+)")


@dataclass(frozen=True)
class FatDisk:
    """The FAT at sector ESP_START of the image `disk`. Nothing waits to be written: it is settled always."""

    disk: Path

    def _run(self, name: str, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = (name, "-i", f"{self.disk}@@{ESP_START * 512}", *words)
        return subprocess.run(argv, input=data, capture_output=True, env={"MTOOLS_SKIP_CHECK": "1"})

    def _write(self, name: str, *words: str, data: bytes = b"") -> None:
        done = self._run(name, *words, data=data)
        assert done.returncode == 0, done.stderr.decode()

    def make_folder(self, path: str) -> None:
        if not self.is_folder(path):
            self._write("mmd", f"::/{path}")

    def create(self, path: str, data: bytes) -> None:
        self.remove(path)
        self._write("mcopy", "-", f"::/{path}", data=data)

    def remove(self, path: str) -> None:
        if self.read(path) is not None:
            self._write("mdel", f"::/{path}")

    def remove_folder(self, path: str) -> None:
        if self.is_folder(path):
            self._write("mrd", f"::/{path}")

    def settle(self) -> None:
        return None

    def write_sector(self, path: str, data: bytes) -> None:
        with self.disk.open("r+b") as out:
            out.seek(self._at(path))
            out.write(data)

    def _at(self, path: str) -> int:
        """Where on the disk the file's first byte lies (Microsoft's FAT specification, the BPB)."""
        found = _CLUSTER.search(self._run("mshowfat", f"::/{path}").stdout.decode())
        assert found, f"{path} has no cluster"
        with self.disk.open("rb") as image:
            image.seek(ESP_START * 512)
            per, reserved, fats, entries = struct.unpack_from("<BHBH", head := image.read(512), 13)
        (length,) = struct.unpack_from("<H", head, 22)
        first = reserved + fats * length + entries * 32 // 512
        return (ESP_START + first + (int(found[1]) - 2) * per) * 512

    def read(self, path: str) -> bytes | None:
        done = self._run("mtype", f"::/{path}")
        return done.stdout if done.returncode == 0 else None

    def names(self, path: str) -> tuple[str, ...]:
        listed = self._run("mdir", "-b", f"::/{path}/").stdout.decode().split()
        return tuple(sorted(line.rstrip("/").rpartition("/")[2] for line in listed))

    def free(self) -> int:
        return 1 << 20

    def is_file(self, path: str) -> bool:
        return self.read(path) is not None

    def is_folder(self, path: str) -> bool:
        above, _, name = path.rpartition("/")
        listed = self._run("mdir", "-b", f"::/{above}").stdout.decode().split()
        return any(line.endswith(f"/{name}/") for line in listed)
