"""What snapshots of a linear volume are made of: stages of one volume, families that go up and down together,
throw-away overlays, and the merge that brings a kept volume home."""

from __future__ import annotations

import time
from dataclasses import dataclass

from appliance.errors import CommandFailed
from appliance.host.run import read, write
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.cow import CowUse, cover_bytes, parse_uses
from appliance.volumes.lvm_group import MINUTE, LvmGroup
from appliance.volumes.lvm_report import Row
from appliance.volumes.overlay import Overlay
from appliance.volumes.thick_room import OVERLAY_LEAST, OVERLAYS

IN_MEMORY = frozenset({SnapshotRole.SCRATCH, SnapshotRole.PROOF})
"""Roles whose volume is the store of an overlay."""

STAGES = (SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL, SnapshotRole.KEPT)
"""One volume on its way. At a later stage it is the earlier one no more, but what was sealed stays sealed."""

MERGE_LIMIT = 4 * 3600.0
"""Seconds. A merge copies back what was written: a GiB takes half a minute on a slow disk."""


@dataclass(frozen=True, slots=True)
class ThickVolumes(LvmGroup):
    """The parts that the verbs of a store are put together from."""

    def _found(self, snapshot: Snapshot) -> Row | None:
        """As everywhere, but a volume at another stage of the same run is that volume before or after."""
        row = self._row(snapshot.lv)
        on_disk = self.tagged(row) if row is not None else None
        if row is None or on_disk is None or on_disk.run != snapshot.run:
            return LvmGroup._found(self, snapshot)
        if on_disk.role is snapshot.role or snapshot.role not in STAGES or on_disk.role not in STAGES:
            return LvmGroup._found(self, snapshot)
        later = STAGES.index(on_disk.role) > STAGES.index(snapshot.role)
        return row if later and snapshot.role is SnapshotRole.SEALED else None

    def _advance(self, trial: Snapshot) -> bool:
        """The sealed volume of that name becomes `trial`; false where there is none."""
        row = self._row(trial.lv)
        if row is None:
            return False
        on_disk = self.tagged(row)
        if on_disk is None or on_disk.role is not SnapshotRole.SEALED:
            raise self._not_that(trial)
        self._retag(row, trial, *(() if row.writable else ("-prw",)))
        return True

    def _overlay_bytes(self, snapshot: Snapshot) -> int:
        """A third of what is free: two more may be needed after it, and each has a least size."""
        extent, rows = self.group.extent_size, self.rows()
        share = max(OVERLAY_LEAST, max((row.vg_free for row in rows), default=0) // OVERLAYS)
        below = next((row.size for row in rows if row.name == snapshot.origin), 0)
        most = min(share, cover_bytes(below, extent)) if below else share
        return most // extent * extent

    def _overlay(self, snapshot: Snapshot) -> Overlay:
        below = self.mapper(snapshot.origin) if snapshot.origin else ""
        return Overlay(self.host, self.mapper(snapshot.lv), below)

    def _family_down(self, origin: str) -> None:
        """The origin and all its snapshots, which go up and down together, unless somebody uses one."""
        family = [row for row in self.rows() if origin in (row.name, row.origin)]
        if any(row.active for row in family) and not any(row.in_use for row in family):
            self._lvm("lvchange", "-an", "-y", self.path(origin))

    def activate_installed(self, lv: str) -> str:
        self._lvm("lvchange", "-ay", "-K", "-y", self.path(lv))
        return self.mapper(lv)

    def _uses(self) -> dict[str, CowUse]:
        """Every snapshot of the machine that is up, and the overlays."""
        asked = ("dmsetup", "status", "--noflush", "--target", "snapshot")
        return parse_uses(self.host.run(read(*asked, timeout=MINUTE, often=True)).stdout)

    def _is_emptied(self, row: Row) -> bool:
        found = self.tagged(row)
        return found is not None and found.role is SnapshotRole.EMPTIED

    def _is_kept(self, row: Row) -> bool:
        found = self.tagged(row)
        return found is not None and found.role in (SnapshotRole.TRIAL, SnapshotRole.KEPT)

    def _empty(self, row: Row, previous: Snapshot) -> None:
        """Nothing finds a file system on the old volume any more; the kept one has that block for itself.

        So the UUID that both had names the kept system alone. Before, it named the old one: LVM gives the
        links of a snapshot less weight than those of its origin (lib/activate/dev_manager.c).
        """
        device = self.activate_installed(row.name)
        self.host.run(write("wipefs", "--all", device, timeout=MINUTE))
        self.host.run(write("blockdev", "--flushbufs", device, timeout=MINUTE))
        emptied = Snapshot(previous.vg, row.name, "", previous.run, SnapshotRole.EMPTIED)
        self._retag(row, emptied)
        self._family_down(row.name)

    def _await_merge(self, origin: str) -> None:
        """Wait for the end of a merge that LVM put off, since something had just opened a device, or was cut.

        It goes on when the origin is brought up; the kernel copies, and LVM notes the end in the background.
        """
        end = time.monotonic() + MERGE_LIMIT
        if self._merging(origin):
            self._lvm("lvchange", "-an", "-y", self.path(origin))
            self.activate_installed(origin)
        while self._merging(origin):
            if time.monotonic() > end:
                raise CommandFailed(
                    f"LVM did not bring the kept volume back into {self.path(origin)} in time."
                )
            time.sleep(2)

    def _merging(self, origin: str) -> bool:
        asked = ("lvs", *self.config, "--noheadings", "-o", "lv_merging", self.path(origin))
        return self.host.run(read(*asked, timeout=3 * MINUTE)).stdout.strip() == "merging"


def half_made(snapshot: Snapshot, row: Row) -> bool:
    """Whether lvcreate was cut short after the store was made and before it became a snapshot's."""
    lone = snapshot.role in IN_MEMORY or snapshot.role in (SnapshotRole.PREVIOUS, SnapshotRole.EMPTIED)
    return not lone and not row.origin
