"""One LVM thin pool: what LVM says of it and of its volumes, and how LVM is told to do something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.errors import CommandFailed, TwinFailed
from appliance.host.run import read, write
from appliance.model.machine import mapper_path
from appliance.volumes.base import Difference, Headroom, Snapshot, Use
from appliance.volumes.lvm_group import LvmGroup
from appliance.volumes.lvm_report import Row
from appliance.volumes.pool_status import parse_pool_status
from appliance.volumes.thin_delta import parse_delta

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class ThinPool(LvmGroup):
    """The thin pool `pool` of the group."""

    pool: str

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

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        node = f"{mapper_path(self.group.name, self.pool)}-tpool"
        status = self.host.run(read("dmsetup", "status", "--noflush", node, timeout=MINUTE, often=True))
        return (Use("pool", parse_pool_status(status.stdout)),)

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

    @property
    def place(self) -> str:
        return f"The thin pool {self.path(self.pool)}"

    def _pool_row(self) -> Row:
        row = self._row(self.pool)
        if row is None:
            raise TwinFailed(f"The volume group {self.group.name} has no thin pool {self.pool}.")
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
