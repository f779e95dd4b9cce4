"""Snapshots that are kept elsewhere than on the machine, for a rehearsal that is thrown away.

The root is read where it lies, through devices that cannot write; what a twin writes goes to files on a
stick, a USB disk or in memory. So any storage will do, and no byte of the machine changes. What stands in the
folder says what there is (an empty file `LV.ROLE` for each): device-mapper devices and loops go with the
power, the files are removed at the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import TwinFailed
from appliance.host import mapper
from appliance.host.files import sync_folder
from appliance.host.run import Host, read, write
from appliance.model.plan import FULL
from appliance.volumes.base import Headroom, Snapshot, SnapshotRole, Use, nobody_writes
from appliance.volumes.below import Below
from appliance.volumes.cow import CHUNK, SECTOR, CowUse, parse_uses
from appliance.volumes.overlay import SUFFIX, Overlay
from appliance.volumes.thick_room import OVERLAY_LEAST

MIB = 1 << 20
ROLES = (
    SnapshotRole.BASE,
    SnapshotRole.WORK,
    SnapshotRole.SEALED,
    SnapshotRole.PROOF,
    SnapshotRole.SCRATCH,
)
"""What such a run has: nothing that could be promoted."""


def prefix_of(run: str) -> str:
    """What the names of all these devices begin with. A twin's own begin otherwise (twin/devices.py)."""
    return f"twinboot-{run}-copy-"


def room_name(run: str) -> str:
    return f"{prefix_of(run)}room"


