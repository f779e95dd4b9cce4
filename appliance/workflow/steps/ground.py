"""What the steps of one run stand on: the plan, its names as snapshots, and where results are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from appliance.boot import choose
from appliance.boot.place import BootPlace
from appliance.host.run import Host
from appliance.model.groups import subvolume_path
from appliance.model.machine import InstalledSystem, Layer, Machine, Volume, mapper_path
from appliance.model.partitions import uuid_called
from appliance.model.plan import Names, Plan, PlannedStep, Verb
from appliance.volumes.base import (
    BESIDE,
    Difference,
    PutBack,
    RehearsalStore,
    Snapshot,
    SnapshotRole,
    SnapshotStore,
)
from appliance.volumes.choose import choose_elsewhere, choose_room, choose_store, traits
from appliance.volumes.copied import Tell, nobody_listens
from appliance.volumes.elsewhere import ElsewhereStore
from appliance.workflow.elsewhere import place_of
from appliance.workflow.retirement import first_name
from appliance.workflow.runner import Context
from appliance.workflow.workplace import Workplace


def boot_place(machine: Machine, system: InstalledSystem, runtime: Path) -> BootPlace:
    """Where the machine's own loader reads. Raises BootConfigFailed where that has no file system."""
    return choose.boot_place(machine, system, runtime / "boot")


def standing_on(system: InstalledSystem, others: Mapping[str, str]) -> InstalledSystem:
    """The same system on other volumes of its volume group: `others` names them by those they stand for."""

    def other(volume: Volume) -> Volume:
        if not volume.member or volume.member not in others or volume.group != system.root.group:
            return volume
        name = others[volume.member]
        if volume.subvolume:
            return replace(volume, subvolume=name)
        if volume.partition:
            # In a twin its copy takes the place of that partition; on the disk it is found by its name.
            return replace(volume, partition=name, fsuuid=uuid_called(volume.partition, volume.fsuuid, name))
        return replace(volume, lv=name, device=mapper_path(volume.vg, name))

    volumes = tuple(other(volume) for volume in system.volumes)
    return replace(system, root=other(system.root), volumes=volumes)


