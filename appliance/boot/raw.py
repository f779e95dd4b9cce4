"""/boot as the loader reads it: GRUB's own file-system code over the raw device, no journal replayed."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BootConfigFailed
from appliance.host.run import Host, read

ANY = frozenset(range(256))


@dataclass(frozen=True, slots=True)
class RawRoots:
    """Roots by the UUIDs of their file systems, as GRUB's search finds them; `prefix` leads to /boot."""

    host: Host
    prefix: str

    def raw(self, fsuuid: str) -> GrubReader | None:
        # 2: no device has it (blkid(8)). What it noted of devices before is not asked.
        words = ("-c", "/dev/null", "-l", "-o", "device", "-t", f"UUID={fsuuid}")
        found = self.host.run(read("blkid", *words, timeout=120, ok=frozenset({0, 2}))).stdout.strip()
        return GrubReader(self.host, found, self.prefix) if found else None


@dataclass(frozen=True, slots=True)
class GrubReader:
    """Reads by `grub-fstest` (Debian: grub-common). `prefix` is the path of /boot in its file system."""

    host: Host
    device: str
    prefix: str = ""

    def _fresh(self) -> None:
        # The block device's page cache is not the mounted file system's: without this, data written by a
        # mounted file system reads as what was on the disk when the cache was filled.
        self.host.run(read("blockdev", "--flushbufs", self.device, timeout=120))

    def _path(self, path: str) -> str:
        return f"{self.prefix}/{path}".replace("//", "/")

    def _copy(self, path: str, to: Path, *words: str) -> bool:
        self._fresh()
        done = self.host.run(
            read("grub-fstest", *words, self.device, "cp", self._path(path), str(to), timeout=300, ok=ANY)
        )
        if done.status == 0:
            return True
        if "not found" in done.stderr:
            return False
        if "invalid skip" in done.stderr:  # it ends before that
            to.write_bytes(b"")
            return True
        said = done.stderr.strip() or f"status {done.status}"
        raise BootConfigFailed(f"The loader could not read /boot/{path} on {self.device}: {said}.")

    def read(self, path: str) -> bytes | None:
        with tempfile.TemporaryDirectory(prefix="twinboot-raw-") as folder:
            out = Path(folder) / "out"
            return out.read_bytes() if self._copy(path, out) else None

    def sha256(self, path: str) -> str | None:
        with tempfile.TemporaryDirectory(prefix="twinboot-raw-") as folder:
            out = Path(folder) / "out"
            if not self._copy(path, out):
                return None
            with out.open("rb") as data:
                return hashlib.file_digest(data, "sha256").hexdigest()

    def part(self, path: str, offset: int, length: int) -> bytes | None:
        with tempfile.TemporaryDirectory(prefix="twinboot-raw-") as folder:
            out = Path(folder) / "out"
            words = (f"--skip={offset}", f"--length={length}")
            # No length is all of it, there.
            return out.read_bytes()[:length] if self._copy(path, out, *words) else None

    def names(self, path: str) -> tuple[str, ...]:
        self._fresh()
        folder = self._path(path).rstrip("/") + "/"
        done = self.host.run(read("grub-fstest", self.device, "ls", folder, timeout=120, ok=ANY))
        return tuple(sorted(name.rstrip("/") for name in done.stdout.split()))
