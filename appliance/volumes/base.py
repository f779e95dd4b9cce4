"""What a snapshot is, and what every storage must be able to do with one.

All names come from the plan; a store never invents one. What is on the disk (names, tags) is the truth: no
method remembers anything between two calls.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from appliance.model.plan import FULL


class SnapshotRole(enum.Enum):
    """What a volume of ours is for. The value is what stands in its tag."""

    BASE = "base"
    WORK = "work"
    SEALED = "sealed"
    TRIAL = "trial"
    PROOF = "proof"
    SET_BASE = "set-base"
    SET_WORK = "set-work"
    SET_SEALED = "set-sealed"
    SET_TRIAL = "set-trial"
    SET_PROOF = "set-proof"
    SET_KEPT = "set-kept"
    SCRATCH = "scratch"
    DATA_WORK = "data-work"
    DATA_PROOF = "data-proof"
    DATA_BEFORE = "data-before"
    SAFETY = "safety"
    UNDONE = "undone"
    STATE = "state"
    KEPT = "kept"
    PREVIOUS = "previous"
    EMPTIED = "emptied"


BESIDE = {
    SnapshotRole.BASE: SnapshotRole.SET_BASE,
    SnapshotRole.WORK: SnapshotRole.SET_WORK,
    SnapshotRole.SEALED: SnapshotRole.SET_SEALED,
    SnapshotRole.TRIAL: SnapshotRole.SET_TRIAL,
    SnapshotRole.PROOF: SnapshotRole.SET_PROOF,
}
"""What a volume of the set beside the root is for, where the root's is for the key."""

READ_ONLY = frozenset(
    {
        SnapshotRole.BASE,
        SnapshotRole.SEALED,
        SnapshotRole.SET_BASE,
        SnapshotRole.SET_SEALED,
        SnapshotRole.SAFETY,
        SnapshotRole.UNDONE,
    }
)
"""Roles whose volumes are never written after they were made."""

VALUED = frozenset(
    {
        SnapshotRole.TRIAL,
        SnapshotRole.KEPT,
        SnapshotRole.SET_TRIAL,
        SnapshotRole.SET_KEPT,
        SnapshotRole.PREVIOUS,
        SnapshotRole.EMPTIED,
        SnapshotRole.SAFETY,
        SnapshotRole.UNDONE,
        SnapshotRole.STATE,
    }
)
"""Roles that a machine may boot from, or that hold what a person may want back: never an orphan."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A volume of ours. `vg`, `lv` and `origin` are names without a path; `origin` is the LV it is taken of.

    Scratch volumes have no origin. `run` is the run's name ("tb1").
    """

    vg: str
    lv: str
    origin: str
    run: str
    role: SnapshotRole


@dataclass(frozen=True, slots=True)
class PutBack:
    """A data volume that becomes again what `safety` was taken of; `undone` keeps what it is until then."""

    safety: Snapshot
    undone: Snapshot

    @property
    def origin(self) -> str:
        """The data volume's own name."""
        return self.safety.origin


def bytes_to_mark(size: int, percent: float) -> int:
    """What may still be written to a room of `size` bytes, `percent` of it used, before it is FULL."""
    return max(0, int(size * (FULL - percent) / 100.0))


@dataclass(frozen=True, slots=True)
class Headroom:
    """Free space where snapshots grow. Sizes in bytes, percentages 0 to 100 of the pool.

    `kind` is what a person calls the room: the thin pool `pool`, the volume group `pool`.
    """

    pool: str
    data_size: int
    data_percent: float
    metadata_size: int
    metadata_percent: float
    vg_free: int
    kind: str = "thin pool"

    @property
    def data_free(self) -> int:
        return int(self.data_size * (100.0 - self.data_percent) / 100.0)

    @property
    def free_to_mark(self) -> int:
        """Bytes that may still be written before the data is FULL; 0 where it is."""
        return bytes_to_mark(self.data_size, self.data_percent)

    @property
    def fullest(self) -> float:
        """The percentage that runs out first: data or metadata."""
        return max(self.data_percent, self.metadata_percent)


