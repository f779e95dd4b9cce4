"""A run beside a root on a partition, through the runner and its own steps, on a real disk.

Rehearsed, shown, kept, retired; and taken back. What a twin does is played by writing a file on its copy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, LoaderView
from appliance.host.files import mounted
from appliance.model.machine import Machine, Partition
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.model.spares import with_spare
from appliance.probe.partition_ours import read_copies
from appliance.volumes import choose, choose_partition, elsewhere
from appliance.volumes.base import SnapshotRole
from appliance.volumes.partition_disk import device_of
from appliance.volumes.partition_fs import look
from appliance.volumes.state import NAME
from appliance.workflow.journal import Journal
from appliance.workflow.naming import choose_names
from appliance.workflow.retirement import plan_retirement
from appliance.workflow.runner import Context, Outcome, Step, execute, recover
from appliance.workflow.steps import retire
from appliance.workflow.steps.boot import Show
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.snapshot import TakeSnapshots
from appliance.workflow.workplace import Workplace
from tests.contract.real_lvm import run
from tests.contract.real_partition import UUID, PartitionBench, played_named, played_partition
from tests.unit.twin.machines import plain

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounting need root"),
]

MIB = 1 << 20
FIRST = f"UUID={UUID} / ext4 defaults 0 1\n"
TABLE_ID = "8f1c2d3e-0000-4000-8000-000000000001"
GROUP = "disk-8f1c2d3e"
LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"


@dataclass
class Lab:
    """A machine whose one disk is the bench's, and the appliance on it."""

    bench: PartitionBench
    folder: Path
    plan: Plan | None = None

    @property
    def into(self) -> str:
        """The partition that was named for the second root; empty where none was."""
        return device_of(self.bench.loop, 2) if self.bench.store.probed.named else ""

    def probed(self) -> Machine:
        """As the probe describes it now."""
        machine, bench = plain(), self.bench
        (system,) = machine.systems
        parts = tuple(
            Partition(
                path=device_of(bench.loop, slot.number),
                number=slot.number,
                start=slot.start,
                size=slot.size,
                type_id=LINUX_TYPE,
                fstype="ext4" if (uuid := look(bench.host, device_of(bench.loop, slot.number)).uuid) else "",
                fsuuid=uuid,
            )
            for slot in bench.store.table().slots
        )
        disk = replace(bench.store.probed, table_id=TABLE_ID, partitions=parts, named=0)
        disk = replace(disk, copies=read_copies(Path(bench.loop), disk))
        roots = [
            replace(
                system.root,
                device=part.path,
                fsuuid=part.fsuuid,
                size=part.size,
                partition=next(
                    (c.name for c in disk.copies if c.number == part.number), f"part{part.number}"
                ),
                disk=GROUP,
            )
            for part in parts
            if part.fsuuid
        ]
        systems = tuple(
            replace(system, id=r.device, root=r, volumes=(r,), boot=None, esp=None,
                    command_line=f"root=UUID={r.fsuuid} ro")
            for r in roots
        )  # fmt: skip
        return replace(machine, disks=(disk,), systems=systems)

    def ground(self, **changed: object) -> Ground:
        found = self.probed()
        if self.plan is None:
            system = found.systems[0]
            self.plan = Plan(
                request=Request(verb=Verb.REHEARSE, into=self.into),
                names=choose_names(system, "tb1"),
                machine=found.identity,
                fingerprint="f",
                system=system,
                steps=(),
            )
        plan = replace(self.plan, **changed)
        found = with_spare(found, plan.system, plan.request.into)
        work = Workplace(found, "tb1", self.folder / "state", self.folder / "run", self.folder / "data")
        return Ground(plan, work)

    def begin(self, name: str, *steps: Step) -> tuple[tuple[Step, ...], Journal, Context]:
        journal = Journal.open(self.folder / f"{name}.jsonl")
        return steps, journal, Context(self.bench.host, lambda event: None, threading.Event())

    def members(self) -> dict[str, str]:
        """What stands in the disk's group, by role."""
        group = self.probed().group(GROUP)
        assert group is not None
        roles = ((lv.name, [t for t in lv.tags if t.startswith("twinboot.role=")]) for lv in group.lvs)
        return {name: role[0].partition("=")[2] if role else "" for name, role in roles}

    def put(self, device: str, **files: str) -> None:
        with mounted(self.bench.host, device, "ext4", self.folder / "hand") as root:
            for name, text in files.items():
                (root / "etc").mkdir(exist_ok=True)
                (root / "etc" / name).write_text(text)
        # The kernel counts what reaches the disk, whenever that is.
        run("sync", "-f", str(self.folder))
        run("blockdev", "--flushbufs", device)

    def read(self, device: str, name: str) -> str:
        with mounted(self.bench.host, device, "ext4", self.folder / "hand") as root:
            return (root / "etc" / name).read_text()


@dataclass(frozen=True, slots=True)
class Sealed(OnGround):
    """What Seal and MakeTrial do with the store: a twin wrote, was frozen, and was copied out."""

    def done(self, ctx: Context) -> bool:
        return self.ground.store(ctx.host).exists(self.ground.snapshot(SnapshotRole.TRIAL))

    def do(self, ctx: Context) -> None:
        store, ground = self.ground.store(ctx.host), self.ground
        work, sealed, trial = map(
            ground.snapshot, (SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL)
        )
        with mounted(ctx.host, store.activate(work), "ext4", ground.work.runtime / "twin") as root:
            (root / "etc/patched").write_text("new")
        store.deactivate(work)
        store.seal(work, sealed)
        store.create(trial)
        with mounted(ctx.host, store.activate(trial), "ext4", ground.work.runtime / "twin") as root:
            (root / "etc/fstab").write_text(FIRST.replace(f"UUID={UUID}", ground.trial_called))
            home = root / "var/lib/twinboot/tb1"
            home.mkdir(parents=True)
            (home / "fstab.first").write_text(FIRST)
        store.delete(ground.snapshot(SnapshotRole.SCRATCH))
        store.release()

    def undo(self, ctx: Context) -> None:
        self.ground.store(ctx.host).delete(self.ground.snapshot(SnapshotRole.TRIAL))


