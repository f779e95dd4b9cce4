"""The throw-away part of a run beside a root on a partition: what twins write to, and the witness.

All of it is in the kernel and in the appliance's memory; a small file there for each says what there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import OutOfSpace, TwinFailed
from appliance.host.files import write_atomic
from appliance.model.codec import from_json, to_json
from appliance.model.machine import Partition
from appliance.probe.mappings import Mapping, linear
from appliance.probe.partition_ours import Record
from appliance.volumes.base import Snapshot, SnapshotRole, Use
from appliance.volumes.below import Below, View
from appliance.volumes.below import Disk as AsItIs
from appliance.volumes.disk_room import DiskPart, DiskRoom
from appliance.volumes.elsewhere import ROLES, ElsewhereStore, prefix_of, room_name
from appliance.volumes.partition_entries import PartitionEntries
from appliance.volumes.partition_fs import file_system
from appliance.volumes.table import MIB, Extent

COPIES = frozenset(ROLES)
"""Roles of what is thrown away with the run; what was sealed is at first."""

ROOM_AT = "room-at"
SECTOR = 512
"""Bytes the kernel counts by, whatever the disk's own sectors are (Documentation/block/stat.rst)."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered of a copy. A base has, as of when it was taken, what the kernel had `written` to the
    origin since it started, in bytes, and the `witness` of its file system."""

    origin: str
    written: int = 0
    witness: str = ""


@dataclass(frozen=True, slots=True)
class PartitionCopies(PartitionEntries):
    """Copies over the partition `root`, called `called` in the names of a plan. `memory` is a folder in the
    appliance's memory, `room_bytes` what the twins of a run may write."""

    root: Partition
    called: str
    memory: Path
    room_bytes: int

    def copies(self, snapshot: Snapshot) -> ElsewhereStore:
        """The store of the copies of its run, over what `snapshot` looks through to."""
        copied = self._below(snapshot)
        below = self._view(snapshot.run) if copied is None else AsItIs(self.part(copied).device)
        return ElsewhereStore(self.host, snapshot.run, below, self._room(snapshot.run))

    def has_copy(self, snapshot: Snapshot) -> bool:
        self.not_anothers(snapshot)
        return self.copies(snapshot).exists(snapshot)

    def make_copy(self, snapshot: Snapshot, size: int) -> None:
        """Raises OutOfSpace where the disk has no room for what a twin writes."""
        room = self._room(snapshot.run)
        if not room.made():
            self.refuse_what_holds_something()
            if (free := self.clear().size) < self.room_bytes:
                raise OutOfSpace(
                    f"{self.room(self.table())} has {free // MIB} MiB in one piece; a twin needs "
                    f"{self.room_bytes // MIB}."
                )
        room.make(lambda done, total: None)
        write_atomic(room.folder / ROOM_AT, f"{room.part.start} {room.size}".encode())
        copied = self._below(snapshot)
        if copied is not None:
            self.part(copied).up()
        self.copies(snapshot).create(snapshot, size)
        self.note(snapshot)

    def note(self, snapshot: Snapshot) -> None:
        """Remember what the store of copies does not."""
        mark = Mark(origin=snapshot.origin)
        if snapshot.role is SnapshotRole.BASE:
            witness = file_system(self.host, self.root.path).witness()
            mark = Mark(origin=snapshot.origin, written=self.written(), witness=witness)
        write_atomic(self._file(snapshot), to_json(mark))

    def mark_of(self, snapshot: Snapshot) -> Mark | None:
        """None where nothing is remembered: another appliance made it, or nobody."""
        file = self._file(snapshot)
        if not file.is_file():
            return None
        mark: Mark = from_json(file.read_bytes(), Mark, str(file))
        return mark

    def remembered(self) -> tuple[Snapshot, ...]:
        """Every copy there is, of all runs."""
        files = sorted(self.memory.glob("*/*"))
        found = ((file, SnapshotRole(ends)) for file in files if (ends := file.suffix[1:]) in ROLE_WORDS)
        return tuple(
            Snapshot(self.vg, file.stem, self._origin_in(file), file.parent.name, role)
            for file, role in found
        )

    def not_anothers(self, snapshot: Snapshot) -> None:
        """Raises TwinFailed where a copy of that name is another run's."""
        for there in self.remembered():
            if there.lv == snapshot.lv and there.run != snapshot.run:
                raise self.not_that(snapshot)

    def not_that(self, snapshot: Snapshot) -> TwinFailed:
        whose = f"the {snapshot.role.value} of {snapshot.run}"
        return TwinFailed(f"There is a {snapshot.lv} on {self.disk} that is not {whose}.")

    def fullest(self) -> float:
        """Of the copies: each has its own part of the room."""
        runs = {there.run for there in self.remembered()}
        stores = (self._over_origin(run) for run in runs)
        return max((store.fullest() for store in stores), default=0.0)

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        return self._over_origin(root.run).uses(root)

    def release_copies(self) -> None:
        remembered = self.remembered()
        for proof in (there for there in remembered if there.role is SnapshotRole.PROOF):
            self.copies(proof).deactivate(proof)
        for run in sorted({there.run for there in remembered}):
            self._over_origin(run).release()

    def room_at(self, run: str) -> Extent:
        """Where the twins of a run have their room: at the end of what is free, for as long as it goes on.

        Where they have none yet and nothing is free, nothing can be made there: see `make_copy`.
        """
        file = self._folder(run) / ROOM_AT
        if file.is_file():
            start, size = file.read_text().split()
            return Extent(int(start), int(size))
        free = self.clear()
        return Extent(max(0, free.end - self.room_bytes), self.room_bytes)

    def written(self) -> int:
        """Bytes that the kernel has written to the origin, or thrown away, since it started."""
        name = self.root.path.rpartition("/")[2]
        fields = Path("/sys/class/block", name, "stat").read_text().split()
        discarded = int(fields[13]) if len(fields) > 13 else 0
        return (int(fields[6]) + discarded) * SECTOR

    # Parts.

    def _over_origin(self, run: str) -> ElsewhereStore:
        return ElsewhereStore(self.host, run, self._view(run), self._room(run))

    def _view(self, run: str) -> Below:
        table = linear(self.root.path, self.root.size)
        return View(self.host, (Mapping(name=f"{prefix_of(run)}view0", table=table),))

    def _room(self, run: str) -> DiskRoom:
        at = self.room_at(run)
        part = DiskPart(self.host, room_name(run), self.disk, at.start, at.size, self.sector)
        return DiskRoom(part, self._folder(run))

    def _below(self, snapshot: Snapshot) -> Record | None:
        """The copy on the disk that a proof is taken of; None where it is the origin."""
        if snapshot.role is not SnapshotRole.PROOF:
            return None
        return next((record for record in self.records() if record.lv == snapshot.origin), None)

    def _folder(self, run: str) -> Path:
        return self.memory / run

    def _file(self, snapshot: Snapshot) -> Path:
        return self._folder(snapshot.run) / f"{snapshot.lv}.{snapshot.role.value}"

    def _origin_in(self, file: Path) -> str:
        said = file.read_bytes()
        return from_json(said, Mark, str(file)).origin if said else ""


ROLE_WORDS = frozenset(role.value for role in ROLES)
