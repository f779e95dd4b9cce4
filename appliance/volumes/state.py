"""The state volume: a small linear volume on the machine that carries its history from stick to stick."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class StateVolume:
    """The state volume of the volume group `vg`. Every method may be called twice."""

    host: Host
    vg: str
    config: tuple[str, ...]

    @property
    def device(self) -> str:
        return mapper_path(self.vg, NAME)

    def exists(self) -> bool:
        """Whether the machine carries a state volume of ours. Reads only."""
        return self._row() is not None

    def ensure(self) -> None:
        """Make the volume and its file system where they are missing.

        Raises OutOfSpace, TwinFailed, and HistoryUnread where the file system was there and is not found.
        """
        row = self._row()
        if row is None:
            self._create()
        self._activate()
        made = row is not None and MADE in row.tags
        if self._label() != LABEL:
            if made:
                raise HistoryUnread(f"The machine's history, {self.device}, has lost its super block.")
            # Cut short before its file system was made: nothing can be lost.
            self.host.run(write("mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", self.device, timeout=180))
        if not made:
            tag = ("--addtag", MADE, f"{self.vg}/{NAME}")
            self.host.run(write("lvchange", *self.config, *tag, timeout=120))

    def mount(self, at: Path) -> Path:
        """Bring up, check and mount the volume at `at`; it must exist. Returns `at`.

        Raises HistoryUnread where it has errors whose mending could lose something, or does not mount.
        """
        with _COMING_UP:
            return self._mount(at)

    def _mount(self, at: Path) -> Path:
        if self._mounted_at(at):
            return at
        at.mkdir(parents=True, exist_ok=True)
        options = "nodev,nosuid,noexec,noatime"
        try:
            self._activate()
            # 1 and 2 mean: errors were put right (e2fsck(8)).
            self.host.run(write("e2fsck", "-p", self.device, timeout=300, ok=frozenset({0, 1, 2})))
            self.host.run(write("mount", "-t", "ext4", "-o", options, self.device, str(at), timeout=120))
        except CommandFailed as error:
            raise HistoryUnread(
                f"The machine's history, {self.device}, cannot be read: {error.what}"
            ) from error
        return at

    def unmount(self, at: Path) -> None:
        """Unmount and take the volume down."""
        if self._mounted_at(at):
            self.host.run(write("umount", str(at), timeout=120))
        row = self._row()
        if row is not None and row.active:
            self.host.run(write("lvchange", *self.config, "-an", f"{self.vg}/{NAME}", timeout=120))

    def delete(self) -> None:
        """Remove the volume with everything in it: only when the machine keeps nothing of ours."""
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

    def _label(self) -> str:
        # 2 means that nothing known was found on the device (blkid(8)).
        found = self.host.run(
            read("blkid", "-p", "-o", "value", "-s", "LABEL", self.device, ok=frozenset({0, 2}))
        )
        return found.stdout.strip()

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

    def _mounted_at(self, at: Path) -> bool:
        found = self.host.run(read("findmnt", "-n", "-o", "SOURCE", "-M", str(at), ok=frozenset({0, 1})))
        return found.stdout.strip() in (self.device, f"/dev/{self.vg}/{NAME}")
