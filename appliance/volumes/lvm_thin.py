"""Snapshots in an LVM thin pool: instant, independent of each other, told apart by tags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import Refused, TwinFailed
from appliance.model.machine import LogicalVolume, VolumeGroup, mapper_path
from appliance.model.plan import FULL
from appliance.volumes.base import (
    READ_ONLY,
    Difference,
    PutBack,
    Snapshot,
    SnapshotRole,
    bytes_to_mark,
    nobody_writes,
    too_little_room,
)
from appliance.volumes.lvm_group import to_the_machines_own
from appliance.volumes.lvm_report import Row
from appliance.volumes.put_back import reasons_against
from appliance.volumes.tags import OURS, add_tags, read_tags
from appliance.volumes.thin_pool import ThinPool

METADATA_FULL = 75.0

NEARLY_FULL = 95.0
"""A pool above this percentage takes no snapshot of data. Putting data back needs no room itself: what the
volume and its safety snapshot hold is held afterwards by the volume and the snapshot that puts it away."""


def free_bytes(pool: LogicalVolume) -> int:
    """What may still be written to the probed pool before it is FULL; 0 where it is."""
    return bytes_to_mark(pool.size, pool.data_percent)


def why_not(group: VolumeGroup, pool_name: str, expected_bytes: int) -> tuple[str, ...]:
    """What SnapshotStore.why_not says of the thin pool `pool_name` of the probed `group`. Pure."""
    name, pool = f"{group.name}/{pool_name}", group.lv(pool_name)
    if pool is None or pool.segtype != "thin-pool":
        return (f"The volume group {group.name} has no thin pool {pool_name}.",)
    reasons = []
    if group.missing_pvs:
        reasons.append(f"The volume group {group.name} lacks {group.missing_pvs} of its physical volumes.")
    if pool.data_percent > FULL:
        reasons.append(
            f"The thin pool {name} is {pool.data_percent:.0f} % full; at most {FULL:.0f} % is accepted."
        )
    elif expected_bytes > free_bytes(pool):
        reasons.append(too_little_room(name, expected_bytes, free_bytes(pool)))
    if pool.metadata_percent > METADATA_FULL:
        reasons.append(
            f"The metadata of the thin pool {name} is {pool.metadata_percent:.0f} % full; "
            f"at most {METADATA_FULL:.0f} % is accepted."
        )
    return tuple(reasons)


@dataclass(frozen=True, slots=True)
class LvmThinStore(ThinPool):
    """SnapshotStore in a thin pool."""

    @property
    def boot_stack(self) -> tuple[str, ...]:
        return ("thin", "thin-pool")

    @property
    def origin_stack(self) -> tuple[str, ...]:
        return ()  # a thin snapshot that is left behind is nothing to its origin

    # What the probed machine says, without a command.

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        return why_not(self.group, self.pool, expected_bytes)

    # What the disk says.

    def exists(self, snapshot: Snapshot) -> bool:
        return self._found(snapshot) is not None

    def device(self, snapshot: Snapshot) -> str:
        return mapper_path(self.group.name, snapshot.lv)

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        return self.difference(origin, base.lv)

    def why_not_put_back(self, data: tuple[PutBack, ...]) -> tuple[str, ...]:
        room, name = self.headroom(), f"thin pool {self.group.name}/{self.pool}"
        parts = ((f"The {name}", room.data_percent), (f"The metadata of the {name}", room.metadata_percent))
        full = tuple(
            f"{part} is {percent:.0f} % full, too full for a snapshot of the data as it is now; "
            f"at most {NEARLY_FULL:.0f} % is accepted."
            for part, percent in parts
            if percent > NEARLY_FULL
        )
        return (*reasons_against(self.group.name, self.rows(), data), *full)

    def is_put_back(self, data: PutBack) -> bool:
        if self._found(data.undone) is None or self._found(data.safety) is not None:
            return False
        origin = self._row(data.origin)
        return origin is not None and not to_the_machines_own(origin)

    # What changes the disk.

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        if self._found(snapshot) is not None:
            return
        group = self.group.name
        # -k y, lvm's skip flag: the installed system leaves our volumes alone, whose UUIDs are its own.
        common = ["-y", "-n", snapshot.lv, "-k", "y", *add_tags(snapshot)]
        if snapshot.role is SnapshotRole.SCRATCH:
            # Virtual bytes may sum past the pool: only what the twin writes takes room.
            kind = ["-V", f"{size}b", "--thinpool", f"{group}/{self.pool}"]
            self._make(*common, *kind)
        else:
            permission = ["-pr"] if snapshot.role in READ_ONLY else []
            self._make(*common, *permission, "-s", f"{group}/{snapshot.origin}")

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        if sealed.origin != work.lv:
            raise TwinFailed(f"{sealed.lv} is planned as a snapshot of {sealed.origin}, not of {work.lv}.")
        self.create(sealed)

    def activate(self, snapshot: Snapshot) -> str:
        self._require(snapshot)
        # -K: all the same, though it carries the skip flag.
        self._lvm("lvchange", "-ay", "-K", f"{self.group.name}/{snapshot.lv}")
        return self.device(snapshot)

    def show(self, trial: Snapshot) -> None:
        if self._require(trial).skip_activation:
            self._lvm("lvchange", "-kn", self.path(trial.lv))

    def hide(self, trial: Snapshot) -> None:
        row = self._found(trial)
        if row is not None and not row.skip_activation:
            self._lvm("lvchange", "-ky", self.path(trial.lv))

    def shown(self, trial: Snapshot) -> bool:
        return not self._require(trial).skip_activation

    def deactivate(self, snapshot: Snapshot) -> None:
        found = self._found(snapshot)
        if found is not None and found.active:
            self._lvm("lvchange", "-an", f"{self.group.name}/{snapshot.lv}")

    def adopt(self, lv: str, run: str) -> Snapshot:
        row = self._row(lv)
        if row is None or row.pool != self.pool:
            raise TwinFailed(f"{self.group.name}/{lv} is no volume of the thin pool {self.pool}.")
        return self._adopted(row, run)

    def present(self, lv: str) -> bool:
        return self._row(lv) is not None

    def activate_installed(self, lv: str) -> str:
        self._lvm("lvchange", "-ay", "-K", f"{self.group.name}/{lv}")
        return mapper_path(self.group.name, lv)

    def options_installed(self, lv: str) -> tuple[str, ...]:
        return ()

    def deactivate_installed(self, lv: str) -> None:
        row = self._row(lv)
        if row is not None and row.active:
            self._lvm("lvchange", "-an", f"{self.group.name}/{lv}")

    def settle(self, kept: Snapshot, first_name: str) -> None:
        rows = {row.name: row for row in self.rows()}
        if kept.lv not in rows and first_name in rows:
            if OURS in rows[first_name].tags:
                return  # the rename was made before we were cut short
            raise TwinFailed(f"{self.group.name}/{kept.lv} is gone; {first_name} is not ours.")
        self._require(kept)
        if first_name in rows:
            raise Refused(
                (f"The name {self.group.name}/{first_name} is still taken: delete that volume first.",)
            )
        self._lvm("lvrename", self.group.name, kept.lv, first_name)

    def put_back(self, data: PutBack) -> None:
        self._require(data.undone)
        safety = self._found(data.safety)
        if safety is not None:
            self.deactivate_installed(data.origin)
            self.deactivate(data.safety)
            self._merge(data, safety)
        self.disown(data.origin)

    def _merge(self, data: PutBack, safety: Row) -> None:
        """The origin gets the thin device of its safety snapshot, in one commit of LVM's metadata.

        Both are down, or LVM would put the merge off to their next activation. Name, uuid, tags, permission
        and skip flag stay those of the origin (lvm2 2.03.16 to 2.03.39, tools/lvconvert_poll.c,
        thin_merge_finish), so that the snapshot stays read-only and down until the moment it is the data:
        two file systems of one UUID never come up side by side.
        """
        name = f"{self.group.name}/{data.origin}"
        if self.changed_since(data.origin, data.undone):
            raise Refused(
                (f"{name} was written to since {data.undone.lv} was taken of it: it stays as it is.",)
            )
        self._lvm("lvconvert", "-y", "--mergethin", f"{self.group.name}/{data.safety.lv}")
        origin = self._row(data.origin)
        if origin is None or origin.thin_id != safety.thin_id:
            raise TwinFailed(f"LVM did not make {name} what {data.safety.lv} was; is it in use?")

    def delete(self, snapshot: Snapshot) -> None:
        row = self._row(snapshot.lv)
        if row is None:
            return
        self._require(snapshot)
        self._lvm("lvremove", "-f", f"{self.group.name}/{snapshot.lv}")

    def release(self) -> None:
        for row in self.rows():
            ours = read_tags(self.group.name, row.name, row.tags)
            # The state volume stays up: the journal on it is being written.
            if row.active and ours is not None and ours.role is not SnapshotRole.STATE:
                self._lvm("lvchange", "-an", f"{self.group.name}/{row.name}")
        if self._pool_row().active and not any(r.active and r.pool == self.pool for r in self.rows()):
            self._lvm("lvchange", "-an", f"{self.group.name}/{self.pool}")