@dataclass(frozen=True, slots=True)
class Ground:
    """Everything follows from the plan; `live` holds what dies with the process, such as a running twin."""

    whole: Plan
    work: Workplace
    live: dict[str, object] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> Names:
        return self.whole.names

    @property
    def system(self) -> InstalledSystem:
        return self.whole.system

    @property
    def repairs(self) -> bool:
        """Whether this run repairs a copy: then there may be no control boot to compare with."""
        return self.whole.request.verb is Verb.REPAIR

    @property
    def encrypted(self) -> tuple[Layer, ...]:
        """What beneath the root's volume group asks for a passphrase at every start of the machine."""
        group = self.machine.vg(self.system.root.vg)
        return self.machine.encrypted_under(group) if group is not None else ()

    @property
    def rehearses_only(self) -> bool:
        """Whether the copy lies elsewhere than on this machine and is thrown away at the end."""
        return self.whole.request.rehearse_only

    @property
    def machine(self) -> Machine:
        return self.work.machine

    def copies(self, host: Host) -> RehearsalStore:
        """Where the twins of this run have their volumes."""
        return self.elsewhere(host) if self.rehearses_only else self.store(host)

    def elsewhere(self, host: Host) -> ElsewhereStore:
        """The store of a run that is rehearsed only."""
        place = place_of(self.whole, self.work)
        return choose_elsewhere(host, self.machine, self.system, self.names.run, place, self.whole.copy_bytes)

    def room(self, host: Host) -> ElsewhereStore:
        """What the twins of this run write to, where room for it is made first."""
        if self.rehearses_only:
            return self.elsewhere(host)
        return choose_room(host, self.machine, self.system, self.names.run, self.whole.expected_bytes)

    def store(self, host: Host, tell: Tell = nobody_listens) -> SnapshotStore:
        """Where this run has its snapshots; `tell` hears how far it is with what that copies."""
        group, system = self.machine.group(self.names.vg), self.system
        if group is not None and not traits(system).beside:
            # A retire was cut short: old volumes are gone, the kept ones not yet renamed.
            gone = {lv: trial for lv, trial in self.trials.items() if group.lv(lv) is None}
            system = standing_on(system, gone)
        run, expected = self.names.run, self.whole.expected_bytes
        return choose_store(host, self.machine, system, run, expected, tell)

    def snapshot(self, role: SnapshotRole) -> Snapshot:
        """The snapshot that plays `role` for the root volume in this run."""
        names = self.names
        lv, origin = {
            SnapshotRole.BASE: (names.base, self.system.root.name),
            SnapshotRole.WORK: (names.work, names.base),
            SnapshotRole.SEALED: (names.sealed, names.work),
            SnapshotRole.TRIAL: (names.trial, names.sealed),
            SnapshotRole.PROOF: (names.proof, names.trial),
            SnapshotRole.SCRATCH: (names.scratch, ""),
        }[role]
        return Snapshot(names.vg, lv, origin, names.run, role)

    def beside(self, role: SnapshotRole) -> tuple[tuple[Volume, Snapshot], ...]:
        """What plays `role`, one of the root's, for each volume of the set beside it: those above first."""
        names = self.names
        pairs, origins = {
            SnapshotRole.BASE: (names.set_base, ()),
            SnapshotRole.WORK: (names.set_work, names.set_base),
            SnapshotRole.SEALED: (names.set_sealed, names.set_work),
            SnapshotRole.TRIAL: (names.set_trial, names.set_sealed),
            SnapshotRole.PROOF: (names.set_proof, names.set_trial),
        }[role]
        ours, taken_of = dict(pairs), dict(origins)
        return tuple(
            (v, Snapshot(names.vg, ours[v.lv], taken_of.get(v.lv, v.lv), names.run, BESIDE[role]))
            for v in self.system.beside_root
            if v.lv in ours
        )

    def whole_set(self, role: SnapshotRole) -> tuple[Snapshot, ...]:
        """What plays `role` for the volume set: the root's, then that of each volume beside it."""
        return (self.snapshot(role), *(snapshot for _, snapshot in self.beside(role)))

    def changed(self, host: Host) -> tuple[tuple[str, Difference], ...]:
        """What each volume of the installed system's set was written since its snapshot, by its name."""
        store = self.store(host)
        bases = self.whole_set(SnapshotRole.BASE)
        return tuple((base.origin, store.changed_since(base.origin, base)) for base in bases)

    @property
    def trials(self) -> dict[str, str]:
        """The trial volume of each volume of the set, by the LV it stands for, the root's first."""
        return {self.system.root.member: self.names.trial} | dict(self.names.set_trial)

    def proof_scratch(self) -> Snapshot:
        return Snapshot(self.names.vg, self.names.proof_scratch, "", self.names.run, SnapshotRole.SCRATCH)

    def data_snapshots(self, role: SnapshotRole) -> tuple[Snapshot, ...]:
        """One for every data volume that can be snapshotted."""
        pairs = {
            SnapshotRole.DATA_WORK: self.names.data_work,
            SnapshotRole.DATA_PROOF: self.names.data_proof,
            SnapshotRole.SAFETY: self.names.data_safety,
            SnapshotRole.UNDONE: self.names.data_undone,
        }[role]
        return tuple(Snapshot(self.names.vg, lv, origin, self.names.run, role) for origin, lv in pairs)

    def data_before(self) -> tuple[tuple[Snapshot, Snapshot], ...]:
        """(as the control boot left it, as it is) of every data volume: what the patch writes is between."""
        named = dict(self.names.data_before)
        return tuple(
            (
                Snapshot(
                    self.names.vg, named[work.origin], work.lv, self.names.run, SnapshotRole.DATA_BEFORE
                ),
                work,
            )
            for work in self.data_snapshots(SnapshotRole.DATA_WORK)
            if work.origin in named
        )

    def data_to_put_back(self) -> tuple[PutBack, ...]:
        """Every data volume with its safety snapshot and the one in which a roll back puts it away."""
        undone = {s.origin: s for s in self.data_snapshots(SnapshotRole.UNDONE)}
        safeties = self.data_snapshots(SnapshotRole.SAFETY)
        return tuple(PutBack(s, undone[s.origin]) for s in safeties if s.origin in undone)

    def data_volume(self, origin: str) -> Volume:
        return next(v for v in self.system.data if v.member == origin)

    @property
    def trial_called(self) -> str:
        """What a boot entry calls the trial volume."""
        return self.system.root.root_called(self.names.trial)

    @property
    def old_called(self) -> str:
        """What one calls the installed root."""
        return self.system.root.root_called(self.system.root.member)

    @property
    def settling_called(self) -> str:
        """What the kept root is called whatever its name: the file system's UUID, and a subvolume's id."""
        root = self.system.root
        if root.partition:
            return uuid_called(root.partition, root.fsuuid, self.names.trial)
        there = (s.btrfs for s in self.machine.systems if s.root.group == root.group)
        if not root.subvolume or (held := next(there, None)) is None:
            return root.fsuuid
        return f"{root.fsuuid}[#{held.at(subvolume_path(self.names.trial))}]"

    @property
    def settled_called(self) -> str:
        """What a boot entry calls the kept root once it has the first name: a partition's UUID stays."""
        if self.system.root.partition:
            return self.trial_called
        return self.system.root.root_called(first_name(self.names))

    def is_worked_on(self, source: str) -> bool:
        """Whether `source`, as the twin's system names what is mounted at /, is what is sealed."""
        root = self.system.root
        return not root.subvolume or source.endswith(f"[/{subvolume_path(root.member)}]")

    def is_trial_root(self, source: str, command_line: str) -> bool:
        """Whether `source`, as a running system names what is mounted at /, is the trial volume."""
        if self.system.root.partition:
            # A partition has any name; what its kernel was told is a UUID that nothing else has.
            return source.startswith("/dev/") and f"root={self.trial_called}" in command_line.split()
        if not self.system.root.subvolume:
            return source == self.trial_called
        return source.endswith(f"[/{subvolume_path(self.names.trial)}]")

    def boot_place(self) -> BootPlace:
        return boot_place(self.machine, self.system, self.work.runtime)


@dataclass(frozen=True, slots=True)
class OnGround:
    """Base of every step: its line in the plan and the ground. Most steps leave nothing to undo."""

    plan: PlannedStep
    ground: Ground

    def done(self, ctx: Context) -> bool:
        return False

    def flipped(self, ctx: Context) -> bool:
        return self.done(ctx)

    def undo(self, ctx: Context) -> None:
        return None
