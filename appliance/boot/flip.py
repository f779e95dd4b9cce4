"""Every write to /boot goes through here, over an injectable disk.

The order that survives a power cut at any write, as a loader that replays no journal reads it: new names
only, fsync, fsync of the folder, freeze and thaw, read back as the loader, then one 512-byte sector in
place. sync(2), rename over a name, or skipping the freeze do not survive it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.boot.efivars import EfiVariables
from appliance.boot.place import Boot, BootDisk, BootPlace, NoOtherRoots, Sector, Variables
from appliance.boot.raw import GrubReader, RawRoots
from appliance.boot.unnamed import roots_of
from appliance.errors import BootConfigFailed, CommandFailed
from appliance.host.files import mounted, mounted_readonly, sync_folder
from appliance.host.run import Host, read, write

SECTOR = 512
FREEZE = Path(__file__).with_name("freeze.sh")


@contextlib.contextmanager
def _said(path: str, act: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BootConfigFailed(f"/boot/{path} could not be {act}: {error.strerror}.") from error


@dataclass(frozen=True, slots=True)
class RealDisk:
    """A mounted /boot. `boot` is the folder /boot itself; nothing outside it is ever touched."""

    host: Host
    boot: Path

    def _at(self, path: str) -> Path:
        """Refuses to follow a symbolic link out of /boot: what lies there was written by others."""
        parts = Path(path).parts
        if not parts or Path(path).is_absolute() or ".." in parts:
            raise ValueError(f"not a path inside /boot: {path!r}")
        folder = self.boot
        if folder.is_symlink():
            raise BootConfigFailed("/boot itself is a symbolic link; nothing is written there.")
        for part in parts[:-1]:
            folder = folder / part
            if folder.is_symlink():
                raise BootConfigFailed(f"/boot/{path} leads through a symbolic link.")
        return folder / parts[-1]

    def make_folder(self, path: str) -> None:
        at = self._at(path)
        with _said(path, "created"):
            with contextlib.suppress(FileExistsError):
                at.mkdir(mode=0o755)
            if at.is_symlink() or not at.is_dir():
                raise BootConfigFailed(f"/boot/{path} is in the way: it is not a folder.")
            sync_folder(at.parent)

    def create(self, path: str, data: bytes) -> None:
        at = self._at(path)
        with _said(path, "written"), self._new(at) as fd:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)

    def copy(self, source: Path, path: str) -> None:
        at = self._at(path)
        with _said(path, "written"), source.open("rb") as data, self._new(at) as fd:
            with os.fdopen(os.dup(fd), "wb") as out:
                shutil.copyfileobj(data, out, 1 << 20)
            os.fsync(fd)

    @contextlib.contextmanager
    def _new(self, at: Path) -> Iterator[int]:
        with contextlib.suppress(FileNotFoundError):
            at.unlink()
        fd = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            yield fd
        finally:
            os.close(fd)
        sync_folder(at.parent)

    def link(self, path: str, new: str) -> None:
        source, at = self._at(path), self._at(new)
        with _said(new, "linked"):
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(at.lstat(), source.lstat()):
                    return
                at.unlink()
            try:
                os.link(source, at, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP):
                    raise
                self.copy(source, new)
            sync_folder(at.parent)

    def rename(self, path: str, new: str) -> None:
        source, at = self._at(path), self._at(new)
        with _said(new, "replaced"):
            os.rename(source, at)
            sync_folder(at.parent)
            if source.parent != at.parent:
                sync_folder(source.parent)

    def remove(self, path: str) -> None:
        at = self._at(path)
        with _said(path, "removed"), contextlib.suppress(FileNotFoundError):
            at.unlink()
            sync_folder(at.parent)

    def remove_folder(self, path: str) -> None:
        at = self._at(path)
        with _said(path, "removed"), contextlib.suppress(FileNotFoundError):
            at.rmdir()
            sync_folder(at.parent)

    def settle(self) -> None:
        command = write("sh", str(FREEZE), str(self.boot), timeout=120)
        try:
            self.host.run(command)
        except CommandFailed as error:
            thaw = write("fsfreeze", "--unfreeze", str(self.boot), timeout=30, ok=frozenset({0, 1}))
            self.host.run(thaw)
            raise BootConfigFailed(f"/boot could not be settled on its disk. {error.what}") from error

    def write_sector(self, path: str, data: bytes) -> None:
        at = self._at(path)
        if len(data) != SECTOR:
            raise ValueError(f"a sector is {SECTOR} bytes, not {len(data)}")
        with _said(path, "flipped"):
            fd = os.open(at, os.O_WRONLY | os.O_DSYNC | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_size < SECTOR or found.st_blocks == 0:
                    raise BootConfigFailed(f"/boot/{path} is not a file laid out beforehand.")
                if os.pwrite(fd, data, 0) != SECTOR:
                    raise BootConfigFailed(f"/boot/{path} took less than one sector.")
                os.fsync(fd)
            finally:
                os.close(fd)

    def read(self, path: str) -> bytes | None:
        at = self._at(path)
        with _said(path, "read"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if at.is_file() and not at.is_symlink():
                return at.read_bytes()
        return None

    def names(self, path: str) -> tuple[str, ...]:
        at = self._at(path) if path else self.boot
        if at.is_dir() and not at.is_symlink():
            return tuple(sorted(os.listdir(at)))
        return ()

    def is_file(self, path: str) -> bool:
        at = self._at(path)
        return at.is_file() and not at.is_symlink()

    def is_folder(self, path: str) -> bool:
        at = self._at(path)
        return at.is_dir() and not at.is_symlink()

    def free(self) -> int:
        found = os.statvfs(self.boot)
        return found.f_bavail * found.f_frsize


@dataclass(slots=True)
class RecordingDisk:
    """Reads are real, writes are only told: what a dry run prints. One line a write in `would`."""

    inner: BootDisk
    would: list[str] = field(default_factory=list)

    def make_folder(self, path: str) -> None:
        self.would.append(f"mkdir /boot/{path}")

    def create(self, path: str, data: bytes) -> None:
        self.would.append(f"create /boot/{path} ({len(data)} bytes)")

    def copy(self, source: Path, path: str) -> None:
        self.would.append(f"copy {source} /boot/{path} ({source.stat().st_size} bytes)")

    def link(self, path: str, new: str) -> None:
        self.would.append(f"link /boot/{path} /boot/{new}")

    def rename(self, path: str, new: str) -> None:
        self.would.append(f"rename /boot/{path} /boot/{new}")

    def remove(self, path: str) -> None:
        self.would.append(f"remove /boot/{path}")

    def remove_folder(self, path: str) -> None:
        self.would.append(f"rmdir /boot/{path}")

    def settle(self) -> None:
        self.would.append("freeze and thaw /boot")

    def write_sector(self, path: str, data: bytes) -> None:
        self.would.append(f"write sector 0 of /boot/{path}")

    def read(self, path: str) -> bytes | None:
        return self.inner.read(path)

    def names(self, path: str) -> tuple[str, ...]:
        return self.inner.names(path)

    def is_file(self, path: str) -> bool:
        return self.inner.is_file(path)

    def is_folder(self, path: str) -> bool:
        return self.inner.is_folder(path)

    def free(self) -> int:
        return self.inner.free()


def open_boot(host: Host, place: BootPlace, variables: Variables | None = None) -> Boot:
    """The real /boot at `place`, read back through GRUB's own file-system code; `variables` are those of the
    firmware that starts from it, this machine's where none are given."""
    bring_up(host, place)
    raw = GrubReader(host, place.device, place.prefix)
    others = RawRoots(host, place.prefix) if place.inside else NoOtherRoots()
    firmware, disk, roots = variables or EfiVariables(), RealDisk(host, place.boot), roots_of(host, place)
    return Boot(place, disk, raw, firmware, roots, others, _apart(host, place))


