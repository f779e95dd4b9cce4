"""What the parts above ask of each kind of storage. `choose.py` names the module that answers for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from appliance.host.run import Host
from appliance.model.machine import InstalledSystem, Machine, VolumeGroup
from appliance.volumes.base import SnapshotStore
from appliance.volumes.copied import Tell, nobody_listens


@dataclass(frozen=True, slots=True)
class Traits:
    """What a kind of storage is like, where a run on it goes another way than on the others.

    `place` is where snapshots are made, as a person calls it.
    """

    place: str
    one_volume: bool = False
    """Work, sealed and trial volume are one volume under one name."""
    shares_blocks: bool = False
    """A kept system stands on its origin until that is retired."""
    beside: bool = False
    """The trial volume is a partition of its own, with a file system of its own."""
    hidden: bool = False
    """The machine's own start leaves a trial volume down until it is shown."""
    copies: bool = False
    """Twins write to copies, for which room is made first."""
    repairable: bool = False
    """A copy can be mended: seen on a machine."""


@dataclass(frozen=True, slots=True)
class ProbedRoom:
    """Where the snapshots of a system grow ("vg0/pool"), and how many bytes may still be written there."""

    pool: str
    free: int


class Kind(Protocol):
    """One kind of storage, as the machine was probed: a module that answers. What it says is pure.

    All but `why_not` are asked only where that says nothing.
    """

    @property
    def TRAITS(self) -> Traits: ...

    def why_not(self, machine: Machine, system: InstalledSystem) -> tuple[str, ...]:
        """Full sentences why no store fits this system, whatever room there is; empty where one does."""

    def room(self, machine: Machine, system: InstalledSystem) -> ProbedRoom:
        """The room for snapshots."""

    def why_no_room(self, machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
        """Full sentences why a run that writes `expected` bytes can not be kept in that room."""

    def lacking_bytes(self, machine: Machine, system: InstalledSystem, expected: int) -> int:
        """How many bytes that room lacks for it; 0 where it fits."""

    def store(
        self,
        host: Host,
        machine: Machine,
        system: InstalledSystem,
        run: str,
        expected: int,
        tell: Tell = nobody_listens,
    ) -> SnapshotStore:
        """The store of `run`, which writes `expected` bytes: both matter where twins work on copies.

        `tell` hears how far it is where what was sealed is copied.
        """


def group_of(machine: Machine, system: InstalledSystem) -> VolumeGroup:
    """The group of the root; a `Kind` is asked for more only where it is there."""
    group = machine.group(system.root.group)
    assert group is not None, system.root.group
    return group


def no_group(system: InstalledSystem) -> str:
    return f"The volume group {system.root.vg} of the root volume was not found."
