"""One /boot: where it is, and the hands that touch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from appliance.errors import BootConfigFailed

SECTOR_PATH = "twinboot/env"
"""Where the sector that decides lies in /boot."""


@dataclass(frozen=True, slots=True)
class SectorPlace:
    """Where the sector that decides lies, apart from /boot: on an EFI system partition, which GRUB can write.

    Mounted at `mount`; `target` is where the installed system mounts it. `path` is the file's there, one for
    each /boot, since several systems may share the partition.
    """

    mount: Path
    device: str
    fstype: str
    fsuuid: str
    target: str
    path: str


@dataclass(frozen=True, slots=True)
class BootPlace:
    """Where the loader's files are.

    `mount` is where /boot's file system is mounted (its top, writable for stage, arm, keep, restore;
    view needs no mount), `device` the block device under it, `prefix` the path of /boot inside that file
    system ("" where it has its own), `folder` the loader's folder in /boot ("grub"), `target` where the
    installed system itself mounts it. For systemd-boot it is the EFI system partition. `root_device` holds
    the root and others like it, by the UUID `root_fsuuid` (unnamed.py); both empty where it is the root.
    `up` is the command that makes `device` appear, a volume of LVM or a leg of an array. `sector` is where
    the sector lies that GRUB can not write in /boot; None where it can.
    """

    mount: Path
    device: str
    fstype: str
    fsuuid: str
    prefix: str = ""
    folder: str = "grub"
    target: str = "/boot"
    root_device: str = ""
    root_fsuuid: str = ""
    up: tuple[str, ...] = ()
    sector: SectorPlace | None = None

    @property
    def boot(self) -> Path:
        return self.mount / self.prefix.strip("/")

    @property
    def inside(self) -> bool:
        """Whether /boot is a folder of a root: then each root has one, and the loader reads this one's."""
        return bool(self.prefix)


class BootDisk(Protocol):
    """The only hand that writes /boot. Paths are relative to /boot; every call is durable when it returns,
    as Linux sees it; only `settle` makes new names durable as a loader sees them.

    Raises BootConfigFailed. Existing files are never opened for writing, but for `write_sector`.
    """

    def make_folder(self, path: str) -> None:
        """Create; fine where it is there already. fsync of the parent."""

    def create(self, path: str, data: bytes) -> None:
        """A new file, whole and fsynced; a leftover of the same name is replaced by unlink and create."""

    def copy(self, source: Path, path: str) -> None:
        """Like create, from a file elsewhere; kernels and initrds are large."""

    def link(self, path: str, new: str) -> None:
        """Hard link; fine where `new` is already that inode."""

    def rename(self, path: str, new: str) -> None:
        """rename(2) over `new`; the caller has hard-linked the old inode elsewhere (see flip.replace)."""

    def remove(self, path: str) -> None:
        """Unlink a file of ours; fine where it is gone."""

    def remove_folder(self, path: str) -> None:
        """rmdir an empty folder of ours; fine where it is gone."""

    def settle(self) -> None:
        """Freeze and thaw: empties the journal into place, so that a loader sees what Linux sees."""

    def write_sector(self, path: str, data: bytes) -> None:
        """The flip: 512 bytes over the first 512 of an existing, preallocated file, in place, O_DSYNC."""

    def read(self, path: str) -> bytes | None:
        """What Linux sees; None where there is no such file."""

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a folder, sorted; empty where there is no such folder."""

    def is_file(self, path: str) -> bool:
        """A regular file, not a symbolic link."""

    def is_folder(self, path: str) -> bool:
        """A folder, not a symbolic link."""

    def free(self) -> int:
        """Bytes an ordinary file may still take."""


class RawBoot(Protocol):
    """/boot as a loader reads it: from the raw device, without the journal. Paths are relative to /boot."""

    def read(self, path: str) -> bytes | None: ...

    def names(self, path: str) -> tuple[str, ...]: ...

    def sha256(self, path: str) -> str | None: ...

    def part(self, path: str, offset: int, length: int) -> bytes | None:
        """So many bytes of a file, or fewer at its end."""


class Variables(Protocol):
    """The boot loader's own variables in the firmware's flash, by their names; values are text.

    systemd's LOADER_INTERFACE has them. Each write or removal is one write of the flash, which firmware makes
    whole or not at all. Raises BootConfigFailed.
    """

    def why_not(self) -> tuple[str, ...]:
        """Reasons why nothing can be written, as sentences."""

    def read(self, name: str) -> str | None:
        """None where there is no such variable."""

    def write(self, name: str, value: str) -> None: ...

    def remove(self, name: str) -> None:
        """Fine where it is gone."""


class NoVariables:
    """Of a loader that has none."""

    def why_not(self) -> tuple[str, ...]:
        return ("This machine did not start by UEFI: its boot variables can not be written.",)

    def read(self, name: str) -> str | None:
        return None

    def write(self, name: str, value: str) -> None:
        raise BootConfigFailed(self.why_not()[0])

    def remove(self, name: str) -> None:
        return None


class Roots(Protocol):
    """What names of a root mean on this machine, beyond what they say."""

    def whole(self, root: str) -> str:
        """`root` (rootname.py) with the part of its device that a start takes, where it names none and there
        are several. Asks the disk. Raises BootConfigFailed, CommandFailed."""


class AsNamed:
    """Where every name says it all."""

    def whole(self, root: str) -> str:
        return root


class OtherRoots(Protocol):
    """Roots with a /boot inside, beside the one whose /boot the loader reads first."""

    def raw(self, fsuuid: str) -> RawBoot | None:
        """The /boot of the root whose file system has that UUID; None where no device has it."""


class NoOtherRoots:
    """Where /boot is the same for every root."""

    def raw(self, fsuuid: str) -> RawBoot | None:
        return None


@dataclass(frozen=True, slots=True)
class Sector:
    """The file whose first sector decides: `disk` writes what it lies on, `raw` reads that as the loader."""

    disk: BootDisk
    raw: RawBoot
    path: str = SECTOR_PATH

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    def read(self) -> bytes | None:
        """As the loader reads it; None where there is none."""
        return self.raw.read(self.path)


@dataclass(frozen=True, slots=True)
class Boot:
    """One /boot with the ways of touching it. `flip.open_boot(host, place)` makes the real one.

    `apart` is where the sector lies that GRUB can not write in /boot; None where it can.
    """

    place: BootPlace
    disk: BootDisk
    raw: RawBoot
    variables: Variables = field(default_factory=NoVariables)
    roots: Roots = field(default_factory=AsNamed)
    others: OtherRoots = field(default_factory=NoOtherRoots)
    apart: Sector | None = None

    @property
    def sector(self) -> Sector:
        return self.apart or Sector(self.disk, self.raw)