@pytest.fixture(params=[played_partition, played_named], ids=["free part", "named partition"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(choose_partition, "MEMORY", tmp_path / "memory")
    monkeypatch.setattr(elsewhere, "OVERLAY_LEAST", 4 * MIB)
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    bench = request.param()
    made = Lab(bench, tmp_path)
    for folder in ("run", "state", "data"):
        (tmp_path / folder).mkdir()
    made.put(device_of(bench.loop, 1), fstab=FIRST)
    yield made
    made.ground().store(bench.host).release()
    bench.close()


def rehearsed(lab: Lab) -> None:
    ground = lab.ground()
    history = choose.choose_history(lab.bench.host, ground.machine, GROUP)
    history.ensure()
    history.unmount(lab.folder / "nowhere")
    kinds = (("snapshot", TakeSnapshots), ("seal", Sealed))
    steps = tuple(kind(PlannedStep(id=name, title=name), ground) for name, kind in kinds)
    assert execute(*lab.begin("rehearse", *steps)) is Outcome.DONE


def shown(lab: Lab) -> None:
    step = Show(PlannedStep(id="show", title="show"), lab.ground())
    assert execute(*lab.begin("promote", step)) is Outcome.DONE


def retirement(lab: Lab) -> tuple[Step, ...]:
    group = lab.probed().group(GROUP)
    assert group is not None and lab.plan is not None
    seen = LoaderView(state=BootState.KEPT, run="tb1")
    going = plan_retirement(group, lab.plan.names, seen)
    assert going.first_name == "part1" and not going.merges
    ground = lab.ground(request=Request(verb=Verb.RETIRE, run="tb1"), doomed=going.doomed)
    kinds = (("let-go", retire.LetGo), ("delete", retire.DeleteDoomed), ("name-back", retire.GiveNameBack))
    planned = (PlannedStep(id=name, title=name, commit=name != "name-back") for name, _ in kinds)
    return tuple(kind(step, ground) for step, (_, kind) in zip(planned, kinds, strict=True))


def test_a_rehearsal_leaves_its_copy_and_no_table_lists_it(lab: Lab) -> None:
    table = lab.bench.store.table()
    rehearsed(lab)
    assert lab.bench.store.table() == table
    assert lab.members() == {"part1": "", NAME: "state", "part1-tb1": "trial", "part1-tb1-base": "base"}
    assert not any(written for _, written in lab.ground().changed(lab.bench.host))
    assert [s.root.name for s in lab.probed().systems] == ["part1"]


def test_shown_it_is_a_system_of_its_own_and_taken_back_nothing_is_left(lab: Lab) -> None:
    rehearsed(lab)
    table = lab.bench.store.table()
    shown(lab)
    assert [s.root.name for s in lab.probed().systems] == ["part1", "part1-tb1"]
    ground = lab.ground()
    assert f"UUID={lab.probed().systems[1].root.fsuuid}" == ground.trial_called
    Show(PlannedStep(id="show", title="show"), ground).undo(lab.begin("undo")[2])
    assert lab.bench.store.table() == table


def test_retired_the_kept_root_has_the_number_its_uuid_and_the_history_is_there(lab: Lab) -> None:
    rehearsed(lab)
    called = lab.ground().trial_called
    shown(lab)
    assert execute(*lab.begin("retire", *retirement(lab))) is Outcome.DONE
    ground = lab.ground(request=Request(verb=Verb.RETIRE, run="tb1"))
    ground.store(lab.bench.host).disown("part1")
    assert lab.members() == {"part1": "", NAME: "state"}
    (system,) = lab.probed().systems
    assert f"UUID={system.root.fsuuid}" == called == ground.settled_called
    assert (lab.read(system.root.device, "patched"), system.root.name) == ("new", "part1")
    assert lab.read(system.root.device, "fstab") == FIRST.replace(f"UUID={UUID}", called)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_retire_that_was_cut_goes_on_once_the_old_root_is_gone(lab: Lab, steps: int) -> None:
    rehearsed(lab)
    shown(lab)
    begun = retirement(lab)[:steps]
    _, _, ctx = lab.begin("first")
    for step in begun:
        step.do(ctx)
    assert lab.probed().group(GROUP) is not None
    assert execute(*lab.begin("again", *retirement_again(lab, begun))) is Outcome.DONE
    assert recover(*lab.begin("again", *retirement_again(lab, begun))) is Outcome.DONE
    lab.ground().store(lab.bench.host).disown("part1")
    assert lab.members() == {"part1": "", NAME: "state"}


def retirement_again(lab: Lab, begun: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same plan, over the machine as it is now."""
    (first, *_) = begun
    assert isinstance(first, OnGround)
    ground = lab.ground(request=Request(verb=Verb.RETIRE, run="tb1"), doomed=first.ground.whole.doomed)
    kinds = (("let-go", retire.LetGo), ("delete", retire.DeleteDoomed), ("name-back", retire.GiveNameBack))
    planned = (PlannedStep(id=name, title=name, commit=name != "name-back") for name, _ in kinds)
    return tuple(kind(step, ground) for step, (_, kind) in zip(planned, kinds, strict=True))
