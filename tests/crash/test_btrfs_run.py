"""A run on a btrfs root through the runner, on a real file system: the power goes at every write.

What the disk held at that moment is what the next start finds; what was in memory is gone.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.host.run import RealHost
from appliance.model.btrfs import BtrfsRoot
from appliance.model.machine import Machine, Role, Storage
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.probe import btrfs
from appliance.probe.btrfs_ours import read_ours
from appliance.probe.tree import Tree
from appliance.volumes import choose_btrfs, elsewhere
from appliance.volumes.base import SnapshotRole
from appliance.volumes.btrfs import BtrfsStore
from appliance.volumes.btrfs_disk import BtrfsDisk
from appliance.volumes.btrfs_file import FILES
from appliance.workflow.journal import Journal
from appliance.workflow.naming import choose_names
from appliance.workflow.runner import Context, Outcome, Step, execute, recover
from appliance.workflow.steps import retire
from appliance.workflow.steps.default import TakeDefault
from appliance.workflow.steps.elsewhere import MakeRoom
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.snapshot import TakeSnapshots
from appliance.workflow.workplace import Workplace
from tests.contract import alone
from tests.contract.dark import PowerCut
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import tree
from tests.contract.real_lvm import run
from tests.crash.diskcut import Cut, Dark, count_tags
from tests.unit.twin.machines import plain

pytestmark = [
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

MIB = 1 << 20
SIZE = 320 * MIB
FSTAB = "UUID={uuid} / btrfs defaults,subvol={root} 0 0\nUUID={uuid} /home btrfs defaults,subvol=@home 0 0\n"
WRITERS = frozenset({"btrfs", "fallocate", "chattr", "dmsetup", "losetup", "mount"})
"""Programs that a cut may come before."""


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cut:
    """What would be in /run is here, and a small twin does."""
    made = Cut()
    count_tags(monkeypatch, made)
    monkeypatch.setattr(choose_btrfs, "RUNTIME", tmp_path / "run")
    monkeypatch.setattr(elsewhere, "OVERLAY_LEAST", 4 * MIB)
    monkeypatch.setattr(choose_btrfs, "spare_bytes", lambda expected: 4 * MIB)
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    alone.begin()
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """@rootfs and @home as Debian's installer leaves them, the root what a mount takes unasked."""
    alone.begin()
    folder = tmp_path_factory.mktemp("made")
    file, at = folder / "made.img", folder / "at"
    with file.open("wb") as out:
        out.truncate(SIZE)
    run("mkfs.btrfs", "-q", str(file))
    at.mkdir()
    run("mount", "-o", "loop", str(file), str(at))
    uuid = btrfs.look(RealHost(), at).uuid
    for name in ("@rootfs", "@home"):
        run("btrfs", "subvolume", "create", str(at / name))
        (at / name / "data").write_bytes(os.urandom(65536))
    run("btrfs", "subvolume", "set-default", str(at / "@rootfs"))
    (at / "@rootfs/etc").mkdir()
    (at / "@rootfs/etc/fstab").write_text(FSTAB.format(uuid=uuid, root="@rootfs"))
    run("umount", str(at))
    return file


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


OF_TB1 = {f"twinboot/@rootfs-tb1{end}" for end in ("", "-base", "-sealed")}


@pytest.fixture
def labs(tmp_path: Path, made: Path, cut: Cut) -> Iterator[list[Lab]]:
    there: list[Lab] = []
    yield there
    try:
        for lab in there:
            lab.close()
    finally:
        alone.end()


def test_a_rehearsal_leaves_base_sealed_and_trial_and_not_its_room(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "lab", made, cut)
    labs.append(lab)
    root, home = lab.content("@rootfs"), lab.content("@home")
    assert execute(*lab.begin("rehearse", *rehearsal(lab))) is Outcome.DONE
    assert lab.names_there() == {"@rootfs", "@home"} | OF_TB1
    assert (lab.content("@rootfs"), lab.content("@home")) == (root, home)
    assert lab.content("twinboot/@rootfs-tb1") == lab.content("twinboot/@rootfs-tb1-sealed") != root
    assert not any(written for _, written in lab.ground().changed(lab.host))


def test_a_rehearsal_that_loses_its_power_is_undone_whole(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "first", made, cut)
    cut.told.clear()
    execute(*lab.begin("rehearse", *rehearsal(lab)))
    total = len(cut.told)
    lab.close()
    assert total >= 40
    for number in range(total):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        root, home = lab.content("@rootfs"), lab.content("@home")
        cut.left = number
        with pytest.raises(PowerCut):
            execute(*lab.begin("rehearse", *rehearsal(lab)))
        lab.again()
        assert recover(*lab.begin("rehearse", *rehearsal(lab))) is Outcome.ROLLED_BACK
        assert lab.names_there() == {"@rootfs", "@home"}, cut.told[number]
        assert (lab.content("@rootfs"), lab.content("@home")) == (root, home)
        labs.remove(lab)
        lab.close()


