"""One LVM thin pool: what LVM says of it and of its volumes, and how LVM is told to do something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.errors import CommandFailed, OutOfSpace, TwinFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import VolumeGroup, mapper_path
from appliance.volumes.base import Difference, Headroom, Snapshot
from appliance.volumes.lvm_report import COLUMNS, Row, parse_rows
from appliance.volumes.pool_status import parse_pool_status
from appliance.volumes.tags import read_tags
from appliance.volumes.thin_delta import parse_delta

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ThinPool:
    """The thin pool `pool` of `group`.

    `config` is probe.lvm.lvm_config of the machine's own PVs: LVM sees nothing else.
    """

    host: Host
    group: VolumeGroup
    pool: str
    config: tuple[str, ...]

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

    # What the verbs of a store are made of.

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
