"""Snapshots of a root on a partition, with a second root in the free part of the same disk, or inside an
empty partition of it that a technician named.

A rehearsal works at once: its twin writes to a throw-away copy-on-write over the partition, kept at the end
of the largest free part, or of that partition. The sealed state is copied, used blocks only, to its
beginning, where it becomes a file system of its own with a new UUID; the metal's edits go into that copy, so
that sealed and trial volume are one, as LVM's thick snapshots are. Until it is shown to the machine the
partition table does not list it, and no byte in use has changed. From then on it is a partition like any
other; a named one is moved onto it, and back where that is taken back.

There is no snapshot of a partition, so what the origin was is told by a witness: while this appliance runs,
what the kernel has written to it; later, what its file system notes of its last mount.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.errors import Refused, TwinFailed
from appliance.host.run import write
from appliance.host.udev import settle
from appliance.probe.partition_ours import Record
from appliance.volumes import partition_room
from appliance.volumes.base import (
    VALUED,
    Difference,
    EveryStartNamesOne,
    Headroom,
    PutBack,
    Snapshot,
    SnapshotRole,
    nobody_writes,
)
from appliance.volumes.overlay import windows
from appliance.volumes.partition_copies import COPIES
from appliance.volumes.partition_disk import MINUTE, device_of
from appliance.volumes.partition_fs import FileSystem, file_system, look
from appliance.volumes.partition_out import CopyOut
from appliance.volumes.partition_record import check_words, snapshot_of

PREVIOUS, EMPTIED = SnapshotRole.PREVIOUS.value, SnapshotRole.EMPTIED.value
STAGES = (SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL, SnapshotRole.KEPT)
"""One state on its way, under one name: the first two as a copy-on-write, the others as a partition."""

BOOTED = (SnapshotRole.TRIAL.value, SnapshotRole.KEPT.value)
"""Of what was kept only the loader says so until its old system is retired."""

BLOCK = 4096
"""Bytes that a change is counted by."""


@dataclass(frozen=True, slots=True)
class PartitionStore(CopyOut, EveryStartNamesOne):
    """SnapshotStore beside the root on the partition `root`, called `called` in the names of a plan."""

    @property
    def boot_stack(self) -> tuple[str, ...]:
        return ()

    @property
    def origin_stack(self) -> tuple[str, ...]:
        return ()

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        return partition_room.why_not(self.probed, self.root, expected_bytes)

    # What there is.

    def headroom(self) -> Headroom:
        return Headroom(
            pool=self.probed.room,
            data_size=self.room_bytes,
            data_percent=self.fullest(),
            metadata_size=0,
            metadata_percent=0.0,
            vg_free=self.clear().size,
            kind="room",
        )

    def exists(self, snapshot: Snapshot) -> bool:
        if self._found(snapshot) is not None or self._witnessed(snapshot) is not None:
            return True
        return snapshot.role in COPIES and self.has_copy(snapshot)

    def device(self, snapshot: Snapshot) -> str:
        record = self._found(snapshot)
        return self.part(record).device if record is not None else self.copies(snapshot).device(snapshot)

    def options(self, snapshot: Snapshot) -> tuple[str, ...]:
        return ()

    def ours(self) -> tuple[Snapshot, ...]:
        records = self.records()
        found = [snapshot_of(record, self.vg) for record in records]
        found += [
            Snapshot(self.vg, record.origin, "", record.run, SnapshotRole.PREVIOUS)
            for record in records
            if record.previous == PREVIOUS
        ]
        found += [
            Snapshot(self.vg, record.base, self.called, record.run, SnapshotRole.BASE)
            for record in records
            if record.base
        ]
        return tuple(sorted({*found, *self.remembered()}, key=lambda s: s.lv))

    def orphans(self, known: frozenset[str]) -> tuple[Snapshot, ...]:
        return tuple(s for s in self.ours() if s.run not in known and s.role not in VALUED)

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        if origin != self.called:
            raise TwinFailed(f"{base.lv} is no witness of {origin}.")
        mark = self.mark_of(base)
        if mark is not None:
            if written := self.written() - mark.written:
                return Difference(-(-written // BLOCK) * BLOCK, BLOCK)
            said = mark.witness
        else:
            witnessed = self._witnessed(base)
            if witnessed is None:
                raise TwinFailed(f"There is no {base.lv} of {base.run}.")
            said = witnessed.witness
        same = file_system(self.host, self.root.path).witness() == said
        # How much it is, only a look at every block would tell.
        return Difference(0 if same else BLOCK, BLOCK)

    @contextlib.contextmanager
    def our_writes(self, origin: str) -> Iterator[None]:
        same = [s for s in self.ours() if s.role is SnapshotRole.BASE and not self.changed_since(origin, s)]
        try:
            yield
        finally:
            for base in same:
                self._witness_again(base)

    # What changes something.

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        check_words(snapshot)
        if self.exists(snapshot):
            return
        if snapshot.role in COPIES and snapshot.role is not SnapshotRole.SEALED:
            self.make_copy(snapshot, size)
        else:
            self.copy_out(snapshot, *self._origin_was(snapshot.run))

    def activate(self, snapshot: Snapshot) -> str:
        record = self._found(snapshot)
        if record is not None:
            return self.part(record).up()
        if self._witnessed(snapshot) is not None and self.mark_of(snapshot) is None:
            return self.root.path  # of an appliance before: the origin itself, which nobody may write
        copied = self._below(snapshot)
        if copied is not None:
            self.part(copied).up()
        return self.copies(snapshot).activate(snapshot)

    def deactivate(self, snapshot: Snapshot) -> None:
        record, below = self._found(snapshot), self._below(snapshot)
        if record is not None:
            # What is proven looks through it all the while.
            if not windows(self.host, self.part(record).device):
                self.part(record).down()
        elif self.has_copy(snapshot):
            self.copies(snapshot).deactivate(snapshot)
            if below is not None:
                self.part(below).down()

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        if sealed.lv == work.lv and self.exists(sealed):
            return
        self.copies(work).seal(work, sealed, stop)
        self.note(sealed)

    def delete(self, snapshot: Snapshot) -> None:
        if snapshot.role is SnapshotRole.PREVIOUS:
            self._empty(snapshot)
            return
        if snapshot.lv == self.called:
            raise TwinFailed(f"{self.root.path} is the machine's own.")
        record, witnessed = self._found(snapshot), self._witnessed(snapshot)
        if witnessed is not None:
            self.put(replace(witnessed, base="", witness=""))
        if record is not None and record.role == snapshot.role.value:
            self.part(record).down()
            self.unlist_copy(record)
            self.forget(record)
        elif record is None and self.has_copy(snapshot):
            self.copies(snapshot).delete(snapshot)

    # From trial to the machine's own.

    def show(self, trial: Snapshot) -> None:
        record = self._require(trial)
        part = self.part(record)
        there = look(self.host, part.up()).uuid
        part.down()
        if there != record.uuid:
            raise Refused((f"What was sealed as {trial.lv} is not there any more: rehearse again.",))
        self.list_copy(record)

    def hide(self, trial: Snapshot) -> None:
        record = self._found(trial)
        if record is not None:
            self.part(record).down()
            self.unlist_copy(record)

    def shown(self, trial: Snapshot) -> bool:
        return bool(self.numbers(self._require(trial), self.table()))

    def keep(self, trial: Snapshot) -> Snapshot:
        record = self._record(trial.lv)
        kept = SnapshotRole.KEPT.value
        if record is None or record.run != trial.run or record.role not in (trial.role.value, kept):
            raise self.not_that(trial)
        if record.role != kept:
            self.put(replace(record, role=kept))
        return snapshot_of(replace(record, role=kept), self.vg)

    def present(self, lv: str) -> bool:
        if any(record.lv == lv for record in self.records()):
            return True
        return lv == self.called and self._is_there() and not self._is_emptied()

    def activate_installed(self, lv: str) -> str:
        if lv != self.called:
            raise TwinFailed(f"{lv} is no partition with a system that is known here.")
        return self.root.path

    def options_installed(self, lv: str) -> tuple[str, ...]:
        return ()

    def deactivate_installed(self, lv: str) -> None:
        return None

    def adopt(self, lv: str, run: str) -> Snapshot:
        record = next((r for r in self.records() if r.run == run and r.origin == lv and r.lv != lv), None)
        if lv != self.called or record is None or record.role not in BOOTED:
            raise TwinFailed(f"Nothing is kept that could take the place of {lv}.")
        if not record.previous:
            self.put(replace(record, previous=PREVIOUS))
        return Snapshot(self.vg, lv, "", record.run, SnapshotRole.PREVIOUS)

    def settle(self, kept: Snapshot, first_name: str) -> None:
        """The kept root takes the old one's entry in the partition table: it has its number and its name."""
        settled = self._record(first_name)
        if settled is not None and settled.run == kept.run:
            return
        record = self._record(kept.lv)
        if record is None or record.run != kept.run or first_name != record.origin:
            raise TwinFailed(f"{kept.lv} is no root that {first_name} could be called.")
        if record.previous != EMPTIED:
            raise Refused((f"The name {first_name} is still taken: delete that volume first.",))
        self.release()
        part = self.part(record)
        if record.label:
            FileSystem(self.host, part.up(), self.root.fstype).relabel(record.label)
        part.down()
        self.take_place(record, record.old)
        self.put(replace(record, lv=first_name, previous="", base="", within=None))

    def disown(self, lv: str) -> None:
        record = self._record(lv)
        if record is not None:
            self.forget(record)
        elif lv != self.called or not self._is_there():
            raise TwinFailed(f"{lv} does not exist.")

    # Data stays where it is: a partition of data has no second one beside it.

    def why_not_put_back(self, data: tuple[PutBack, ...]) -> tuple[str, ...]:
        return tuple(f"{each.origin} is a partition, and can not be put back." for each in data)

    def put_back(self, data: PutBack) -> None:
        raise Refused(self.why_not_put_back((data,)))

    def is_put_back(self, data: PutBack) -> bool:
        return False

    def release(self) -> None:
        self.release_copies()
        for record in self.records():
            # The history is mounted all the while.
            if record.role != SnapshotRole.STATE.value:
                self.part(record).down()

    # Parts.

    def _witness_again(self, base: Snapshot) -> None:
        record = self._witnessed(base)
        if record is not None:
            self.put(replace(record, witness=file_system(self.host, self.root.path).witness()))
        if self.mark_of(base) is not None:
            self.note(base)

    def _origin_was(self, run: str) -> tuple[str, str]:
        """The witness of the run: its name and what it says. Raises TwinFailed where the origin changed."""
        base = next((s for s in self.remembered() if s.run == run and s.role is SnapshotRole.BASE), None)
        mark = self.mark_of(base) if base is not None else None
        if base is None or mark is None:
            return "", file_system(self.host, self.root.path).witness()
        if self.changed_since(self.called, base):
            raise TwinFailed(f"{self.root.path} was written to since {base.lv} was taken.")
        return base.lv, mark.witness

    def _witnessed(self, base: Snapshot) -> Record | None:
        """What holds the witness on the disk; None where nothing does."""
        if base.role is not SnapshotRole.BASE:
            return None
        there = (r for r in self.records() if (r.base, r.run) == (base.lv, base.run))
        return next(there, None)

    def _empty(self, previous: Snapshot) -> None:
        """Nothing finds a file system on the old root's partition any more; `settle` gives its entry away."""
        record = next((r for r in self.records() if r.run == previous.run and r.previous), None)
        if record is None:
            raise TwinFailed(f"{previous.lv} was not let go.")
        if record.previous == EMPTIED:
            return
        slot = next((s for s in self.table().slots if s.number == record.old), None)
        if slot is None or slot.start != record.old_at:
            raise TwinFailed(f"Partition {record.old} of {self.disk} is not where {previous.lv} was.")
        self.release_copies()
        device = device_of(self.disk, record.old)
        self.host.run(write("wipefs", "--all", device, timeout=MINUTE))
        settle(self.host)
        self.host.run(write("blockdev", "--flushbufs", device, timeout=MINUTE))
        self.put(replace(record, previous=EMPTIED))

    def _is_there(self) -> bool:
        return any(slot.number == self.root.number for slot in self.table().slots)

    def _is_emptied(self) -> bool:
        return any(record.previous == EMPTIED for record in self.records())

    def _record(self, lv: str) -> Record | None:
        return next((record for record in self.records() if record.lv == lv), None)

    def _found(self, snapshot: Snapshot) -> Record | None:
        """What is on the disk of it; None where that is nothing. Raises TwinFailed where it is another's.

        What was sealed is there at a later stage, too.
        """
        if self.foreign(snapshot.lv):
            raise self.not_that(snapshot)
        record = self._record(snapshot.lv)
        if record is None:
            self.not_anothers(snapshot)
            return None
        if record.run != snapshot.run:
            raise self.not_that(snapshot)
        if record.role == snapshot.role.value:
            return record
        role = SnapshotRole(record.role)
        if role not in STAGES or snapshot.role not in STAGES:
            raise self.not_that(snapshot)
        later = STAGES.index(role) > STAGES.index(snapshot.role)
        return record if later and snapshot.role is SnapshotRole.SEALED else None

    def _require(self, snapshot: Snapshot) -> Record:
        record = self._found(snapshot)
        if record is None:
            raise TwinFailed(f"{snapshot.lv} does not exist.")
        return record
