"""Snapshots of a plain (linear) LVM volume, in the free room of its volume group.

LVM takes no snapshot of a snapshot, so work, sealed and trial volume are stages of one volume, told apart by
its role. Its store covers its origin: it can not fill, whoever writes what. A second, small snapshot (base)
is the witness that the origin was not written: it is read-only, so every block in its store is one of the
origin's. Everything else is thrown away again and lies in plain volumes of its own (overlay.py).

A snapshot and its origin are up or down together, with every other snapshot of that origin. As long as they
stay, what the installed system writes is copied to each of them first, which makes its writes slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import CommandFailed, Refused, TwinFailed
from appliance.volumes.base import (
    READ_ONLY,
    Difference,
    Headroom,
    PutBack,
    Snapshot,
    SnapshotRole,
    Use,
    nobody_writes,
)
from appliance.volumes.cow import CHUNK, CowUse, cover_bytes
from appliance.volumes.lvm_report import Row
from appliance.volumes.overlay import SUFFIX
from appliance.volumes.tags import add_tags
from appliance.volumes.thick_room import WITNESS, why_not
from appliance.volumes.thick_volumes import IN_MEMORY, MERGE_LIMIT, ThickVolumes, half_made


@dataclass(frozen=True, slots=True)
class LvmThickStore(ThickVolumes):
    """SnapshotStore beside the linear volume `root` of `group`."""

    root: str

    @property
    def boot_stack(self) -> tuple[str, ...]:
        return ("snapshot",)

    @property
    def origin_stack(self) -> tuple[str, ...]:
        return ("snapshot",)

    # What the probed machine says, without a command.

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        """The root's own store covers it, so what is written there (`expected_bytes`) always fits."""
        return why_not(self.group, self.root)

    # What the disk says.

    def headroom(self) -> Headroom:
        free = next((row.vg_free for row in self.rows()), 0)
        return Headroom(
            pool=self.group.name,
            data_size=free,
            data_percent=self.fullest(),
            metadata_size=0,
            metadata_percent=0.0,
            vg_free=free,
            kind="volume group",
        )

    def fullest(self) -> float:
        """Of the throw-away volumes: nothing else of ours can fill. 0 where none is up."""
        return max((use.percent for use in self._thrown_away(self._uses())), default=0.0)

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        """The snapshot's own store, which covers its origin, and what the twin writes elsewhere."""
        found = self._uses()
        own = found.get(self.device(root).rpartition("/")[2]) if root.role not in IN_MEMORY else None
        beside = [use.percent for use in self._thrown_away(found)]
        return (
            *((Use("snapshot", own.percent, fills=False),) if own is not None else ()),
            *((Use("scratch", max(beside)),) if beside else ()),
        )

    def _thrown_away(self, uses: dict[str, CowUse]) -> tuple[CowUse, ...]:
        """Those of overlays in this group."""
        begins = self.mapper("").rpartition("/")[2]
        return tuple(u for n, u in uses.items() if n.startswith(begins) and n.endswith(SUFFIX))

    def ours(self) -> tuple[Snapshot, ...]:
        """What was emptied is nobody's to delete: the kept volume goes back into it."""
        return tuple(s for s in ThickVolumes.ours(self) if s.role is not SnapshotRole.EMPTIED)

    def exists(self, snapshot: Snapshot) -> bool:
        row = self._found(snapshot)
        return row is not None and not half_made(snapshot, row)

    def present(self, lv: str) -> bool:
        row = self._row(lv)
        return row is not None and not self._is_emptied(row)

    def device(self, snapshot: Snapshot) -> str:
        at = self.mapper(snapshot.lv)
        return f"{at}{SUFFIX}" if snapshot.role in IN_MEMORY else at

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        row = self._require(base)
        if row.origin != origin:
            raise TwinFailed(f"{self.path(base.lv)} is no snapshot of {self.path(origin)}.")
        was_up = row.active
        self.activate(base)
        use = self._uses().get(self.mapper(base.lv).rpartition("/")[2])
        if not was_up:
            self.deactivate(base)
        if use is None:
            raise CommandFailed(f"{self.path(base.lv)} does not say what it holds.")
        # A witness that overflowed has seen at least as much as its store holds.
        return Difference(bytes=min(use.written, row.size), block=row.chunk_size or CHUNK)

    # What changes the disk.

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        row = self._found(snapshot)
        if row is not None and not half_made(snapshot, row):
            return
        if row is not None:
            self._lvm("lvremove", "-f", self.path(snapshot.lv))
        elif snapshot.role is SnapshotRole.TRIAL and self._advance(snapshot):
            return
        words = ("-y", "-n", snapshot.lv, *add_tags(snapshot))
        if snapshot.role in IN_MEMORY:
            self._make(*words, "-Wy", "-Zy", "-L", f"{self._overlay_bytes(snapshot)}b", self.group.name)
            self._lvm("lvchange", "-ky", self.path(snapshot.lv))
            self._lvm("lvchange", "-an", self.path(snapshot.lv))
            return
        origin, witness = self._true_origin(snapshot), snapshot.role is SnapshotRole.BASE
        size = WITNESS if witness else cover_bytes(origin.size, self.group.extent_size)
        kind = ["-s", "-c", f"{CHUNK >> 10}k", "-L", f"{size}b"]
        kind += ["-pr"] if snapshot.role in READ_ONLY else []
        self._make(*words, *kind, self.path(origin.name))
        self._family_down(origin.name)

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        if sealed.origin != work.lv or sealed.lv != work.lv:
            raise TwinFailed(
                f"{sealed.lv} is planned as a snapshot of {sealed.origin}; here it is {work.lv} itself."
            )
        if self._found(sealed) is not None:
            return
        row = self._require(work)
        stop()
        self._retag(row, sealed, *(("-pr",) if row.writable else ()))

    def activate(self, snapshot: Snapshot) -> str:
        row = self._require(snapshot)
        if snapshot.role not in IN_MEMORY:
            self._lvm("lvchange", "-ay", "-K", "-y", self.path(row.name))
            return self.device(snapshot)
        if snapshot.origin:
            self._lvm("lvchange", "-ay", "-K", "-y", self.path(snapshot.origin))
        # -K: our volumes carry the skip flag so that the installed system leaves them alone.
        self._lvm("lvchange", "-ay", "-K", self.path(row.name))
        return self._overlay(snapshot).up()

    # A thick snapshot comes up with its origin, whatever flag it has.

    def show(self, trial: Snapshot) -> None:
        self._require(trial)

    def hide(self, trial: Snapshot) -> None:
        self._found(trial)

    def shown(self, trial: Snapshot) -> bool:
        self._require(trial)
        return True

    def deactivate(self, snapshot: Snapshot) -> None:
        row = self._found(snapshot)
        if row is None:
            return
        if snapshot.role not in IN_MEMORY:
            self._family_down(row.origin or row.name)
        elif row.active:
            self._overlay(snapshot).down()
            self._lvm("lvchange", "-an", self.path(row.name))
            self.deactivate_installed(snapshot.origin)

    def options_installed(self, lv: str) -> tuple[str, ...]:
        return ()

    def deactivate_installed(self, lv: str) -> None:
        row = self._row(lv)
        if row is not None:
            self._family_down(row.origin or lv)

    def adopt(self, lv: str, run: str) -> Snapshot:
        row = self._row(lv)
        if row is None or row.segtype != "linear" or row.origin:
            raise TwinFailed(f"{self.path(lv)} is no linear volume of {self.group.name}.")
        return self._adopted(row, run)

    def delete(self, snapshot: Snapshot) -> None:
        row = self._found(snapshot)
        on_disk = self.tagged(row) if row is not None else None
        if row is None or on_disk is None or on_disk.role is not snapshot.role:
            return  # gone, or at a later stage
        if snapshot.role is SnapshotRole.EMPTIED:
            return  # what the kept volume goes back into, or went
        standing = [r for r in self.rows() if r.origin == row.name]
        if snapshot.role is SnapshotRole.PREVIOUS and any(self._is_kept(r) for r in standing):
            self._empty(row, snapshot)
            return
        if standing:
            # lvremove would take every one of them along.
            names = ", ".join(r.name for r in standing)
            raise TwinFailed(f"{self.path(row.name)} is not deleted: {names} stands on it.")
        if snapshot.role is SnapshotRole.SEALED and row.in_use:
            # Its twin still stands on it: what is undone is the seal, and the work volume goes with the twin.
            work = Snapshot(snapshot.vg, row.name, snapshot.origin, snapshot.run, SnapshotRole.WORK)
            self._retag(row, work, *(() if row.writable else ("-prw",)))
            return
        self.deactivate(snapshot)
        self._lvm("lvremove", "-f", self.path(row.name))

    def settle(self, kept: Snapshot, first_name: str) -> None:
        rows = {row.name: row for row in self.rows()}
        first = rows.get(first_name)
        if first is None or not self._is_emptied(first):
            if kept.lv in rows and first is not None:
                raise Refused(
                    (f"The name {self.path(first_name)} is still taken: delete that volume first.",)
                )
            raise TwinFailed(f"{self.path(first_name)} is not what {self.path(kept.lv)} goes back into.")
        self.activate_installed(first_name)
        if kept.lv in rows:
            row = self._require(kept)
            if row.origin != first_name:
                raise TwinFailed(f"{self.path(kept.lv)} is no snapshot of {self.path(first_name)}.")
            self._lvm("lvconvert", "-y", "-i", "2", "--merge", self.path(kept.lv), timeout=MERGE_LIMIT)
        self._await_merge(first_name)
        self._family_down(first_name)

    # Data stays where it is: a system with data on a volume of its own is refused (choose.py).

    def why_not_put_back(self, data: tuple[PutBack, ...]) -> tuple[str, ...]:
        return tuple(
            f"{self.path(each.origin)} is not in a thin pool: it can not be put back." for each in data
        )

    def put_back(self, data: PutBack) -> None:
        raise Refused(self.why_not_put_back((data,)))

    def is_put_back(self, data: PutBack) -> bool:
        return False

    def release(self) -> None:
        rows = self.rows()
        for row in rows:
            found = self.tagged(row)
            # The state volume stays up: the journal on it is being written.
            if row.active and found is not None and found.role in IN_MEMORY:
                self._overlay(found).down()
                self._lvm("lvchange", "-an", self.path(row.name))
        families = {row.origin for row in rows if row.origin and self.tagged(row) is not None}
        families |= {row.name for row in rows if self._is_emptied(row)}
        for origin in sorted(families):
            if any(row.active for row in rows if origin in (row.name, row.origin)):
                self._lvm("lvchange", "-an", "-y", self.path(origin))

    def _true_origin(self, snapshot: Snapshot) -> Row:
        """The volume that a snapshot of `snapshot.origin` is taken of: where that is a base, the base's own.

        Raises TwinFailed where the two are not the same block for block.
        """
        rows = {row.name: row for row in self.rows()}
        asked = rows.get(snapshot.origin)
        if asked is None:
            raise TwinFailed(f"{self.path(snapshot.origin)} does not exist.")
        if not asked.origin:
            return asked
        base = self.tagged(asked)
        if base is None or base.role is not SnapshotRole.BASE or asked.origin not in rows:
            raise TwinFailed(f"LVM takes no snapshot of a snapshot, such as {self.path(asked.name)}.")
        if self.changed_since(asked.origin, base):
            raise TwinFailed(
                f"{self.path(asked.origin)} was written to since {self.path(asked.name)} was taken."
            )
        return rows[asked.origin]
