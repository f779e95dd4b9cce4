"""systemd-boot's variables in efivarfs: read, and written by flip.turn alone.

Sources: systemd's LOADER_INTERFACE (names, GUID, UTF-16 with its closing zero); the kernel's efivarfs: four
bytes of attributes before the value, one write(2) sets the whole variable, most files are immutable.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.boot.place import Variables
from appliance.errors import BootConfigFailed
from appliance.host import attributes
from appliance.probe.efi import LOADER_ATTRIBUTES, LOADER_DEFAULT, LOADER_GUID, loader_data, loader_text

EFIVARS = Path("/sys/firmware/efi/efivars")
ONE_SHOT = "LoaderEntryOneShot"
DEFAULT = LOADER_DEFAULT
LAST = "LoaderEntryLastBooted"
TIMEOUT = "LoaderConfigTimeout"
LARGEST = 1024
"""Bytes of a value; the loader's own names are far shorter."""
_VALUE = re.compile(r"[A-Za-z0-9._+~-]+\Z")


def encode(value: str) -> bytes:
    """A value as the loader reads it. Raises BootConfigFailed for what could not name an entry."""
    if not _VALUE.match(value):
        raise BootConfigFailed(f"{value!r} is no name of a boot entry.")
    return loader_data(value)


@dataclass(frozen=True, slots=True)
class EfiVariables:
    """The machine's own firmware, by the kernel's efivarfs at `folder`."""

    folder: Path = EFIVARS

    def _at(self, name: str) -> Path:
        return self.folder / f"{name}-{LOADER_GUID}"

    def why_not(self) -> tuple[str, ...]:
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return (
                "This machine did not start by UEFI, so systemd-boot's variables can not be written: "
                "choose the medium's UEFI entry in the firmware's boot menu.",
            )
        if os.statvfs(self.folder).f_flag & os.ST_RDONLY:
            return ("The firmware's boot variables are read-only here (efivarfs).",)
        return ()

    def read(self, name: str) -> str | None:
        with _said(name, "read"), contextlib.suppress(FileNotFoundError):
            return loader_text(self._at(name).read_bytes()[4 : 4 + LARGEST])
        return None

    def write(self, name: str, value: str) -> None:
        content = struct.pack("<I", LOADER_ATTRIBUTES) + encode(value)
        at = self._at(name)
        with _said(name, "written"):
            attributes.take(at)
            fd = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                if os.write(fd, content) != len(content):
                    raise BootConfigFailed(f"The firmware took less than the whole of {name}.")
            finally:
                os.close(fd)

    def remove(self, name: str) -> None:
        with _said(name, "removed"), contextlib.suppress(FileNotFoundError):
            attributes.take(self._at(name))
            self._at(name).unlink()


@contextlib.contextmanager
def _said(name: str, act: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BootConfigFailed(f"The boot variable {name} could not be {act}: {error.strerror}.") from error


@dataclass(slots=True)
class RecordingVariables:
    """Reads are real, writes are only told: what a dry run prints. One line a write in `would`."""

    inner: Variables
    would: list[str] = field(default_factory=list)

    def why_not(self) -> tuple[str, ...]:
        return self.inner.why_not()

    def read(self, name: str) -> str | None:
        return self.inner.read(name)

    def write(self, name: str, value: str) -> None:
        self.would.append(f"set the boot variable {name} to {value}")

    def remove(self, name: str) -> None:
        self.would.append(f"remove the boot variable {name}")
