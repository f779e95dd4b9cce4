"""One volume group: what LVM says of its volumes, and how LVM is told to do something."""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.errors import CommandFailed, OutOfSpace, TwinFailed
from appliance.host.run import Host, read, write
from appliance.model.machine import Machine, VolumeGroup, mapper_path
from appliance.volumes.base import (
    VALUED,
    EveryStartNamesOne,
    Snapshot,
    SnapshotRole,
    WrittenByNobodyHere,
)
from appliance.volumes.lvm_report import COLUMNS, Row, parse_rows
from appliance.volumes.tags import OURS, add_tags, is_ours, read_tags, tags_of

MINUTE = 60.0


def every_pv(machine: Machine) -> tuple[str, ...]:
    """The device paths of all physical volumes of the machine, the whole of what LVM may see."""
    return tuple(pv.path for group in machine.volume_groups for pv in group.pvs)


@dataclass(frozen=True, slots=True)
class LvmGroup(EveryStartNamesOne, WrittenByNobodyHere):
    """The volumes of `group`.

    `config` is probe.lvm.lvm_config of the machine's own PVs: LVM sees nothing else.
    """

    host: Host
    group: VolumeGroup
    config: tuple[str, ...]

    # What the disk says.

    def rows(self) -> tuple[Row, ...]:
        """Every visible volume of the group as LVM reports it."""
        report = self.host.run(
            read("lvs", *self.config, "--reportformat", "json", "--units", "b", "--nosuffix",
                 "-o", ",".join(COLUMNS), self.group.name, timeout=3 * MINUTE)
        )  # fmt: skip
        return parse_rows(report.stdout)

    def ours(self) -> tuple[Snapshot, ...]:
        found = (self.tagged(row) for row in self.rows())
        return tuple(sorted((s for s in found if s is not None), key=lambda s: s.lv))

    def orphans(self, known: frozenset[str]) -> tuple[Snapshot, ...]:
        return tuple(s for s in self.ours() if s.run not in known and s.role not in VALUED)

    def tagged(self, row: Row) -> Snapshot | None:
        """What the volume's tags say it is; None for a volume that is not ours."""
        return read_tags(self.group.name, row.name, row.tags)

    def options(self, snapshot: Snapshot) -> tuple[str, ...]:
        return ()

    # What changes tags alone.

    def keep(self, trial: Snapshot) -> Snapshot:
        beside = trial.role in (SnapshotRole.SET_TRIAL, SnapshotRole.SET_KEPT)
        kept = replace(trial, role=SnapshotRole.SET_KEPT if beside else SnapshotRole.KEPT)
        row = self._row(trial.lv)
        if row is None or self.tagged(row) != kept:
            self._retag(self._require(trial), kept)
        return kept

    def disown(self, lv: str) -> None:
        row = self._row(lv)
        if row is None:
            raise TwinFailed(f"{self.path(lv)} does not exist.")
        if words := to_the_machines_own(row):
            self._lvm("lvchange", *words, self.path(lv))

    def _retag(self, row: Row, becomes: Snapshot, *more: str) -> None:
        """One command: from then on the volume is what `becomes` says."""
        wanted = tags_of(becomes)
        gone = [
            w for tag in sorted(row.tags) if is_ours(tag) and tag not in wanted for w in ("--deltag", tag)
        ]
        self._lvm("lvchange", *gone, *add_tags(becomes), *more, self.path(row.name))

    def _adopted(self, row: Row, run: str) -> Snapshot:
        """The volume as one of ours, tagged PREVIOUS where it was not."""
        if OURS in row.tags:
            found = self.tagged(row)
            if found is None:
                raise TwinFailed(f"{self.path(row.name)} carries a tag of ours that is not understood.")
            return found
        previous = Snapshot(self.group.name, row.name, "", run, SnapshotRole.PREVIOUS)
        self._lvm("lvchange", *add_tags(previous), self.path(row.name))
        return previous

    # How it is done.

    def path(self, lv: str) -> str:
        """The volume as LVM's programs call it."""
        return f"{self.group.name}/{lv}"

    def mapper(self, lv: str) -> str:
        return mapper_path(self.group.name, lv)

    def _lvm(self, program: str, *words: str, timeout: float = 5 * MINUTE) -> None:
        self.host.run(write(program, *self.config, *words, timeout=timeout))

    @property
    def place(self) -> str:
        """Where new volumes find their room, as a sentence begins with it."""
        return f"The volume group {self.group.name}"

    def _make(self, *words: str) -> None:
        """lvcreate, told apart: no room is OutOfSpace, anything else CommandFailed."""
        try:
            self._lvm("lvcreate", *words)
        except CommandFailed as error:
            if "space" in error.what.lower() or "threshold" in error.what.lower():
                raise OutOfSpace(f"{self.place} has no room: {error.what}") from error
            raise

    def _row(self, lv: str) -> Row | None:
        return next((row for row in self.rows() if row.name == lv), None)

    def _found(self, snapshot: Snapshot) -> Row | None:
        """The volume's row; None where there is none. Raises TwinFailed where it is another's."""
        row = self._row(snapshot.lv)
        if row is None:
            return None
        on_disk = self.tagged(row)
        if on_disk is None or (on_disk.run, on_disk.role) != (snapshot.run, snapshot.role):
            raise self._not_that(snapshot)
        return row

    def _not_that(self, snapshot: Snapshot) -> TwinFailed:
        whose = f"the {snapshot.role.value} of {snapshot.run}"
        return TwinFailed(f"{self.path(snapshot.lv)} exists and is not {whose}.")

    def _require(self, snapshot: Snapshot) -> Row:
        row = self._found(snapshot)
        if row is None:
            raise TwinFailed(f"{self.path(snapshot.lv)} does not exist.")
        return row


def to_the_machines_own(row: Row) -> list[str]:
    """What lvchange(8) must be told so that a volume with our tags is the machine's own again.

    Tags, permission and skip flag are what we gave it. Without our tags they are what an admin gave it.
    """
    words = [word for tag in sorted(row.tags) if is_ours(tag) for word in ("--deltag", tag)]
    if words and not row.writable:
        words.append("-prw")
    if words and row.skip_activation:
        words.append("-kn")
    return words
