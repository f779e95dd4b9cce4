"""The sealed state of a root on a partition becomes a file system of its own, beside it on the disk."""

from __future__ import annotations

import time
from dataclasses import dataclass

from appliance.errors import TwinFailed
from appliance.host.run import write
from appliance.model.partitions import second_uuid
from appliance.probe.partition_ours import Record
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.copied import Copied, Tell, nobody_listens
from appliance.volumes.partition_copies import PartitionCopies
from appliance.volumes.partition_fs import FileSystem, file_system, look, pieces
from appliance.volumes.table import MIB

PIECE = 256 * MIB
"""Bytes copied by one program: few enough for a word on how far it is."""

PIECE_LIMIT = 1800.0
"""Seconds for one of them: 0.15 MiB a second."""


@dataclass(frozen=True, slots=True)
class CopyOut(PartitionCopies):
    """`tell` hears how far a copy is."""

    tell: Tell = nobody_listens

    def copy_out(self, snapshot: Snapshot, base: str, witness: str) -> None:
        """Of what was sealed under that name, or of the origin. The last write makes it one of ours.

        `base` and `witness` say what the origin was when the run began. Cut short, it is begun anew.
        """
        sealed = Snapshot(snapshot.vg, snapshot.lv, snapshot.lv, snapshot.run, SnapshotRole.SEALED)
        from_copy = self.has_copy(sealed)
        source = self.copies(sealed).activate(sealed) if from_copy else self.root.path
        found = file_system(self.host, source)
        at = self.place(self.root.size, self.room_at(snapshot.run))
        record = Record(
            lv=snapshot.lv,
            run=snapshot.run,
            role=snapshot.role.value,
            origin=self.called,
            at=at,
            size=self.root.size,
            uuid=second_uuid(self.root.fsuuid, snapshot.run, snapshot.lv),
            base=base,
            witness=witness,
            old=self.root.number,
            old_at=self.root.start,
            label=look(self.host, source).label,
            within=self.within(at),
        )
        part = self.part(record)
        if from_copy:
            self._replay(found)
        try:
            self._copy_blocks(found, part.up())
            FileSystem(self.host, part.device, found.fstype).become(record.uuid)
            self.host.run(write("blockdev", "--flushbufs", part.device, timeout=PIECE_LIMIT))
            there = look(self.host, part.device).uuid
        finally:
            # Nothing says yet that it is one of ours: nobody else would find it up.
            part.down()
        if there != record.uuid:
            raise TwinFailed(f"The copy of {source} on {self.disk} has the UUID {there or 'none'}.")
        self.claim(record)
        if from_copy:
            # Its room is what the proof writes to.
            self.copies(sealed).deactivate(sealed)
            self.copies(sealed).delete(sealed)

    def _replay(self, sealed: FileSystem) -> None:
        """What was sealed stays what it is: its journal is emptied, of which the free blocks say nothing."""
        self.host.run(write("blockdev", "--setrw", sealed.device, timeout=PIECE_LIMIT))
        sealed.replay(self.memory / "replay")
        self.host.run(write("blockdev", "--setro", sealed.device, timeout=PIECE_LIMIT))

    def _copy_blocks(self, source: FileSystem, target: str) -> None:
        size, used = source.used()
        if size > self.root.size:
            raise TwinFailed(f"The file system on {source.device} is larger than its partition.")
        total, done, began = sum(part.size for part in used), 0, time.monotonic()
        for part in pieces(used, PIECE):
            where = (f"skip={part.start}", f"seek={part.start}", f"count={part.size}", "bs=4M")
            how = ("iflag=skip_bytes,count_bytes,fullblock", "oflag=seek_bytes", "conv=notrunc,fsync")
            words = (f"if={source.device}", f"of={target}", *where, *how, "status=none")
            self.host.run(write("dd", *words, timeout=PIECE_LIMIT))
            done += part.size
            rate = done / max(0.001, time.monotonic() - began)
            self.tell(Copied(done, total, rate, (total - done) / rate))
