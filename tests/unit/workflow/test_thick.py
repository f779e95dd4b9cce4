"""Thick roots, from the plan to the first name back: what differs from thin ones, and nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.boot.base import BootState
from appliance.boot.grub import Grub
from appliance.errors import Refused, TwinFailed
from appliance.model.events import Event
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Kernel, VolumeGroup
from appliance.model.plan import Loss, Plan, PlannedStep, Request, Verb
from appliance.model.verdict import ChangeKind, FileChange, Result, Verdict
from appliance.probe.lvm_metadata import parse
from appliance.volumes import choose
from appliance.volumes.base import SnapshotRole
from appliance.workflow import losses, promote, undoing
from appliance.workflow.descent import descend
from appliance.workflow.retirement import plan_retirement
from appliance.workflow.runner import Context
from appliance.workflow.steps import metal, retire, seal, snapshot, verdict
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.retire import DeleteDoomed, GiveNameBack, LetGo
from appliance.workflow.steps.snapshot import TakeSnapshots
from appliance.workflow.steps.twins import PROOF, WORK, volumes_of
from appliance.workflow.workplace import Workplace
from tests.contract.dark import DarkBefore, PowerCut
from tests.contract.fake_thick import FakeThickLvm
from tests.unit.twin.machines import with_snapshot
from tests.unit.workflow.test_retirement import view
from tests.unit.workflow.thick import installed, lifted, machine, rehearsal, system

STEP = PlannedStep(id="any", title="Any")
__all__ = ["lifted"]


class Cut(DarkBefore, FakeThickLvm):
    pass


def ground_of(plan: Plan, folder: Path) -> Ground:
    return Ground(plan, Workplace(machine(), "tb1", folder, folder / "run", folder / "data"))


def context(lvm: FakeThickLvm) -> Context:
    told: list[Event] = []
    return Context(lvm, told.append, threading.Event())


def rehearsed(lvm: FakeThickLvm, ground: Ground) -> None:
    """Base and trial volume, as a good run leaves them."""
    store = ground.store(lvm)
    store.create(ground.snapshot(SnapshotRole.BASE))
    store.create(ground.snapshot(SnapshotRole.WORK))
    lvm.write("root-tb1", 3)
    store.seal(ground.snapshot(SnapshotRole.WORK), ground.snapshot(SnapshotRole.SEALED))
    store.create(ground.snapshot(SnapshotRole.TRIAL))


# What is refused.


def test_a_thick_root_is_refused_until_it_was_seen_on_a_machine() -> None:
    assert choose.why_no_store(machine(), system()) == (
        "The root volume /dev/mapper/vg0-root is kept as LVM thick; rehearsals need one kept as LVM thin.",
    )
    with pytest.raises(Refused, match="kept as LVM thick"):
        rehearsal()


def test_what_stands_against_a_thick_root_is_said(lifted: None) -> None:
    found = machine()
    assert choose.why_no_store(found, system()) == ()
    (other,) = choose.why_no_store(machine(srv=4), machine(srv=4).systems[0])
    assert other.startswith("/srv (/dev/mapper/vg0-srv) is a volume of its own")
    (gone,) = choose.why_no_store(found, system(lv="nothing"))
    assert "was not found" in gone
    snapped = with_snapshot(found, "root-tb1", 43, "twinboot")
    (itself,) = choose.why_no_store(snapped, system(lv="root-tb1"))
    assert "itself a snapshot of vg0/root" in itself and "retire the old system first" in itself
    striped = _with_root(found.volume_groups[0], segtype="striped")
    (kind,) = choose.why_no_store(replace(found, volume_groups=(striped,)), system())
    assert "kept as striped" in kind


def _with_root(group: VolumeGroup, **changed: object) -> VolumeGroup:
    lvs = tuple(replace(lv, **changed) if lv.name == "root" else lv for lv in group.lvs)
    return replace(group, lvs=lvs)


def test_too_little_room_is_refused_while_planning(lifted: None) -> None:
    found = machine()
    (group,) = found.volume_groups
    with pytest.raises(Refused, match="MiB free in the volume group"):
        rehearsal(replace(found, volume_groups=(replace(group, free_count=100),)))


# What is planned.


def test_work_sealed_and_trial_are_one_name_and_the_plan_says_what_is_written(lifted: None) -> None:
    plan = rehearsal()
    names = plan.names
    assert names.work == names.sealed == names.trial == "root-tb1" and names.sealed_is_trial
    assert (names.base, names.proof, names.scratch) == ("root-tb1-base", "root-tb1-proof", "tb1-scratch")
    assert plan.pool == "vg0" and plan.free_bytes > 0
    told = [w.what for s in plan.steps for w in s.writes]
    assert "add snapshot volumes to the volume group (no copy)" in told
    assert "the sealed volume becomes the trial volume" in told
    assert not any("thin" in text for text in told)


def test_the_twins_stand_on_the_snapshot_and_on_overlays(lifted: None, tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    store = ground.store(lvm)
    assert [store.device(s) for s in volumes_of(ground, WORK)] == [
        "/dev/mapper/vg0-root--tb1",
        "/dev/mapper/vg0-tb1--scratch-over",
    ]
    assert [store.device(s) for s in volumes_of(ground, PROOF)] == [
        "/dev/mapper/vg0-root--tb1--proof-over",
        "/dev/mapper/vg0-tb1--proof--scratch-over",
    ]


# What is done.


def test_snapshots_are_taken_and_undone_and_the_origin_is_what_it_was(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "why_not_under_snapshots", lambda host, ground: ())
    monkeypatch.setattr(snapshot, "scratch_bytes", lambda host, ground, part: 1 << 40)
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    before, step = lvm.read("root"), TakeSnapshots(STEP, ground)
    step.do(context(lvm))
    assert step.done(context(lvm))
    assert set(lvm.lvs) == {"root", "swap", "root-tb1", "root-tb1-base", "tb1-scratch"}
    step.undo(context(lvm))
    step.undo(context(lvm))
    assert set(lvm.lvs) == {"root", "swap"}
    assert lvm.read("root") == before and not lvm.devices and not lvm.lvs["root"].active


def test_taking_snapshots_cut_at_every_write_is_undone_by_the_next_start(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "why_not_under_snapshots", lambda host, ground: ())
    monkeypatch.setattr(snapshot, "scratch_bytes", lambda host, ground, part: 1 << 40)
    for cut in range(14):
        lvm, ground = Cut(3200), ground_of(rehearsal(), tmp_path)
        lvm.add("root", 160 << 20, 4)
        step, lvm.left = TakeSnapshots(STEP, ground), cut
        with contextlib.suppress(PowerCut):
            step.do(context(lvm))
        lvm.left = 10**6
        step.undo(context(lvm))
        assert set(lvm.lvs) == {"root"}, f"cut at write {cut}"


def test_nothing_is_made_where_an_old_initrd_could_not_bring_the_root_up(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rehearsal()
    kernels = (
        Kernel(version="6.1.0-9", vmlinuz="vmlinuz-6.1.0-9", initrd="initrd.img-6.1.0-9"),
        Kernel(version="6.1.0-8", vmlinuz="vmlinuz-6.1.0-8", initrd="initrd.img-6.1.0-8"),
        Kernel(version="5.10", vmlinuz="vmlinuz-5.10", initrd="initrd.img-5.10"),
        Kernel(version="4.19", vmlinuz="vmlinuz-4.19", initrd=""),
    )
    ground = ground_of(replace(plan, system=replace(plan.system, kernels=kernels)), tmp_path)
    for version in ("6.1.0-9", "6.1.0-8", "5.10"):
        (tmp_path / "root/lib/modules" / version).mkdir(parents=True)
    builtin = tmp_path / "root/lib/modules/5.10/modules.builtin"
    builtin.write_text("kernel/drivers/md/dm-snapshot.ko\n")
    inside = {"initrd.img-6.1.0-9": ("lib/modules/6.1.0-9/kernel/drivers/md/dm-snapshot.ko",)}

    @contextlib.contextmanager
    def mounted(host: object, device: str, fstype: str, at: Path) -> Iterator[Path]:
        yield tmp_path / ("root" if at.name == "installed" else "boot")

    monkeypatch.setattr(metal, "mounted_readonly", mounted)
    monkeypatch.setattr(metal, "initrd_names", lambda host, path: inside.get(path.name, ()))
    lvm = installed()
    with pytest.raises(Refused) as refused:
        TakeSnapshots(STEP, ground).do(context(lvm))
    (sentence,) = refused.value.reasons
    assert "initrd.img-6.1.0-8" in sentence and "dm_snapshot" in sentence
    assert "update-initramfs -u -k 6.1.0-8" in sentence
    assert set(lvm.lvs) == {"root", "swap"} and not lvm.lvs["root"].active


def test_a_seal_ends_the_twin_before_its_volume_is_called_sealed(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    store = ground.store(lvm)
    store.create(ground.snapshot(SnapshotRole.BASE))
    store.create(ground.snapshot(SnapshotRole.WORK))
    did = list[str]()

    def frozen(act: object) -> bool:
        did.append("frozen")
        act()  # type: ignore[operator]
        return True

    def pull_plug() -> None:
        assert store.exists(ground.snapshot(SnapshotRole.WORK)), "not yet sealed"
        did.append("off")

    twin = SimpleNamespace(
        guest=None, clean_before_seal=lambda: did.append("clean"), while_frozen=frozen, pull_plug=pull_plug
    )
    monkeypatch.setattr(seal, "twin_of", lambda ctx, ground, part: twin)
    monkeypatch.setattr(seal, "choose", lambda guest, setting: SimpleNamespace(audit=lambda: ()))
    step = seal.Seal(STEP, ground)
    step.do(context(lvm))
    assert did == ["clean", "frozen", "off"]
    assert step.done(context(lvm)) and not store.exists(ground.snapshot(SnapshotRole.WORK))
    assert ground.work.load("seal", str) == "frozen"
    with pytest.raises(OSError):
        lvm.write("root-tb1", 1)
    step.undo(context(lvm))
    assert "root-tb1" not in lvm.lvs


def test_the_metals_edits_are_no_changes_of_the_patch(lifted: None, tmp_path: Path) -> None:
    def change(path: str, act: str = "added") -> FileChange:
        return FileChange(path=path, act=act, kind=ChangeKind.UNEXPLAINED, by="")

    edits = ("usr/lib/twinboot/health.sh", "var/lib/twinboot/boot/", "etc/fstab", "root/TWINBOOT.txt")
    ours = (
        change("/usr/lib/twinboot/"),
        change("/usr/lib/twinboot/health.sh"),
        change("/var/lib/twinboot/boot/vmlinuz"),
        change("/etc/fstab", "changed"),
        change("/root/TWINBOOT.txt"),
    )
    theirs = (change("/etc/ledger.conf", "changed"), change("/usr/lib/ledger/"), change("/etc/fstab.d/x"))
    assert verdict.without_edits((*ours, *theirs), edits) == theirs
    ground = ground_of(rehearsal(), tmp_path)
    ground.work.save("metal-edits", edits)
    before, after = tmp_path / "before", tmp_path / "after"
    for root, text in ((before, "UUID=1 / ext4 defaults 0 1\n"), (after, "/dev/x / ext4 defaults 0 1\n")):
        (root / "etc").mkdir(parents=True)
        (root / "etc/fstab").write_text(text)
    first = after / "var/lib/twinboot/tb1/fstab.first"
    first.parent.mkdir(parents=True)
    step = verdict.ReachVerdict(STEP, ground)
    first.write_text("UUID=1 / ext4 defaults 0 1\n")
    assert step._edits(before, after) == edits
    first.write_text("UUID=1 / ext4 noatime 0 1\n")
    assert "etc/fstab" not in step._edits(before, after), "the patch changed it as well"


def test_going_back_says_that_the_system_was_not_compared(lifted: None, tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    rehearsed(lvm, ground)
    (loss,) = losses.losses(lvm, ground)
    assert isinstance(loss, Loss) and "one volume" in loss.note and "vg0/root-tb1" in loss.where


# The way home.


def kept_group() -> VolumeGroup:
    found = machine()
    tags = ("twinboot", "twinboot.run=tb1")
    for name, store, role in (("root-tb1-base", 4, "base"), ("root-tb1", 43, "trial")):
        found = with_snapshot(found, name, store, *tags, f"twinboot.role={role}")
    (group,) = found.volume_groups
    parse(group.metadata)
    return group


def test_the_plan_of_a_retire_says_that_the_kept_volume_is_merged(lifted: None) -> None:
    plan, group = rehearsal(), kept_group()
    going = plan_retirement(group, plan.names, view(BootState.KEPT))
    assert (going.doomed, going.first_name, going.merges) == (("root", "root-tb1-base"), "root", True)
    steps = {s.id: s for s in promote.retire_steps(plan, group, going)}
    assert [w.what for w in steps["delete"].writes] == [
        "empty vg0/root (160 MiB), for the kept system",
        "delete vg0/root-tb1-base (160 MiB)",
    ]
    assert steps["name-back"].title == "Merge root-tb1 into root"
    emptied = replace(
        group,
        lvs=tuple(
            replace(lv, tags=("twinboot", "twinboot.run=tb1", "twinboot.role=emptied"))
            if lv.name == "root"
            else lv
            for lv in group.lvs
        ),
    )
    assert plan_retirement(emptied, plan.names, view(BootState.ROLLED_BACK)).doomed == (
        "root-tb1",
        "root-tb1-base",
    )


def test_the_lineage_knows_the_run_by_the_snapshots_name() -> None:
    found = replace(machine(), volume_groups=(kept_group(),))

    def states(state: BootState | None) -> dict[str, State | None]:
        seen = descend(found, view(state) if state is not None else None, ())
        return {node.volume: node.state for node in seen.lineage.nodes}

    assert states(None) == {"root": None, "root-tb1": State.SEALED}
    assert states(BootState.KEPT) == {"root": State.FALLBACK, "root-tb1": State.KEPT}
    (node,) = [n for n in descend(found, None, ()).lineage.nodes if n.run]
    assert node.parent == "root"


def test_undo_takes_everything_of_ours_and_nothing_else(lifted: None, tmp_path: Path) -> None:
    lvm = installed()
    before = lvm.read("root")
    doomed = tuple(lv.name for lv in undoing.doomed(kept_group()))
    assert doomed == ("root-tb1-base", "root-tb1")
    ground = ground_of(replace(rehearsal(), doomed=doomed), tmp_path)
    rehearsed(lvm, ground)
    for _ in range(2):
        retire.delete_doomed(context(lvm), ground)
    assert ground.store(lvm).ours() == ()
    assert set(lvm.lvs) == {"root", "swap"} and lvm.read("root") == before


def test_what_a_thick_root_costs_is_read_before_it_is_promoted_or_kept(lifted: None) -> None:
    plan, found = rehearsal(), replace(machine(), volume_groups=(kept_group(),))

    def warned(verb: Verb, state: BootState) -> str:
        node = Node(volume="root-tb1", state=State.SEALED, run="tb1")
        good = Verdict(result=Result.PASS, checks=())
        request, seen = Request(verb=verb, run="tb1"), view(state)
        lineage, loader = Lineage(nodes=(node,)), Grub(lambda _: None)
        made = promote.build_plan(found, request, lineage, plan, good, seen, loader, ())
        return " ".join(made.warnings)

    assert "slower" in warned(Verb.PROMOTE, BootState.STAGED)
    assert "lies under the kept one" in warned(Verb.KEEP, BootState.TRIAL)


def test_retired_cut_at_every_write_and_begun_again(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was cut, the kept system's content is under its own name or under the first one, whole."""
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    monkeypatch.setattr(
        retire, "mounted", lambda host, device, fstype, at: contextlib.nullcontext(tmp_path / "kept")
    )
    plan = replace(rehearsal(), doomed=("root", "root-tb1-base"))
    for cut in range(30):
        lvm, ground = Cut(3200), ground_of(plan, tmp_path)
        lvm.add("root", 160 << 20, 4)
        rehearsed(lvm, ground)
        content, lvm.left = lvm.read("root-tb1"), cut
        with contextlib.suppress(PowerCut):
            for step in (LetGo(STEP, ground), DeleteDoomed(STEP, ground), GiveNameBack(STEP, ground)):
                step.do(context(lvm))
        assert content in [lvm.read(name) for name in lvm.lvs if name in ("root", "root-tb1")]
        lvm.left = 10**6
        for step in (LetGo(STEP, ground), DeleteDoomed(STEP, ground)):
            if not step.done(context(lvm)):
                step.do(context(lvm))
            assert step.done(context(lvm)), f"cut at write {cut}"
        GiveNameBack(STEP, ground).do(context(lvm))
        store = ground.store(lvm)
        store.disown("root")
        assert set(lvm.lvs) == {"root"} and lvm.read("root") == content, f"cut at write {cut}"
        assert lvm.lvs["root"].tags == frozenset() and store.ours() == ()


def test_a_run_that_goes_itself_leaves_the_installed_system(
    lifted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    lvm = installed()
    ground = ground_of(replace(rehearsal(), doomed=("root-tb1", "root-tb1-base")), tmp_path)
    before = lvm.read("root")
    rehearsed(lvm, ground)
    DeleteDoomed(STEP, ground).do(context(lvm))
    assert set(lvm.lvs) == {"root", "swap"} and lvm.read("root") == before


def test_the_old_system_having_run_is_seen_and_named(lifted: None, tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    rehearsed(lvm, ground)
    store, base = ground.store(lvm), ground.snapshot(SnapshotRole.BASE)
    assert not store.changed_since("root", base)
    lvm.write("root", 9)
    assert store.changed_since("root", base).bytes == 4096
    with pytest.raises(TwinFailed):
        store.changed_since("swap", base)
