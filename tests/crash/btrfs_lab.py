"""A machine whose root is btrfs, on a real file system, and a rehearsal on it whose power may go."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.host.run import RealHost
from appliance.model.btrfs import BtrfsRoot
from appliance.model.machine import Machine, Role, Storage
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.probe.btrfs_ours import read_ours
from appliance.probe.tree import Tree
from appliance.volumes import choose_btrfs
from appliance.volumes.base import SnapshotRole
from appliance.volumes.btrfs import BtrfsStore
from appliance.volumes.btrfs_disk import BtrfsDisk
from appliance.workflow.journal import Journal
from appliance.workflow.naming import choose_names
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.elsewhere import MakeRoom
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.snapshot import TakeSnapshots
from appliance.workflow.workplace import Workplace
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import tree
from tests.contract.real_lvm import run
from tests.crash.diskcut import Cut, Dark
from tests.unit.twin.machines import plain

MIB = 1 << 20
SIZE = 320 * MIB
WRITERS = frozenset({"btrfs", "fallocate", "chattr", "dmsetup", "losetup", "mount"})
"""Programs that a cut may come before."""

OF_TB1 = {f"twinboot/@rootfs-tb1{end}" for end in ("", "-base", "-sealed")}


class Lab:
    """A machine with that file system, and the appliance on it; `again` starts both after a cut."""

    def __init__(self, folder: Path, made: Path, cut: Cut) -> None:
        self.folder, self.cut = folder, cut
        folder.mkdir()
        self.disk = folder / "disk.img"
        run("cp", "--sparse=always", str(made), str(self.disk))
        cut.disk, cut.left = self.disk, 10**6
        self.loop = run("losetup", "--find", "--show", str(self.disk)).strip()
        self.mapper = PlayedMapper(folder)
        self.host = Dark(self.mapper, cut, WRITERS)
        self.memory.mkdir(exist_ok=True)
        found = self.probed()
        self.names = choose_names(found.systems[0], "tb1")
        self.plan = Plan(
            request=Request(verb=Verb.REHEARSE),
            names=self.names,
            machine=found.identity,
            fingerprint="f",
            system=found.systems[0],
            steps=(),
        )

    @property
    def memory(self) -> Path:
        return choose_btrfs.RUNTIME

    def probed(self) -> Machine:
        """As the probe describes it now."""
        held = self.look()
        machine = plain()
        (system,) = machine.systems
        (disk,) = machine.disks
        parts = tuple(replace(p, path=self.loop) if p.path == "/dev/vda4" else p for p in disk.partitions)
        root = replace(
            system.root,
            device=self.loop,
            fstype="btrfs",
            fsuuid=held.uuid,
            size=SIZE,
            storage=Storage.BTRFS,
            partition="",
            disk="",
            subvolume="@rootfs",
        )
        home = replace(root, role=Role.DATA, target="/home", subvolume="")
        started = held.at("@rootfs") or held.at("twinboot/@rootfs-tb1")
        held = replace(held, root=started, starts=started, named=True)
        told = replace(system, root=root, volumes=(root, home, *system.swap), btrfs=held)
        return replace(machine, disks=(replace(disk, partitions=parts),), systems=(told,))

    def look(self) -> BtrfsRoot:
        with hand_in(self).reading() as mounted:
            return replace(mounted.look(), ours=read_ours(Tree(mounted.top)), free=mounted.usage().free)

    def ground(self, **changed: object) -> Ground:
        work = Workplace(self.probed(), "tb1", self.folder / "state", self.memory, self.folder / "data")
        return Ground(replace(self.plan, **changed), work)

    def store(self) -> BtrfsStore:
        store = self.ground().store(self.host)
        assert isinstance(store, BtrfsStore)
        return store

    def begin(self, name: str, *steps: Step) -> tuple[tuple[Step, ...], Journal, Context]:
        journal = Journal.open(self.folder / f"{name}.jsonl")
        return steps, journal, Context(self.host, lambda event: None, threading.Event())

    def names_there(self) -> set[str]:
        return {s.path for s in self.look().subvolumes}

    def content(self, path: str) -> str:
        with hand_in(self).reading() as mounted:
            return tree(mounted.at(path))

    def again(self) -> None:
        """The power was gone: the disk holds what it held, the memory nothing."""
        self.cut.left = 10**6
        self.mapper.close()
        self._down()
        shutil.copyfile(f"{self.disk}.cut", self.disk)
        run("btrfs", "check", "--readonly", str(self.disk))
        run("losetup", self.loop, str(self.disk))
        for left in self.folder.glob("played-*"):
            left.unlink()
        shutil.rmtree(self.memory)
        self.memory.mkdir()

    def _down(self) -> None:
        for at in sorted((p for p in self.memory.glob("**/*") if p.is_mount()), reverse=True):
            run("umount", str(at))
        stands = run("losetup", "-l", "-n", "-O", "NAME,BACK-FILE").splitlines()
        for name, *over in (line.split() for line in stands):
            if over[:1] == [self.loop]:
                run("losetup", "-d", name)
        run("losetup", "-d", self.loop)

    def close(self) -> None:
        self.cut.left = 10**6
        self.mapper.close()
        self._down()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.memory)


def hand_in(lab: Lab) -> BtrfsDisk:
    """By a hand of the test's own, in a place of its own."""
    at = lab.memory / "hand"
    return BtrfsDisk(RealHost(), lab.loop, at)


@dataclass(frozen=True, slots=True)
class Sealed(OnGround):
    """What Seal and MakeTrial do with the store: a twin wrote, was frozen, and came home."""

    def done(self, ctx: Context) -> bool:
        return self.ground.store(ctx.host).exists(self.ground.snapshot(SnapshotRole.TRIAL))

    def do(self, ctx: Context) -> None:
        store, ground = self.ground.store(ctx.host), self.ground
        work, sealed = ground.snapshot(SnapshotRole.WORK), ground.snapshot(SnapshotRole.SEALED)
        store.activate(work)
        assert isinstance(store, BtrfsStore)
        loop = run("losetup", "--find", "--show", store.device(work)).strip()
        try:
            disk = BtrfsDisk(RealHost(), loop, ground.work.runtime / "twin")
            with disk.writing() as mounted:
                (mounted.at("@rootfs") / "patched").write_bytes(b"new" * 9999)
        finally:
            run("losetup", "-d", loop)
        store.seal(work, sealed)
        store.create(ground.snapshot(SnapshotRole.TRIAL))

    def undo(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for role in (SnapshotRole.TRIAL, SnapshotRole.SEALED):
            store.delete(self.ground.snapshot(role))


@dataclass(frozen=True, slots=True)
class GiveRoomBack(OnGround):
    """The store's part of Tidy."""

    def do(self, ctx: Context) -> None:
        self.ground.store(ctx.host).delete(self.ground.snapshot(SnapshotRole.SCRATCH))
        self.ground.room(ctx.host).remove_room()


def rehearsal(lab: Lab) -> tuple[Step, ...]:
    ground = lab.ground()
    kinds = (("make-room", MakeRoom), ("snapshot", TakeSnapshots), ("seal", Sealed), ("tidy", GiveRoomBack))
    return tuple(kind(PlannedStep(id=name, title=name), ground) for name, kind in kinds)
