"""Snapshots in an LVM thin pool: instant, independent of each other, told apart by tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from appliance.errors import CommandFailed, OutOfSpace, Refused, TwinFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import LogicalVolume, VolumeGroup, mapper_path
from appliance.model.plan import FULL
from appliance.volumes.base import (
    READ_ONLY,
    VALUED,
    Difference,
    Headroom,
    Snapshot,
    SnapshotRole,
    too_little_room,
)
from appliance.volumes.lvm_report import COLUMNS, Row, parse_rows
from appliance.volumes.pool_status import parse_pool_status
from appliance.volumes.tags import OURS, add_tags, is_ours, read_tags, tags_of
from appliance.volumes.thin_delta import parse_delta

METADATA_FULL = 75.0

MINUTE = 60.0


def free_bytes(pool: LogicalVolume) -> int:
    """What may still be written to the probed pool before it is FULL; 0 where it is."""
    return max(0, int(pool.size * (FULL - pool.data_percent) / 100.0))


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
class LvmThinStore:
    """SnapshotStore in the thin pool `pool` of `group`.

    `config` is probe.lvm.lvm_config of the machine's own PVs: LVM sees nothing else.
    """

    host: Host
    group: VolumeGroup
    pool: str
    config: tuple[str, ...]

    # What the probed machine says, without a command.

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        return why_not(self.group, self.pool, expected_bytes)

    # What the disk says.

    def rows(self) -> tuple[Row, ...]:
        """Every visible volume of the group as LVM reports it."""
        report = self.host.run(
            read("lvs", *self.config, "--reportformat", "json", "--units", "b", "--nosuffix",
                 "-o", ",".join(COLUMNS), self.group.name, timeout=3 * MINUTE)
        )  # fmt: skip
        return parse_rows(report.stdout)

    def headroom(self) -> Headroom:
        pool = self._pool_row()
        if pool.data_percent < 0:
            self._lvm("lvchange", "-ay", "-K", f"{self.group.name}/{self.pool}")
            pool = self._pool_row()
        if pool.data_percent < 0 or pool.metadata_percent < 0:
            raise CommandFailed(f"The thin pool {self.group.name}/{self.pool} does not say how full it is.")
        return Headroom(
            pool=self.pool,
            data_size=pool.size,
            data_percent=pool.data_percent,
            metadata_size=pool.metadata_size,
            metadata_percent=pool.metadata_percent,
            vg_free=pool.vg_free,
        )

    def fullest(self) -> float:
        node = f"{mapper_path(self.group.name, self.pool)}-tpool"
        status = self.host.run(read("dmsetup", "status", "--noflush", node, timeout=MINUTE, often=True))
        return parse_pool_status(status.stdout)

    def exists(self, snapshot: Snapshot) -> bool:
        return self._found(snapshot) is not None

    def device(self, snapshot: Snapshot) -> str:
        return mapper_path(self.group.name, snapshot.lv)

    def ours(self) -> tuple[Snapshot, ...]:
        found = (read_tags(self.group.name, row.name, row.tags) for row in self.rows())
        return tuple(sorted((s for s in found if s is not None), key=lambda s: s.lv))

    def orphans(self, known: frozenset[str]) -> tuple[Snapshot, ...]:
        return tuple(s for s in self.ours() if s.run not in known and s.role not in VALUED)

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        return self.difference(origin, base.lv)

    def difference(self, left: str, right: str) -> Difference:
        rows = {row.name: row for row in self.rows()}
        for name in (left, right):
            if name not in rows or rows[name].pool != self.pool:
                raise TwinFailed(f"{self.group.name}/{name} is no volume of the thin pool {self.pool}.")
        with self._reserved_metadata() as metadata:
            delta = self.host.run(
                read("thin_delta", "-m", "--thin1", str(rows[left].thin_id), "--thin2",
                     str(rows[right].thin_id), metadata, timeout=5 * MINUTE)
            )  # fmt: skip
        return parse_delta(delta.stdout)

    # What changes the disk.

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        if self._found(snapshot) is not None:
            return
        group = self.group.name
        skip = "n" if snapshot.role is SnapshotRole.TRIAL else "y"
        common = ["-y", "-n", snapshot.lv, "-k", skip, *add_tags(snapshot)]
        if snapshot.role is SnapshotRole.SCRATCH:
            # Virtual bytes may sum past the pool: only what the twin writes takes room.
            kind = ["-V", f"{size}b", "--thinpool", f"{group}/{self.pool}"]
            self._make("lvcreate", *common, *kind)
        else:
            permission = ["-pr"] if snapshot.role in READ_ONLY else []
            self._make("lvcreate", *common, *permission, "-s", f"{group}/{snapshot.origin}")

    def seal(self, work: Snapshot, sealed: Snapshot) -> None:
        if sealed.origin != work.lv:
            raise TwinFailed(f"{sealed.lv} is planned as a snapshot of {sealed.origin}, not of {work.lv}.")
        self.create(sealed)

    def activate(self, snapshot: Snapshot) -> str:
        self._require(snapshot)
        # -K: our volumes carry the skip flag so that the installed system leaves them alone.
        self._lvm("lvchange", "-ay", "-K", f"{self.group.name}/{snapshot.lv}")
        return self.device(snapshot)

    def deactivate(self, snapshot: Snapshot) -> None:
        found = self._found(snapshot)
        if found is not None and found.active:
            self._lvm("lvchange", "-an", f"{self.group.name}/{snapshot.lv}")

    def adopt(self, lv: str, run: str) -> Snapshot:
        row = self._row(lv)
        if row is None or row.pool != self.pool:
            raise TwinFailed(f"{self.group.name}/{lv} is no volume of the thin pool {self.pool}.")
        if OURS in row.tags:
            found = read_tags(self.group.name, lv, row.tags)
            if found is None:
                raise TwinFailed(f"{self.group.name}/{lv} carries a tag of ours that is not understood.")
            return found
        previous = Snapshot(self.group.name, lv, "", run, SnapshotRole.PREVIOUS)
        self._lvm("lvchange", *add_tags(previous), f"{self.group.name}/{lv}")
        return previous

    def present(self, lv: str) -> bool:
        return self._row(lv) is not None

    def activate_installed(self, lv: str) -> str:
        self._lvm("lvchange", "-ay", "-K", f"{self.group.name}/{lv}")
        return mapper_path(self.group.name, lv)

    def deactivate_installed(self, lv: str) -> None:
        row = self._row(lv)
        if row is not None and row.active:
            self._lvm("lvchange", "-an", f"{self.group.name}/{lv}")

    def disown(self, lv: str) -> None:
        row = self._row(lv)
        if row is None:
            raise TwinFailed(f"{self.group.name}/{lv} does not exist.")
        gone = [word for tag in row.tags if is_ours(tag) for word in ("--deltag", tag)]
        if gone:
            self._lvm("lvchange", *gone, f"{self.group.name}/{lv}")

    def keep(self, trial: Snapshot) -> Snapshot:
        kept = replace(trial, role=SnapshotRole.KEPT)
        row = self._row(trial.lv)
        if row is not None and read_tags(self.group.name, row.name, row.tags) == kept:
            return kept
        self._require(trial)
        gone = [word for tag in set(tags_of(trial)) - set(tags_of(kept)) for word in ("--deltag", tag)]
        self._lvm("lvchange", *gone, *add_tags(kept), f"{self.group.name}/{trial.lv}")
        return kept

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

    # How it is done.

    def _lvm(self, program: str, *words: str) -> None:
        self.host.run(write(program, *self.config, *words, timeout=5 * MINUTE))

    def _make(self, program: str, *words: str) -> None:
        """lvcreate, told apart: no room is OutOfSpace, anything else CommandFailed."""
        try:
            self._lvm(program, *words)
        except CommandFailed as error:
            if "space" in error.what.lower() or "threshold" in error.what.lower():
                raise OutOfSpace(
                    f"The thin pool {self.group.name}/{self.pool} has no room: {error.what}"
                ) from error
            raise

    def _row(self, lv: str) -> Row | None:
        return next((row for row in self.rows() if row.name == lv), None)

    def _pool_row(self) -> Row:
        row = self._row(self.pool)
        if row is None:
            raise TwinFailed(f"The volume group {self.group.name} has no thin pool {self.pool}.")
        return row

    def _found(self, snapshot: Snapshot) -> Row | None:
        """The volume's row; None where there is none. Raises TwinFailed where it is another's."""
        row = self._row(snapshot.lv)
        if row is None:
            return None
        on_disk = read_tags(self.group.name, row.name, row.tags)
        if on_disk is None or (on_disk.run, on_disk.role) != (snapshot.run, snapshot.role):
            whose = f"the {snapshot.role.value} of {snapshot.run}"
            raise TwinFailed(f"{self.group.name}/{snapshot.lv} exists and is not {whose}.")
        return row

    def _require(self, snapshot: Snapshot) -> Row:
        row = self._found(snapshot)
        if row is None:
            raise TwinFailed(f"{self.group.name}/{snapshot.lv} does not exist.")
        return row

    @contextmanager
    def _reserved_metadata(self) -> Iterator[str]:
        """The pool's metadata device while it holds a snapshot of its metadata (thin-provisioning.rst)."""
        pool = f"{self.group.name}/{self.pool}"
        if not self._pool_row().active:
            self._lvm("lvchange", "-ay", "-K", pool)
        node = mapper_path(self.group.name, self.pool)
        message = ("dmsetup", "message", f"{node}-tpool", "0")
        # A reservation left by a run that was cut short is stale: drop it. There is none usually.
        self.host.run(write(*message, "release_metadata_snap", timeout=MINUTE, ok=frozenset({0, 1})))
        self.host.run(write(*message, "reserve_metadata_snap", timeout=MINUTE))
        try:
            yield f"{node}_tmeta"
        finally:
            self.host.run(write(*message, "release_metadata_snap", timeout=MINUTE))
