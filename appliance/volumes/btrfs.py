"""Snapshots of a root that is a btrfs subvolume, on its own file system.

What stays is a subvolume in the folder `twinboot` at the top level. What a twin writes to is a block-level
copy-on-write over the whole partition, kept elsewhere, since a mounted btrfs can not be shared: two devices
with one UUID are one file system to the kernel. So only one of them is ever mounted, and the partition is
written only while no copy stands over it.

The seal: the twin's disk at the moment it was frozen and stopped gets a read-only snapshot of its root, whose
difference to the base goes to a spare part of the room as `btrfs send` describes it. Once the twin's disks
are down it comes home by `btrfs receive`, and the copy is of no more use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import Refused, TwinFailed
from appliance.host import mapper
from appliance.host.files import sync_folder
from appliance.host.run import write
from appliance.model.groups import subvolume_path
from appliance.volumes.base import (
    READ_ONLY,
    VALUED,
    Difference,
    Headroom,
    PutBack,
    Snapshot,
    SnapshotRole,
    Use,
    WrittenByNobodyHere,
    nobody_writes,
)
from appliance.volumes.btrfs_disk import BLOCK, Mounted
from appliance.volumes.btrfs_subvolumes import Subvolumes
from appliance.volumes.btrfs_tags import FOLDER, snapshot_of
from appliance.volumes.cow import SECTOR
from appliance.volumes.elsewhere import ElsewhereStore, prefix_of
from appliance.volumes.overlay import SUFFIX, windows

COPIES = frozenset({SnapshotRole.WORK, SnapshotRole.PROOF, SnapshotRole.SCRATCH})
"""Roles that are thrown away with the run: copies over the partition, and a volume over nothing."""


@dataclass(frozen=True, slots=True)
class BtrfsStore(Subvolumes, WrittenByNobodyHere):
    """SnapshotStore on `disk`, whose root is the subvolume at the path `root`.

    `copies` is where the run's twins have their volumes: over the same device, with a spare part as large as
    what a twin may write.
    """

    copies: ElsewhereStore

    @property
    def boot_stack(self) -> tuple[str, ...]:
        return ()

    @property
    def origin_stack(self) -> tuple[str, ...]:
        return ()

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        """What grows is the copy, whose room was taken. What comes home and does not fit is told then."""
        if self.root:
            return ()
        return (
            f"The root on {self.disk.device} lies at the top level of its file system, which has no name "
            "that a snapshot could take: move it into a subvolume.",
        )

    # What there is.

    def headroom(self) -> Headroom:
        return self.copies.headroom()

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        return self.copies.uses(root)

    def exists(self, snapshot: Snapshot) -> bool:
        if snapshot.role in COPIES:
            self._is_no_subvolume(snapshot)
            return self.copies.exists(snapshot)
        if snapshot.role is SnapshotRole.SEALED and self._described(snapshot).exists():
            return True
        with self.disk.reading() as mounted:
            return self.is_whole(mounted, snapshot)

    def device(self, snapshot: Snapshot) -> str:
        return self.copies.device(snapshot) if snapshot.role in COPIES else self.disk.device

    def options(self, snapshot: Snapshot) -> tuple[str, ...]:
        """A copy shows the whole partition: its root is where the machine's is, or the trial's."""
        match snapshot.role:
            case SnapshotRole.SCRATCH:
                return ()
            case SnapshotRole.WORK:
                return (f"subvol=/{self.root}",)
            case SnapshotRole.PROOF:
                return (f"subvol=/{FOLDER}/{snapshot.origin}",)
        return (f"subvol=/{FOLDER}/{snapshot.lv}",)

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        if self.disk.has_log():
            return Difference(BLOCK, BLOCK)  # who wrote it has run since, and nobody here may read it
        with self.disk.reading() as mounted:
            made = mounted.generations(self.require(mounted, base).path)[1]
            path = self.where(mounted, origin)
            if mounted.generations(path)[0] <= made:
                return Difference(0, BLOCK)
        # How much it is could be counted only by a mount for writing: one block stands for it.
        return Difference(BLOCK, BLOCK)

    def ours(self) -> tuple[Snapshot, ...]:
        with self.disk.reading() as mounted:
            tags = self.tags(mounted).all()
        return tuple(snapshot_of(self.vg, lv, tag) for lv, tag in sorted(tags.items()))

    def orphans(self, known: frozenset[str]) -> tuple[Snapshot, ...]:
        return tuple(s for s in self.ours() if s.run not in known and s.role not in VALUED)

    # What changes something.

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        if snapshot.role in COPIES:
            self._is_no_subvolume(snapshot)
            self.copies.create(snapshot, size)
            return
        if self.exists(snapshot):
            return
        self._bring_home(replace(snapshot, lv=snapshot.origin, role=SnapshotRole.SEALED))
        with self._writing() as mounted:
            self.make(mounted, snapshot, readonly=snapshot.role in READ_ONLY)

    def activate(self, snapshot: Snapshot) -> str:
        """A subvolume is there whenever its file system is."""
        if snapshot.role in COPIES:
            self._is_no_subvolume(snapshot)
            return self.copies.activate(snapshot)
        self._bring_home(snapshot)
        with self.disk.reading() as mounted:
            self.require(mounted, snapshot)
        return self.disk.device

    def deactivate(self, snapshot: Snapshot) -> None:
        if snapshot.role not in COPIES:
            with self.disk.reading() as mounted:
                self.found(mounted, snapshot)
            return
        self._is_no_subvolume(snapshot)
        self._loops_down(snapshot)
        self.copies.deactivate(snapshot)

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        if sealed.origin != work.lv or sealed.lv == work.lv:
            raise TwinFailed(f"{sealed.lv} is planned as a snapshot of {sealed.origin}, not of {work.lv}.")
        if self.exists(sealed):
            return
        if not self.copies.exists(work):
            raise TwinFailed(f"There is no work {work.lv} of {work.run}.")
        stop()
        self.copies.activate(work)
        target = f"{FOLDER}/{sealed.lv}"
        with self._loop(work) as loop, self.disk.writing(loop) as copy:
            if copy.has(target):
                copy.delete(target)  # an attempt that was cut short
            copy.snapshot(self.root, target, readonly=True)
            copy.send(self.tag_at(copy, work.origin).path, target, self._spare_up())
        self.disk.forget()
        self._described(sealed).touch()
        sync_folder(self._described(sealed).parent)

    def delete(self, snapshot: Snapshot) -> None:
        if snapshot.role in COPIES:
            self._is_no_subvolume(snapshot)
            self._loops_down(snapshot)
            self.copies.delete(snapshot)
            return
        with self.disk.reading() as mounted:
            gone = self.found(mounted, snapshot) is None
        if snapshot.role is SnapshotRole.SEALED:
            self._described(snapshot).unlink(missing_ok=True)
        if not gone:
            with self._writing() as mounted:
                self.remove(mounted, snapshot)

    def release(self) -> None:
        """What was sealed and did not come home is lost with the copy, as by a power cut."""
        for name in sorted(mapper.names(self.host)):
            if name.startswith(prefix_of(self.copies.run)) and name.endswith(SUFFIX):
                self._detach(mapper.node(name))
        self.copies.release()

    # From trial to the machine's own.

    def adopt(self, lv: str, run: str) -> Snapshot:
        with self._writing() as mounted:
            return self.adopted(mounted, lv, run)

    def keep(self, trial: Snapshot) -> Snapshot:
        kept = replace(trial, role=SnapshotRole.KEPT)
        with self._writing() as mounted:
            self.becomes_kept(mounted, trial, kept)
        return kept

    def is_default(self, lv: str) -> bool:
        with self.disk.reading() as mounted:
            look = mounted.look()
            return look.default == look.at(self.where(mounted, lv))

    def make_default(self, lv: str) -> None:
        with self._writing() as mounted:
            self.becomes_default(mounted, lv)

    def settle(self, kept: Snapshot, first_name: str) -> None:
        with self._writing() as mounted:
            self.take_first_name(mounted, kept, first_name)

    def disown(self, lv: str) -> None:
        with self._writing() as mounted:
            self.is_machines_own(mounted, lv)

    def present(self, lv: str) -> bool:
        with self.disk.reading() as mounted:
            return mounted.has(self.where(mounted, lv))

    def activate_installed(self, lv: str) -> str:
        return self.disk.device

    def options_installed(self, lv: str) -> tuple[str, ...]:
        return (f"subvol=/{subvolume_path(lv)}",)

    def deactivate_installed(self, lv: str) -> None:
        return None

    # A subvolume is mounted by its name alone, whatever else is there.

    def show(self, trial: Snapshot) -> None:
        with self.disk.reading() as mounted:
            self.require(mounted, trial)

    def hide(self, trial: Snapshot) -> None:
        with self.disk.reading() as mounted:
            self.found(mounted, trial)

    def shown(self, trial: Snapshot) -> bool:
        self.show(trial)
        return True

    # Data and its safety snapshot change places; what was the data goes, `undone` holds it.

    def why_not_put_back(self, data: tuple[PutBack, ...]) -> tuple[str, ...]:
        with self.disk.reading() as mounted:
            return tuple(sentence for each in data for sentence in self.against_data(mounted, each))

    def put_back(self, data: PutBack) -> None:
        with self.disk.reading() as mounted:
            self.require(mounted, data.undone)
            gone = self.found(mounted, data.safety) is None
            changed_places = self.is_data(mounted, data)
        if gone:
            return
        if not changed_places:
            if self.changed_since(data.origin, data.undone):
                since = f"{data.origin} was written to since {data.undone.lv} was taken of it"
                raise Refused((f"{since}: it stays as it is.",))
            with self._writing() as mounted:
                self.becomes_data(mounted, data)
        with self._writing() as mounted:
            self.remove(mounted, data.safety)

    def is_put_back(self, data: PutBack) -> bool:
        return self.exists(data.undone) and not self._has(data.safety)

    # Parts.

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Mounted]:
        """Raises TwinFailed while a copy stands over the partition: it would read what is written."""
        begins = prefix_of(self.copies.run)
        if windows(self.host, self.disk.device):
            raise TwinFailed(f"{self.disk.device} is not written while a copy of it ({begins}*) is up.")
        with self.disk.writing() as mounted:
            yield mounted

    def _has(self, snapshot: Snapshot) -> bool:
        with self.disk.reading() as mounted:
            return self.found(mounted, snapshot) is not None

    def _is_no_subvolume(self, copy: Snapshot) -> None:
        with self.disk.reading() as mounted:
            if mounted.has(self.where(mounted, copy.lv)):
                raise self.not_that(copy)

    def _described(self, sealed: Snapshot) -> Path:
        """There as long as the spare part of the room describes what was sealed, and it is not at home."""
        return self.copies.room.folder / f"{sealed.lv}.{sealed.run}.described"

    def _bring_home(self, sealed: Snapshot) -> None:
        """Nothing happens for anything that is not described. The copy goes: the disk is written below it."""
        described = self._described(sealed)
        if sealed.role is not SnapshotRole.SEALED or not described.exists():
            return
        for name in sorted(self._works()):
            work = Snapshot(self.vg, name, "", sealed.run, SnapshotRole.WORK)
            self._loops_down(work)
            self.copies.delete(work)
        with self._writing() as mounted:
            self.receive(mounted, sealed, self._spare_up())
        self._spare_down()
        described.unlink()

    def _works(self) -> set[str]:
        ends = f".{SnapshotRole.WORK.value}"
        return {
            file.name.removesuffix(ends)
            for file in self.copies.room.folder.iterdir()
            if file.name.endswith(ends)
        }

    @contextlib.contextmanager
    def _loop(self, copy: Snapshot) -> Iterator[str]:
        """A way to mount a copy that the twin's disk stands on, which nobody else may open for himself."""
        device = self.copies.device(copy)
        self._detach(device)
        # The twin has written past what the kernel holds of the copy in memory.
        self.host.run(write("blockdev", "--flushbufs", device, timeout=mapper.LIMIT))
        words = ("--find", "--show", "--direct-io=on", device)
        said = self.host.run(write("losetup", *words, timeout=mapper.LIMIT))
        try:
            yield said.stdout.strip()
        finally:
            self._detach(device)

    def _loops_down(self, copy: Snapshot) -> None:
        if self.copies.exists(copy):
            self._detach(self.copies.device(copy))

    def _detach(self, device: str) -> None:
        for loop in windows(self.host, device, readonly=False):
            self.host.run(write("losetup", "-d", loop, timeout=mapper.LIMIT))

    @property
    def _spare(self) -> str:
        return f"{prefix_of(self.copies.run)}spare"

    def _spare_up(self) -> str:
        if self._spare in mapper.names(self.host):
            return mapper.node(self._spare)
        room, length = self.copies.room, self.copies.spare
        line = f"0 {length // SECTOR} linear {room.up()} {(room.size - length) // SECTOR}"
        return mapper.create(self.host, self._spare, (line,))

    def _spare_down(self) -> None:
        if self._spare in mapper.names(self.host):
            mapper.remove(self.host, self._spare)
