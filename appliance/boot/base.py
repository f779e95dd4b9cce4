"""What promotion asks of a boot loader: one Protocol, and the frozen shapes that go in and out.

Nothing here is global. The same code stages and arms on the real machine and, for the proof boot, in the
twin's throw-away /boot, so every call is told where /boot is mounted and which device holds it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from appliance.errors import BootConfigFailed
from appliance.model.machine import LoaderKind
from appliance.model.plan import Write

SETTLE = ".settle"
"""Ends the name under which a run's settling entry is filed in /boot."""

SECTOR_PATH = "twinboot/env"
"""Where the sector that decides lies in /boot."""


class BootState(enum.Enum):
    """What the one sector says; the state names of DESIGN.md in the loader's own terms."""

    ABSENT = "absent"
    STAGED = "staged"
    ARMED = "armed"
    TRIAL = "trial"
    KEPT = "kept"
    ROLLED_BACK = "rolledback"
    SETTLING = "settling"
    PLAIN = "plain"
    DAMAGED = "damaged"

    @property
    def pending(self) -> bool:
        """A trial or its fallback is still to come: the stick's own menu hands over to the disk."""
        return self in (BootState.ARMED, BootState.TRIAL)


class BootFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of /boot: `name` as it is called there, `source` where its bytes are. `size` in bytes."""

    name: str
    source: str
    sha256: str
    size: int


class Artifacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a system needs in /boot: every file its dpkg owns there, and the initrds made for them.

    `kernel` and `initrds` are names among `files`, those the system boots by default. `entries` are the files
    of loader/entries that its packages made for its kernels. `unified`: the kernel is a unified image that
    holds initrd and command line, and there are no others.
    """

    version: str
    kernel: str
    initrds: tuple[str, ...]
    files: tuple[BootFile, ...]
    entries: tuple[BootFile, ...] = ()
    unified: bool = False

    def file(self, name: str) -> BootFile:
        return next(f for f in self.files if f.name == name)

    @property
    def loaded(self) -> tuple[BootFile, ...]:
        """Those the loader itself reads."""
        return tuple(self.file(name) for name in (self.kernel, *self.initrds))

    @property
    def with_initrds(self) -> tuple[BootFile, ...]:
        """Those that hold what it starts from before its root."""
        return tuple(self.file(name) for name in ((self.kernel,) if self.unified else self.initrds))

    @property
    def size(self) -> int:
        return sum(f.size for f in self.files)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One boot entry. `kernel` and `initrds` are paths relative to /boot ("vmlinuz-6.1.0-13-amd64").

    `options` is the kernel command line in the loader's own quoting, `root` what it names (rootname.py),
    `prelude` what the loader needs before it (GRUB: load_video, insmod). `unified`: the kernel is a unified
    image with its initrd inside.
    """

    id: str
    title: str
    kernel: str
    initrds: tuple[str, ...] = ()
    options: str = ""
    root: str = ""
    prelude: tuple[str, ...] = ()
    unified: bool = False


class StagedSystem(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be staged: one sealed system, under the name of its run.

    `root` is what the new system boots from, e.g. "/dev/mapper/vg0-tb1--trial" or "UUID=f-f[/@-tb1]" (see
    rootname.py), `old_root` what the machine boots from so far; both name exactly one root. `machine_esp`
    (file system UUID) and `efi_loader` (path on it) let the stick hand over under UEFI. `extra` words go on
    the trial's command line: the proof boot adds "twinboot.proof".
    """

    run: str
    title: str
    root: str
    old_root: str
    artifacts: Artifacts
    machine_esp: str = ""
    efi_loader: str = ""
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoaderWords:
    """What a plan says of the loader's writes. `flip` is the kind of write that decides ("one sector"),
    `place` what it changes, `config` the loader's own entries, `ours` what goes when nothing is left."""

    flip: str
    place: str
    config: str
    ours: str


