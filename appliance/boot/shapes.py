"""The frozen shapes that go in and out of a boot loader."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

SETTLE = ".settle"
"""Ends the name under which a run's settling entry is filed in /boot."""


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


def entry_ids(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(entry.id for entry in entries)
