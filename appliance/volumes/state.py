"""The state volume: a small linear volume on the machine that carries its history from stick to stick."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import CommandFailed, HistoryUnread, OutOfSpace, TwinFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import VolumeGroup, mapper_path
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.lvm_report import COLUMNS, Row, parse_rows
from appliance.volumes.tags import add_tags, read_tags

NAME = "twinboot-state"
LABEL = "TWINBOOT-STATE"
MADE = "twinboot.made"
"""The tag of a volume whose file system was made: where that is not found, it is damaged, not new."""

SIZE = 64 << 20
"""Bytes. Preallocated and outside any pool, so that a full pool never takes the journal with it."""

_COMING_UP = threading.Lock()
"""Several threads of the engine ask for the history, and e2fsck(8) refuses a device in use: to the one
that comes second it would look damaged."""


def why_no_state(group: VolumeGroup) -> tuple[str, ...]:
    """Full sentences why the state volume can not be kept in `group`; empty where it can. Pure."""
    found = group.lv(NAME)
    if found is not None:
        if "twinboot" in found.tags:
            return ()
        return (f"A volume {group.name}/{NAME} exists and is not ours.",)
    needed = -(-SIZE // group.extent_size)
    if group.free_count >= needed:
        return ()
    return (
        f"The volume group {group.name} has no room outside its pool for the state volume: "
        f"{group.free_count * group.extent_size >> 20} MiB free, {SIZE >> 20} MiB needed.",
    )


class History(Protocol):
    """What carries the machine's history. Every method may be called twice."""

    def exists(self) -> bool:
        """Whether the machine carries one of ours. Reads only."""

    def ensure(self) -> None:
        """Make it, with its file system, where it is missing.

        Raises OutOfSpace, TwinFailed, and HistoryUnread where the file system was there and is not found.
        """

    def mount(self, at: Path) -> Path:
        """Bring up, check and mount it at `at`; it must exist. Returns `at`.

        Raises HistoryUnread where it has errors whose mending could lose something, or does not mount.
        """

    def unmount(self, at: Path) -> None:
        """Unmount it and take it down."""

    def delete(self) -> None:
        """Remove it with everything in it: only when the machine keeps nothing of ours."""


@dataclass(frozen=True, slots=True)
class HistoryDevice:
    """The file system on `device` that holds a history, while that device is up."""

    host: Host
    device: str
    aliases: tuple[str, ...] = ()

    def is_there(self) -> bool:
        # 2 means that nothing known was found on the device (blkid(8)).
        found = self.host.run(
            read("blkid", "-p", "-o", "value", "-s", "LABEL", self.device, ok=frozenset({0, 2}))
        )
        return found.stdout.strip() == LABEL

    def make(self, *, was_made: bool) -> None:
        """Where it is missing. Raises HistoryUnread where it was made once."""
        if self.is_there():
            return
        if was_made:
            raise HistoryUnread(f"The machine's history, {self.device}, has lost its super block.")
        # Cut short before its file system was made: nothing can be lost.
        self.host.run(write("mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", self.device, timeout=180))

    def bring_up(self, at: Path, up: Callable[[], object]) -> Path:
        """Check and mount it at `at`, once `up` has made the device. Raises HistoryUnread."""
        with _COMING_UP:
            if self.is_mounted(at):
                return at
            at.mkdir(parents=True, exist_ok=True)
            try:
                up()
                self._mount(at)
            except CommandFailed as error:
                said = f"The machine's history, {self.device}, cannot be read: {error.what}"
                raise HistoryUnread(said) from error
        return at

    def _mount(self, at: Path) -> None:
        options = "nodev,nosuid,noexec,noatime"
        # 1 and 2 mean: errors were put right (e2fsck(8)).
        self.host.run(write("e2fsck", "-p", self.device, timeout=300, ok=frozenset({0, 1, 2})))
        self.host.run(write("mount", "-t", "ext4", "-o", options, self.device, str(at), timeout=120))

    def is_mounted(self, at: Path) -> bool:
        found = self.host.run(read("findmnt", "-n", "-o", "SOURCE", "-M", str(at), ok=frozenset({0, 1})))
        return found.stdout.strip() in (self.device, *self.aliases)

    def unmount(self, at: Path) -> None:
        if self.is_mounted(at):
            self.host.run(write("umount", str(at), timeout=120))


@dataclass(frozen=True, slots=True)
class StateVolume:
    """History in the state volume of the volume group `vg`."""

    host: Host
    vg: str
    config: tuple[str, ...]

    @property
    def device(self) -> str:
        return mapper_path(self.vg, NAME)

    @property
    def on(self) -> HistoryDevice:
        return HistoryDevice(self.host, self.device, (f"/dev/{self.vg}/{NAME}",))

    def exists(self) -> bool:
        return self._row() is not None

    def ensure(self) -> None:
        row = self._row()
        if row is None:
            self._create()
        self._activate()
        made = row is not None and MADE in row.tags
        self.on.make(was_made=made)
        if not made:
            tag = ("--addtag", MADE, f"{self.vg}/{NAME}")
            self.host.run(write("lvchange", *self.config, *tag, timeout=120))

    def mount(self, at: Path) -> Path:
        return self.on.bring_up(at, self._activate)

    def unmount(self, at: Path) -> None:
        self.on.unmount(at)
        row = self._row()
        if row is not None and row.active:
            self.host.run(write("lvchange", *self.config, "-an", f"{self.vg}/{NAME}", timeout=120))

    def delete(self) -> None:
        if self._row() is not None:
            self.host.run(write("lvremove", *self.config, "-f", f"{self.vg}/{NAME}", timeout=120))

    def _create(self) -> None:
        words = add_tags(Snapshot(self.vg, NAME, "", "", SnapshotRole.STATE))
        free = self._free()
        if free < SIZE:
            raise OutOfSpace(
                f"The volume group {self.vg} has {free >> 20} MiB free, {SIZE >> 20} MiB are needed."
            )
        self.host.run(
            write("lvcreate", *self.config, "-y", "-Wy", "-Zy", "-n", NAME, "-L", f"{SIZE}b", *words, self.vg,
                  timeout=180)
        )  # fmt: skip

    def _activate(self) -> None:
        self.host.run(write("lvchange", *self.config, "-ay", f"{self.vg}/{NAME}", timeout=120))

    def _row(self) -> Row | None:
        row = next((row for row in self._rows() if row.name == NAME), None)
        if row is not None and read_tags(self.vg, NAME, row.tags) is None:
            raise TwinFailed(f"A volume {self.vg}/{NAME} exists and is not ours.")
        return row

    def _rows(self) -> tuple[Row, ...]:
        report = self.host.run(
            read("lvs", *self.config, "--reportformat", "json", "--units", "b", "--nosuffix",
                 "-o", ",".join(COLUMNS), self.vg, timeout=180)
        )  # fmt: skip
        return parse_rows(report.stdout)

    def _free(self) -> int:
        return max((row.vg_free for row in self._rows()), default=0)