@dataclass(frozen=True, slots=True)
class Use:
    """How full something is that a twin writes to: `percent` of `what`, as a person calls it.

    `fills`: whether it may become full; false where it has room for whatever is written.
    """

    what: str
    percent: float
    fills: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """What two volumes do not share: `bytes` in whole blocks of `block` bytes each."""

    bytes: int
    block: int

    def __bool__(self) -> bool:
        return self.bytes > 0


def too_little_room(pool: str, expected: int, free: int, kind: str = "thin pool") -> str:
    """The sentence where a run writes more (`expected` bytes) than is `free` below FULL."""
    return (
        f"This run is expected to write about {expected >> 20} MiB into the {kind} {pool}, which has "
        f"{free >> 20} MiB free up to the mark of {FULL:.0f} %: retire volumes that are no longer wanted, "
        f"or give the {kind.split()[-1]} more room."
    )


def nobody_writes() -> None:
    """For a volume that nobody writes to while it is sealed."""


class EveryStartNamesOne:
    """The part of a store where no start leaves open which volume is its root."""

    __slots__ = ()

    def is_default(self, lv: str) -> bool:
        return False

    def make_default(self, lv: str) -> None:
        return None


class WrittenByNobodyHere:
    """The part of a store whose origins hold no file of a boot loader."""

    __slots__ = ()

    def our_writes(self, origin: str) -> AbstractContextManager[None]:
        return nullcontext()