def bytes_for(expected: int) -> int:
    """Bytes of room, in whole MiB, for a run that writes `expected` bytes to its root. Pure.

    They stay below the mark FULL, and the twin's other disks have their own part.
    """
    root = int(expected * 100 / FULL)
    return (max(root + OVERLAY_LEAST, root * 8 // 7) // MIB + 1) * MIB


def apart(size: int) -> int:
    """Of a room of `size` bytes: those that the twin's other disks have, beside its root. Pure."""
    return max(OVERLAY_LEAST, size // 8) // CHUNK * CHUNK


def free_bytes(size: int) -> int:
    """Bytes that may be written to the root in a room of `size` bytes before the twin is paused. Pure."""
    return int((size - apart(size)) * FULL / 100)


class Room(Protocol):
    """Bytes for the copies of one run, as one device. Every method may be called twice."""

    @property
    def name(self) -> str:
        """Of its device-mapper device."""

    @property
    def size(self) -> int: ...

    @property
    def folder(self) -> Path:
        """Where small files can lie that say what there is; gone with the room."""

    @property
    def called(self) -> str:
        """What a person calls it."""

    def make(self, tell: Callable[[int, int], None]) -> None:
        """Take all of it, with nothing in it. `tell`: bytes done, bytes in all. Raises OutOfSpace."""

    def made(self) -> bool: ...

    def up(self) -> str:
        """The device's path."""

    def down(self) -> None:
        """CommandFailed where it is in use."""

    def remove(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ElsewhereStore:
    """RehearsalStore of the run `run` over `view`, with its room in `room`.

    `spare`: bytes at the end of the room that no copy gets; `part`: mount options that name the root in it.
    """

    host: Host
    run: str
    view: Below
    room: Room
    spare: int = 0
    part: tuple[str, ...] = ()

    @property
    def origin_stack(self) -> tuple[str, ...]:
        """Nothing is put under the installed system."""
        return ()

    # What there is.

    def headroom(self) -> Headroom:
        return Headroom(
            pool=self.room.called,
            data_size=self.room.size,
            data_percent=self.fullest(),
            metadata_size=0,
            metadata_percent=0.0,
            vg_free=0,
            kind="room for copies",
        )

    def fullest(self) -> float:
        """The percentage that is used; 0 before there is anything."""
        return max((use.percent for use in self._uses()), default=0.0)

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        """One figure: of the copies of all the twin's disks, which have their own parts, the fuller."""
        found = self._uses()
        return (Use("copy", max(use.percent for use in found)),) if found else ()

    def exists(self, snapshot: Snapshot) -> bool:
        return self._role(snapshot) is snapshot.role

    def device(self, snapshot: Snapshot) -> str:
        if snapshot.role is SnapshotRole.BASE:
            return self.view.device
        return self._overlay(snapshot).device

    def options(self, snapshot: Snapshot) -> tuple[str, ...]:
        return () if snapshot.role is SnapshotRole.SCRATCH else self.part

    # What changes something, never on the machine.

    def make_room(self, tell: Callable[[int, int], None]) -> None:
        """Take the whole room, with nothing in it. `tell`: bytes done, bytes in all. Raises OutOfSpace."""
        self.release()
        self.room.make(tell)

    def remove_room(self) -> None:
        """Give everything back: after that nothing of the run is left anywhere."""
        self.release()
        self.room.remove()

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        found = self._role(snapshot)
        if found is snapshot.role:
            return
        if found is not None or snapshot.role not in ROLES or snapshot.role is SnapshotRole.SEALED:
            raise self._not_that(snapshot)
        if snapshot.role is not SnapshotRole.BASE:
            self._blank(snapshot)
        self._marker(snapshot.lv, snapshot.role).touch()
        sync_folder(self.room.folder)

    def activate(self, snapshot: Snapshot) -> str:
        self._require(snapshot)
        if snapshot.role is SnapshotRole.BASE:
            return self.view.up()
        if snapshot.role is not SnapshotRole.SCRATCH:
            self.view.up()
        self._slice_up(snapshot)
        device = self._overlay(snapshot).up()
        if snapshot.role is SnapshotRole.SEALED:
            self._mode("--setro", device)
        return device

    def deactivate(self, snapshot: Snapshot) -> None:
        if self._role(snapshot) is None:
            return
        if snapshot.role is SnapshotRole.BASE:
            self.view.down()
        else:
            self._down(snapshot)

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        if (sealed.origin, sealed.lv) != (work.lv, work.lv):
            raise TwinFailed(
                f"{sealed.lv} is planned as a snapshot of {sealed.origin}; here it is {work.lv}."
            )
        if self.exists(sealed):
            return
        self._require(work)
        stop()
        self._becomes(work, sealed)
        if self._is_up(sealed):
            self._mode("--setro", self.device(sealed))

    def delete(self, snapshot: Snapshot) -> None:
        found = self._role(snapshot)
        if found is None or {found, snapshot.role} == {SnapshotRole.WORK, SnapshotRole.SEALED}:
            return  # gone, or at another stage
        if found is not snapshot.role:
            raise self._not_that(snapshot)
        if found is SnapshotRole.SEALED and self._is_up(snapshot):
            # Its twin still stands on it: what is undone is the seal, and the work volume goes with the twin.
            self._mode("--setrw", self.device(snapshot))
            self._becomes(snapshot, Snapshot(snapshot.vg, snapshot.lv, "", self.run, SnapshotRole.WORK))
            return
        self.deactivate(snapshot)
        self._marker(snapshot.lv, found).unlink()

    def release(self) -> None:
        there = mapper.names(self.host)
        for name in sorted(n for n in there if n.startswith(prefix_of(self.run)) and n.endswith(SUFFIX)):
            store = mapper.node(name.removesuffix(SUFFIX))
            below = "" if f"{mapper.name_of(store)}-zeros" in there else self.view.device
            Overlay(self.host, store, below).down()
        self.view.down()
        known = {self.room.name, *self.view.names}
        for name in sorted(mapper.names(self.host)):
            if name.startswith(prefix_of(self.run)) and name not in known:
                mapper.remove(self.host, name)
        self.room.down()

    # Parts.

    def _slice(self, snapshot: Snapshot) -> tuple[str, int, int]:
        """The name of a snapshot's part of the room, where it begins and how long it is, in bytes."""
        name, size = f"{prefix_of(self.run)}{snapshot.lv}", self.room.size - self.spare
        others = apart(size)
        if snapshot.role is SnapshotRole.SCRATCH:
            return name, size - others, others
        return name, 0, size - others

    def _slice_up(self, snapshot: Snapshot) -> str:
        name, at, length = self._slice(snapshot)
        if name in mapper.names(self.host):
            return mapper.node(name)
        line = f"0 {length // SECTOR} linear {self.room.up()} {at // SECTOR}"
        return mapper.create(self.host, name, (line,))

    def _blank(self, snapshot: Snapshot) -> None:
        """An old header in the part would be believed."""
        part = self._slice_up(snapshot)
        self.host.run(
            write("dd", "if=/dev/zero", f"of={part}", f"bs={CHUNK}", "count=1", "conv=fsync", "status=none",
                  timeout=mapper.LIMIT)
        )  # fmt: skip

    def _down(self, snapshot: Snapshot) -> None:
        self._overlay(snapshot).down()
        name, _, _ = self._slice(snapshot)
        if name in mapper.names(self.host):
            mapper.remove(self.host, name)

    def _overlay(self, snapshot: Snapshot) -> Overlay:
        name, _, _ = self._slice(snapshot)
        below = "" if snapshot.role is SnapshotRole.SCRATCH else self.view.device
        return Overlay(self.host, mapper.node(name), below)

    def _is_up(self, snapshot: Snapshot) -> bool:
        return mapper.name_of(self._overlay(snapshot).device) in mapper.names(self.host)

    def _mode(self, how: str, device: str) -> None:
        self.host.run(write("blockdev", how, device, timeout=mapper.LIMIT))

    def _uses(self) -> tuple[CowUse, ...]:
        asked = read(
            "dmsetup", "status", "--noflush", "--target", "snapshot", timeout=mapper.LIMIT, often=True
        )
        found = parse_uses(self.host.run(asked).stdout)
        return tuple(use for name, use in found.items() if name.startswith(prefix_of(self.run)))

    def _marker(self, lv: str, role: SnapshotRole) -> Path:
        return self.room.folder / f"{lv}.{role.value}"

    def _role(self, snapshot: Snapshot) -> SnapshotRole | None:
        """What there is of that name; None for nothing. Raises TwinFailed for another run's."""
        if snapshot.run != self.run:
            raise self._not_that(snapshot)
        return next((role for role in ROLES if self._marker(snapshot.lv, role).exists()), None)

    def _require(self, snapshot: Snapshot) -> None:
        if self._role(snapshot) is not snapshot.role:
            raise TwinFailed(f"There is no {snapshot.role.value} {snapshot.lv} of {self.run}.")

    def _becomes(self, was: Snapshot, becomes: Snapshot) -> None:
        self._marker(was.lv, was.role).rename(self._marker(becomes.lv, becomes.role))
        sync_folder(self.room.folder)

    def _not_that(self, snapshot: Snapshot) -> TwinFailed:
        return TwinFailed(f"{snapshot.lv} can not be the {snapshot.role.value} of {snapshot.run} here.")
