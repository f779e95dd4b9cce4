"""The history of a machine whose root is a partition: in a part of its disk that no file system is in.

It is found as a copy of ours is, by the sector in front of it (probe/partition_ours.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.host import mapper
from appliance.host.run import write
from appliance.model.partitions import second_uuid
from appliance.probe.partition_ours import Record
from appliance.volumes.base import SnapshotRole
from appliance.volumes.disk_room import DiskPart
from appliance.volumes.partition_disk import MINUTE, PartitionDisk
from appliance.volumes.state import NAME, SIZE, HistoryDevice
from appliance.volumes.table import Extent

NAMED = "twinboot-state-part"
"""Its device."""


@dataclass(frozen=True, slots=True)
class PartitionHistory:
    """History. Its record is there from the moment on that its file system is whole."""

    disk: PartitionDisk

    @property
    def on(self) -> HistoryDevice:
        return HistoryDevice(self.disk.host, mapper.node(NAMED))

    def exists(self) -> bool:
        return self._record() is not None

    def ensure(self) -> None:
        """Raises OutOfSpace where no part is free that is large enough."""
        record = self._record()
        if record is not None:
            self._part(record).up()
            self.on.make(was_made=True)
            return
        self.disk.refuse_what_holds_something()
        at = self.disk.place(SIZE, Extent(self.disk.probed.size, 0))
        made = Record(
            lv=NAME,
            run="",
            role=SnapshotRole.STATE.value,
            origin="",
            at=at,
            size=SIZE,
            uuid=second_uuid("", "", NAME),
            within=self.disk.within(at),
        )
        self._part(made).up()
        # What lay there before, a history of long ago even, is none of this machine's.
        self.disk.host.run(write("wipefs", "--all", "--quiet", self.on.device, timeout=MINUTE))
        self.on.make(was_made=False)
        self.disk.host.run(write("blockdev", "--flushbufs", self.on.device, timeout=MINUTE))
        self.disk.claim(made)

    def mount(self, at: Path) -> Path:
        return self.on.bring_up(at, self._up)

    def unmount(self, at: Path) -> None:
        self.on.unmount(at)
        record = self._record()
        if record is not None:
            self._part(record).down()

    def delete(self) -> None:
        record = self._record()
        if record is not None:
            self._part(record).down()
            self.disk.forget(record)

    def _up(self) -> None:
        record = self._record()
        if record is not None:
            self._part(record).up()

    def _record(self) -> Record | None:
        role = SnapshotRole.STATE.value
        return next((r for r in self.disk.records() if (r.lv, r.role) == (NAME, role)), None)

    def _part(self, record: Record) -> DiskPart:
        disk = self.disk
        return DiskPart(disk.host, NAMED, disk.disk, record.start, record.size, disk.sector)
