"""Thick roots, the steps of a rehearsal: what differs from thin ones, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.machine import Kernel
from appliance.model.plan import Loss
from appliance.model.verdict import ChangeKind, FileChange
from appliance.volumes.base import SnapshotRole
from appliance.workflow import losses
from appliance.workflow.steps import metal, seal, snapshot, verdict
from appliance.workflow.steps.snapshot import TakeSnapshots
from tests.contract.dark import PowerCut
from tests.unit.workflow.thick import (
    STEP,
    Cut,
    context,
    ground_of,
    installed,
    rehearsal,
    rehearsed,
)


def test_snapshots_are_taken_and_undone_and_the_origin_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "why_not_booted", lambda host, ground: ())
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "why_not_booted", lambda host, ground: ())
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_the_metals_edits_are_no_changes_of_the_patch(tmp_path: Path) -> None:
    def change(path: str, act: str = "added") -> FileChange:
        return FileChange(path=path, act=act, kind=ChangeKind.UNEXPLAINED, by="")

    edits = ("usr/lib/twinboot/health.sh", "var/lib/twinboot/boot/", "etc/fstab", "root/TWINBOOT.txt")
    ours = (
        change("/usr/lib/twinboot/"),
        change("/usr/lib/twinboot/health.sh"),
        change("/var/lib/twinboot/boot/vmlinuz"),
        change("/var/lib/twinboot/boot/loader/"),
        change("/var/lib/twinboot/boot/loader/entries/six.conf"),
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


def test_going_back_says_that_the_system_was_not_compared(tmp_path: Path) -> None:
    lvm, ground = installed(), ground_of(rehearsal(), tmp_path)
    rehearsed(lvm, ground)
    (loss,) = losses.losses(lvm, ground)
    assert isinstance(loss, Loss) and "one volume" in loss.note and "vg0/root-tb1" in loss.where