def _apart(host: Host, place: BootPlace) -> Sector | None:
    at = place.sector
    return None if at is None else Sector(RealDisk(host, at.mount), GrubReader(host, at.device), at.path)


def bring_up(host: Host, place: BootPlace) -> None:
    """Make the device of a /boot on LVM, or on an array that no act has up, appear. Writes nothing."""
    if place.up and not Path(place.device).exists():
        host.run(read(*place.up, timeout=120))


@contextlib.contextmanager
def mounted_for(host: Host, place: BootPlace) -> Iterator[None]:
    """What is written to at `place`, mounted for writing, for as long as one act needs it."""
    with _mounted_by(mounted, host, place):
        yield


@contextlib.contextmanager
def mounted_to_read(host: Host, place: BootPlace) -> Iterator[None]:
    """The same to look at: not one sector of it is written."""
    with _mounted_by(mounted_readonly, host, place):
        yield


@contextlib.contextmanager
def _mounted_by(
    mount: Callable[[Host, str, str, Path], contextlib.AbstractContextManager[Path]],
    host: Host,
    place: BootPlace,
) -> Iterator[None]:
    """/boot, and where the sector lies, if that is apart from it."""
    bring_up(host, place)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mount(host, place.device, place.fstype, place.mount))
        if at := place.sector:
            stack.enter_context(mount(host, at.device, at.fstype, at.mount))
        yield


def replace(boot: Boot, path: str, data: bytes, keep: str) -> None:
    """Put `data` in the place of the existing file `path`, so that a loader reads the old or the new one.

    The old inode stays alive under the name `keep`: without it a cut may leave the old name on an inode
    that has been freed. The new inode is in place before the name is turned to it.
    """
    fresh = f"{keep}.new"
    boot.disk.link(path, keep)
    boot.disk.create(fresh, data)
    boot.disk.settle()
    if boot.raw.read(fresh) != data:
        raise BootConfigFailed(f"/boot/{fresh} does not read back as written; /boot/{path} is untouched.")
    boot.disk.rename(fresh, path)
    boot.disk.settle()
    if boot.raw.read(path) != data:
        raise BootConfigFailed(f"/boot/{path} does not read back as written.")


def flip(boot: Boot, sector: bytes) -> None:
    """The one write that decides: a sector in place, made durable, read back as the loader."""
    at = boot.sector
    at.disk.write_sector(at.path, sector)
    at.disk.settle()
    found = at.read()
    if found is None or found[:SECTOR] != sector:
        raise BootConfigFailed(f"{at.path} does not read back as flipped.")


def turn(boot: Boot, name: str, value: str | None) -> None:
    """The flip of a loader that is led by variables: one of them set or (None) removed, and read back.

    Nothing is written where it says so already: the flash wears.
    """
    if boot.variables.read(name) == value:
        return
    if value is None:
        boot.variables.remove(name)
    else:
        boot.variables.write(name, value)
    if boot.variables.read(name) != value:
        raise BootConfigFailed(
            f"The firmware did not keep the boot variable {name} as it was written.",
            safe="The old system's files and entries are as they were.",
        )


def remove_tree(disk: BootDisk, path: str) -> None:
    """Remove a folder of ours with what is in it. Links are removed as names; nothing is followed."""
    for name in disk.names(path):
        inner = f"{path}/{name}"
        if disk.is_folder(inner):
            remove_tree(disk, inner)
        else:
            disk.remove(inner)
    disk.remove_folder(path)