def retirement(lab: Lab) -> tuple[Step, ...]:
    ground = lab.ground(
        request=Request(verb=Verb.RETIRE, run="tb1"),
        doomed=("@rootfs", "@rootfs-tb1-base", "@rootfs-tb1-sealed"),
    )
    kinds = (
        ("default", TakeDefault),
        ("let-go", retire.LetGo),
        ("delete", retire.DeleteDoomed),
        ("name-back", retire.GiveNameBack),
    )
    planned = (PlannedStep(id=name, title=name, commit=name in ("let-go", "delete")) for name, _ in kinds)
    return tuple(kind(step, ground) for step, (_, kind) in zip(planned, kinds, strict=True))


def kept(lab: Lab) -> str:
    """A machine whose run was kept: its fstab names the trial. What the kept root holds beside that."""
    execute(*lab.begin("rehearse", *rehearsal(lab)))
    uuid = lab.look().uuid
    with hand_in(lab).writing() as mounted:
        root, home = mounted.at("twinboot/@rootfs-tb1"), "var/lib/twinboot/tb1"
        (root / home).mkdir(parents=True)
        (root / home / "fstab.first").write_bytes((root / "etc/fstab").read_bytes())
        (root / "etc/fstab").write_text(FSTAB.format(uuid=uuid, root="twinboot/@rootfs-tb1"))
        return tree(root / "etc") + str((root / "patched").stat().st_size)


def test_a_retire_that_loses_its_power_goes_on_to_the_kept_root_under_its_first_name(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "first", made, cut)
    kept(lab)
    cut.told.clear()
    assert execute(*lab.begin("retire", *retirement(lab))) is Outcome.DONE
    total = len(cut.told)
    lab.close()
    assert total >= 15
    for number in range(total):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        kept(lab)
        home = lab.content("@home")
        cut.left = number
        with pytest.raises(PowerCut):
            execute(*lab.begin("retire", *retirement(lab)))
        lab.again()
        if recover(*lab.begin("retire", *retirement(lab))) is Outcome.ROLLED_BACK:
            assert {"@rootfs", "twinboot/@rootfs-tb1"} <= lab.names_there(), "either is whole"
            execute(*lab.begin("once-more", *retirement(lab)))
        assert lab.names_there() - {FILES} == {"@rootfs", "@home"}, cut.told[number]
        assert lab.content("@home") == home
        with hand_in(lab).reading() as mounted:
            assert (mounted.at("@rootfs") / "patched").is_file(), "it is the kept one"
            assert "subvol=@rootfs" in (mounted.at("@rootfs") / "etc/fstab").read_text()
            assert not (mounted.at("@rootfs") / "var/lib/twinboot").exists()
            assert mounted.look().default == mounted.look().at("@rootfs")
        labs.remove(lab)
        lab.close()


@pytest.mark.parametrize("verb", [Verb.ROLLBACK, Verb.RETIRE])
def test_a_default_that_the_metal_turned_goes_back_and_a_cut_leaves_either(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab], verb: Verb
) -> None:
    """A roll back, and the retire of a run that is not kept: what is started is led by a name meanwhile."""
    doomed = () if verb is Verb.ROLLBACK else tuple(sorted(path.rpartition("/")[2] for path in OF_TB1))

    def turned_back(lab: Lab) -> Step:
        ground = lab.ground(request=Request(verb=verb, run="tb1"), doomed=doomed)
        return TakeDefault(PlannedStep(id="default", title="default", commit=True), ground)

    def default(lab: Lab) -> str:
        return lab.look().path(lab.look().default)

    for left in (None, 0, 1, 2):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        execute(*lab.begin("rehearse", *rehearsal(lab)))
        assert turned_back(lab).done(lab.begin("asked")[2]), "the metal has not turned it"
        with hand_in(lab).writing() as mounted:
            mounted.make_default(mounted.look().at("twinboot/@rootfs-tb1"))
        assert not turned_back(lab).done(lab.begin("asked")[2])
        if left is None:
            assert execute(*lab.begin("back", turned_back(lab))) is Outcome.DONE
        else:
            cut.left = left
            with pytest.raises(PowerCut):
                execute(*lab.begin("back", turned_back(lab)))
            lab.again()
            assert default(lab) in ("@rootfs", "twinboot/@rootfs-tb1")
            recover(*lab.begin("back", turned_back(lab)))
            execute(*lab.begin("once-more", turned_back(lab)))
        assert default(lab) == "@rootfs" and lab.names_there() >= OF_TB1
        labs.remove(lab)
        lab.close()