class LoaderView(msgspec.Struct, frozen=True, kw_only=True):
    """What the loader itself will find: the raw device, no journal replayed.

    `next_boot` is the entry an unattended start takes, `fallback` the one after a trial that was not kept,
    `own` the loader's own default entry, as if nothing of ours were there, `menu` every Linux entry of
    its own configuration. `missing` lists files that an entry of ours names and that are
    not there whole. `result` is what the metal wrote about its trial. `sector_lost`: the sector does not
    read, and the state is what the loader's own default makes of it. `bls`, `bls_oddly` and `rootless` are as
    in a GRUB's Menu (grub_menu.py).
    """

    state: BootState
    run: str = ""
    once: bool = False
    keep_asked: bool = False
    own: Entry | None = None
    next_boot: Entry | None = None
    fallback: Entry | None = None
    entries: tuple[Entry, ...] = ()
    menu: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    custom: str = "absent"
    sourced: bool = False
    runs: tuple[str, ...] = ()
    result: str = ""
    sector_lost: bool = False
    bls: tuple[str, ...] = ()
    bls_oddly: bool = False
    rootless: tuple[str, ...] = ()

    @property
    def whose(self) -> str:
        """The run that the state is about: while it settles, its entry has a folder of its own."""
        return self.run.removesuffix(SETTLE)


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
    `up` is the command that makes `device` appear, a volume of LVM. `sector` is where the sector lies that
    GRUB can not write in /boot; None where it can.
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


class BootLoader(Protocol):
    """Stage, arm, keep, restore; each verb is safe to repeat and safe half-done.

    Every verb reads back as the loader does and raises BootConfigFailed where the disk does not hold what
    was written, Refused where the verb does not fit the state found.
    """

    @property
    def kind(self) -> LoaderKind: ...

    @property
    def words(self) -> LoaderWords: ...

    def why_not(self, boot: Boot, wanted: StagedSystem | None = None) -> tuple[str, ...]:
        """Reasons against promoting on this /boot, as sentences, all at once; with `wanted` also room."""

    def view(self, boot: Boot) -> LoaderView:
        """Read as the loader itself; needs no mount."""

    def writes(self, run: str) -> tuple[Write, ...]:
        """Each write of stage and arm, and what a power cut at it leaves."""

    def name_root(self, boot: Boot, root: Path, home: str, device: str) -> tuple[str, ...]:
        """Make the loader's own tools in the trial volume mounted at `root` name `device` once it is kept.

        `boot` is only read; what was there first goes into the run's folder `home`. Returns the paths
        written, relative to `root`. Safe to repeat."""

    def staged(self, boot: Boot, wanted: StagedSystem) -> bool:
        """Whether the loader's own view holds the complete entry, kernel and initrd with their hashes."""

    def stage(self, boot: Boot, wanted: StagedSystem) -> None:
        """Lay down everything under new names. The next boot stays what it was."""

    def arm(self, boot: Boot, run: str) -> None:
        """The flip, one write: the next boot is the trial, once."""

    def disarm(self, boot: Boot, run: str) -> None:
        """Take the flip back, to what was there when `run` was staged."""

    def keep(self, boot: Boot, run: str) -> None:
        """Ask for keep: the next boot is the trial once more, and the metal keeps itself if it is well."""

    def roll_back(self, boot: Boot, run: str) -> None:
        """One write: from the next boot on the previous system, for good."""

    def restore(self, boot: Boot, run: str, owned: tuple[str, ...] = ()) -> None:
        """Back to the boot files as they were before `run`; what is deleted is ours.

        A loader configuration that boots the run's root (keep had begun, or was rolled back) is put back.
        `owned` names the files of /boot that belong to the system that stays (artifacts.owned_names): after
        keep and roll back, kernels of the system that goes are removed from /boot.
        Refused while the run's own system is the one the next boot takes."""

    def settle(self, boot: Boot, run: str, fsuuid: str) -> None:
        """Retire, first flip: the next boots start the kept system by the UUID of its file system, so that
        its volume may change its name. Only one active device may bear it. A subvolume is named by its id,
        "f-f[#261]"."""

    def settled(self, boot: Boot, run: str, old_root: str, new_root: str) -> None:
        """Retire, last part: the loader's own configuration names `new_root` where it named `old_root`,
        then everything of ours goes."""


def entry_ids(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(entry.id for entry in entries)
