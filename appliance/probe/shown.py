"""The machine's volumes made visible through devices that can not write, and gone again afterwards."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.files import mounted_readonly
from appliance.host.run import Command, Effect, Host, read
from appliance.probe.hardware import sys_text
from appliance.probe.mappings import BELOW, PREFIX, Mapping
from appliance.probe.tree import Tree

FOLDER = Path("run/twinboot/probe")
COW_SIZE = 64 << 20
NO_UDEV = (("DM_DISABLE_UDEV", "1"),)
"""dmsetup makes the nodes itself: udev would scan each device, move links like by-uuid to it, and wait."""


@dataclass(slots=True)
class Shown:
    """What is visible for the time of one probe. `failed`: devices the kernel refused, and why.

    `count` is the number of the next device; `root` is where /dev, /sys and /run are found.
    """

    host: Host
    root: Path
    count: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def show(self, mappings: tuple[Mapping, ...]) -> None:
        """Make the devices in one go; where the kernel refuses one, each by itself."""
        if not mappings:
            return
        self.count += len(mappings)
        try:
            self.host.run(_create(mappings))
        except CommandFailed:
            remove_all(self.host, self.root, frozenset(m.name for m in mappings))
            for mapping in mappings:
                self._show_one(mapping)

    def _show_one(self, mapping: Mapping) -> None:
        try:
            self.host.run(_create((mapping,)))
        except CommandFailed as error:
            self.failed[mapping.path] = error.what

    def show_below(self, path: str, table: tuple[str, ...]) -> bool:
        """Show one device under a name that stays; whether it is there. One that is up for writing is used
        as it is."""
        if not self.is_up(path):
            self._show_one(Mapping(name=path.removeprefix("/dev/mapper/"), table=table))
        return path not in self.failed

    def is_up(self, path: str) -> bool:
        """Whether a run has the device beneath a volume group at `path` up for writing."""
        return path.removeprefix("/dev/mapper/") in _below(self.root, readonly=False)

    def cow(self, name: str) -> str:
        """A loop device over a sparse file in RAM; it takes writes that must not reach the disk."""
        folder = self.root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"cow-{name}"
        with open(file, "wb") as out:
            out.truncate(COW_SIZE)
        return self.host.run(read("losetup", "--find", "--show", str(file), timeout=30)).stdout.strip()

    def status(self) -> dict[str, str]:
        """`dmsetup status` by device path."""
        text = self.host.run(_dmsetup("status", "--noflush")).stdout
        pairs = (line.partition(": ") for line in text.splitlines())
        return {f"/dev/mapper/{name}": status.strip() for name, colon, status in pairs if colon}

    def file(self, device: str) -> Path:
        """Where a device's node is found."""
        return self.root / device.lstrip("/")

    @contextlib.contextmanager
    def tree(
        self, device: str, fstype: str, more: tuple[str, ...] = (), inside: Path | None = None
    ) -> Iterator[Tree]:
        """Mount a shown device read-only without replaying its journal; `more` names a part of it, `inside`
        the folder of another one's tree it belongs on."""
        at = inside or self.root / FOLDER / device.rpartition("/")[2]
        with mounted_readonly(self.host, device, fstype, at, more) as base:
            yield Tree(base)


@contextlib.contextmanager
def showing(host: Host, root: Path) -> Iterator[Shown]:
    """A place for devices of our own: what a killed probe left is removed first, all of ours at the end."""
    remove_all(host, root)
    try:
        yield Shown(host, root)
    finally:
        remove_all(host, root)


def _create(mappings: tuple[Mapping, ...]) -> Command:
    """`dmsetup create` of several devices: name,uuid,minor,flags,table… (dmsetup(8))."""
    devices = (",".join((m.name, "", "", "rw" if m.writable else "ro", *m.table)) for m in mappings)
    return _dmsetup("create", "--concise", ";".join(devices))


def _dmsetup(*words: str) -> Command:
    return Command(("dmsetup", *words), Effect.READ, timeout=120, env=NO_UDEV)


def remove_all(host: Host, root: Path, only: frozenset[str] | None = None) -> None:
    """Unmount and remove every device of ours (or those named), then its memory."""
    if only is None:
        for at in _mounts(root):
            host.run(read("umount", at, timeout=60))
    names = [n for n in _device_names(root) if only is None or n in only]
    below = [] if only is not None else _below(root, readonly=True)
    if names or below:
        latest_first = [*sorted(names, key=_number, reverse=True), *below]
        host.run(_dmsetup("remove", "--retry", *latest_first))
    if only is None:
        for loop in _loops(root):
            host.run(read("losetup", "--detach", loop, timeout=30))
        for file in (root / FOLDER).glob("cow-*"):
            file.unlink(missing_ok=True)


def _number(name: str) -> int:
    digits = name.removeprefix(PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _mounts(root: Path) -> list[str]:
    """Our mount points, the latest first (/proc/self/mountinfo, field 5 with octal escapes)."""
    ours = f"{root / FOLDER}/"
    found = []
    for line in sys_text(root / "proc/self/mountinfo").splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            at = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), fields[4])
            if at.startswith(ours):
                found.append(at)
    return found[::-1]


def _device_names(root: Path) -> list[str]:
    names = (sys_text(file) for file in (root / "sys/block").glob("dm-*/dm/name"))
    return [name for name in names if name.startswith(PREFIX)]


def _below(root: Path, *, readonly: bool) -> list[str]:
    """Devices beneath volume groups: read-only ones are a probe's, the others a run has up."""
    files = [f for f in (root / "sys/block").glob("dm-*/dm/name") if sys_text(f).startswith(BELOW)]
    return sorted(sys_text(f) for f in files if (sys_text(f.parent.parent / "ro") == "1") is readonly)


def _loops(root: Path) -> list[str]:
    """Loop devices over files of ours, deleted ones included."""
    ours = os.fspath(root / FOLDER / "cow-")
    files = (root / "sys/block").glob("loop*/loop/backing_file")
    return [f"/dev/{file.parent.parent.name}" for file in files if sys_text(file).startswith(ours)]