class RehearsalStore(Protocol):
    """What a rehearsal needs of a store, whether anything of it is kept or not.

    Every method may be called again after it was cut short. All raise CommandFailed when a program fails.
    None changes a volume that is not ours.

    `origin_stack` are the kinds of volumes (LVM's segment types) that what is left behind puts under the
    installed system: its own initrds must know them before the first snapshot is taken.
    """

    @property
    def origin_stack(self) -> tuple[str, ...]: ...

    def headroom(self) -> Headroom:
        """Free space as the storage itself says. Brings the pool up where it is not."""

    def uses(self, root: Snapshot) -> tuple[Use, ...]:
        """How full is what a twin on `root` writes to, cheap enough to be asked every second; pool up.

        Nothing is said of what is not there yet.
        """

    def create(self, snapshot: Snapshot, size: int = 0) -> None:
        """Take `snapshot` of its origin, or make an empty volume of `size` virtual bytes for SCRATCH.

        Nothing happens where it is there already. Raises TwinFailed where the name belongs to somebody
        else, OutOfSpace where the storage has no room. The volume is not active afterwards.
        """

    def exists(self, snapshot: Snapshot) -> bool:
        """Whether a volume of ours with this name, run and role is there."""

    def activate(self, snapshot: Snapshot) -> str:
        """Bring the volume up and return its device path."""

    def deactivate(self, snapshot: Snapshot) -> None:
        """Take the volume down; nothing happens where it is down or gone."""

    def seal(self, work: Snapshot, sealed: Snapshot, stop: Callable[[], None] = nobody_writes) -> None:
        """Take the read-only `sealed` of `work`, which may be in use and should be frozen.

        Where both are one volume, or the storage takes no snapshot of one in use, `stop` is called first:
        whoever writes `work` never writes it again.
        """

    def device(self, snapshot: Snapshot) -> str:
        """The device path the volume has while it is active."""

    def options(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Mount options that say which part of that device is meant; empty where it is all of it."""

    def delete(self, snapshot: Snapshot) -> None:
        """Remove a volume of ours; nothing happens where it is gone. Raises TwinFailed if it is not ours.

        Of a PREVIOUS volume that the kept one still stands on, all that could be booted or mounted goes, and
        `settle` does the rest.
        """

    def release(self) -> None:
        """Take every volume of ours and the pool down, so that a power cut finds them closed."""


class SnapshotStore(RehearsalStore, Protocol):
    """Snapshots on one kind of storage of the machine, from which it can boot.

    None of the methods changes a volume without our tag, but `settle`, `adopt` and `put_back`.

    `boot_stack` are the kinds of volumes between a trial volume and its disk: the initrd that boots it must
    know them.
    """

    @property
    def boot_stack(self) -> tuple[str, ...]: ...

    def why_not(self, expected_bytes: int) -> tuple[str, ...]:
        """Full sentences why a run that writes `expected_bytes` can not be kept here; empty where it can.

        Judges the probed machine alone: no command runs.
        """

    def changed_since(self, origin: str, base: Snapshot) -> Difference:
        """What the origin was written since `base` was taken of it. Nothing means: not one block.

        It may be more than is said, never less, where `base` has no room for all of it.
        """

    def our_writes(self, origin: str) -> AbstractContextManager[None]:
        """While it is entered we write to `origin`, and nobody else does: what was unchanged since a base
        before is so afterwards. Cut short, it has changed."""

    def adopt(self, lv: str, run: str) -> Snapshot:
        """Tag the installed root volume as PREVIOUS, so that `delete` may take it.

        Only for *retire*, after the person named it. A volume that is ours already is returned as it is.
        """

    def present(self, lv: str) -> bool:
        """Whether a volume of that name with something in it is on the disk, whoever it belongs to."""

    def activate_installed(self, lv: str) -> str:
        """Bring a system's own root volume up to be read, and return its device path."""

    def options_installed(self, lv: str) -> tuple[str, ...]:
        """Mount options that say which part of that device it is, as `options` does."""

    def deactivate_installed(self, lv: str) -> None:
        """Take it down again; nothing happens where it is down or gone."""

    def disown(self, lv: str) -> None:
        """Remove our tags from the volume that has its first name back: it is the machine's own again."""

    def show(self, trial: Snapshot) -> None:
        """Let the machine's own start bring the trial volume up, as the root it may boot from must be.

        Until then it stays down there: it has the same file-system UUID as the installed root volume. Where
        the storage has no such mark, nothing happens, and `shown` is true.
        """

    def hide(self, trial: Snapshot) -> None:
        """Take that back; nothing happens where the volume is gone."""

    def shown(self, trial: Snapshot) -> bool:
        """Whether the machine's own start brings the trial volume up."""

    def keep(self, trial: Snapshot) -> Snapshot:
        """Change the role of the trial volume to KEPT: it is the machine's system. One of the set beside the
        root becomes SET_KEPT."""

    def settle(self, kept: Snapshot, first_name: str) -> None:
        """Give the kept volume the root volume's first name back. That name must be free.

        May take minutes, and goes on where it was cut short.
        """

    def is_default(self, lv: str) -> bool:
        """Whether a start that names no volume takes `lv`; false where every start names one."""

    def make_default(self, lv: str) -> None:
        """From now on it is, in one write. Nothing happens where every start names one."""

    def why_not_put_back(self, data: tuple[PutBack, ...]) -> tuple[str, ...]:
        """Full sentences why these data volumes can not be put back; empty where they can.

        Asks the disk, with the pool up; `undone` is not taken yet.
        """

    def put_back(self, data: PutBack) -> None:
        """In one write the origin becomes what `safety` is. Its name stays, the name of `safety` goes.

        Raises Refused where `undone` does not hold, block for block, what the origin is at this moment;
        CommandFailed where the origin is in use.
        """

    def is_put_back(self, data: PutBack) -> bool:
        """Whether `put_back` came to its end: `safety` is used up, `undone` is there."""

    def ours(self) -> tuple[Snapshot, ...]:
        """Every volume on the disk that carries our tag, sorted by name."""

    def orphans(self, known: frozenset[str]) -> tuple[Snapshot, ...]:
        """Volumes of ours whose run is not in `known` and whose role is not VALUED."""
