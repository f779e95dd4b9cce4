"""The retire of a kept run with /var on a volume of its own: cut at every write, it boots with that /var."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import fstab
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import catalogue
from appliance.workflow.promote import build_plan
from appliance.workflow.runner import Context, Outcome, execute, recover
from appliance.workflow.steps import retire
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.crash.modeldisk import Place
from tests.crash.test_cuts import LOADER, boot_on, boots
from tests.crash.test_retire_run import FIRST_NAME, WithMount, find_boot_of, kept
from tests.crash.test_retire_run import Machine as OfOneVolume
from tests.unit.workflow.test_retire_steps import PowerCut
from tests.unit.workflow.test_retirement import view
from tests.unit.workflow.test_volume_set import GOOD, group_with
from tests.unit.workflow.var import (
    FOUND,
    INSTALLED,
    OF_ROOT,
    OF_VAR,
    REHEARSED,
    ROLES,
    VAR_UUID,
    installed,
)

FIRST = b"/dev/mapper/vg0-root / ext4 defaults 0 1\n/dev/mapper/vg0-var /var ext4 defaults 0 2\n"
TRIAL = FIRST.replace(b"-root ", b"-root--tb1 ").replace(b"-var ", b"-var--tb1 ")
PATCHED = 777
"""A block that only the twin wrote, in either volume of its set."""


class Machine(OfOneVolume):
    """The same with /var beside the root, and the kept root's files, in one folder whatever is mounted."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder = folder
        self.lvm = WithMount(lvs=installed().lvs, next_id=100)
        self.boot, self.disk = boot_on(place)
        found = replace(FOUND, volume_groups=(group_with(*OF_ROOT, *OF_VAR),))
        node = Node(volume="root-tb1", state=State.KEPT, run="tb1")
        request, lineage = Request(verb=Verb.RETIRE, run="tb1"), Lineage(nodes=(node,))
        seen = view(BootState.KEPT)
        self.plan: Plan = build_plan(found, request, lineage, REHEARSED, GOOD, seen, LOADER, ())
        self.work = Workplace(FOUND, "tb1", folder / "state/tb1", folder / "run", folder / "data")
        self._rehearsed()
        self.tree = self.work.scratch / "kept"
        for path, text in (("etc/fstab", TRIAL), ("var/lib/twinboot/tb1/fstab.first", FIRST)):
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_bytes(text)

    def _rehearsed(self) -> None:
        ground = Ground(self.plan, self.work)
        store = ground.store(self.lvm)
        for role in ROLES:
            for snapshot in ground.whole_set(role):
                store.create(snapshot)
                if role is SnapshotRole.WORK:
                    self.lvm.write(snapshot.lv, PATCHED)
        for trial in ground.whole_set(SnapshotRole.TRIAL):
            store.show(trial)
        for work in ground.whole_set(SnapshotRole.WORK):
            store.delete(work)

    def root_and_var(self) -> tuple[str, str]:
        """The volumes that the kept system has as "/" and "/var" when the machine starts as it is now."""
        root = "root-tb1" if "root-tb1" in self.lvm.lvs else "root"
        specs = {e.target: e.spec for e in fstab.parse((self.tree / "etc/fstab").read_bytes())}
        if specs["/var"].startswith("UUID="):
            assert specs["/var"] == f"UUID={VAR_UUID}"
            mounted = [n for n, lv in self.lvm.lvs.items() if n.startswith("var") and not lv.skip]
            assert len(mounted) == 1, f"{mounted} bear one UUID"
            return root, mounted[0]
        name = specs["/var"].removeprefix("/dev/mapper/vg0-").replace("--", "-")
        assert name in self.lvm.lvs and not self.lvm.lvs[name].skip, f"{specs['/var']} is not there"
        return root, name


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """`machine[0]` is the one whose /boot the steps find."""
    here: list[Machine] = []
    find_boot_of(monkeypatch, here)
    return here


def test_at_every_cut_the_kept_root_has_its_own_var_and_the_rest_is_done_by_the_next_start(
    machine: list[Machine], tmp_path: Path
) -> None:
    place = kept(tmp_path)
    seen = set()
    for cut in range(60):
        machine[:] = [Machine(tmp_path / str(cut), place)]
        disks = machine[0]
        disks.lvm.left, finished = cut, False
        try:
            finished = execute(*disks.begin()) is Outcome.DONE
        except PowerCut:
            root, var = disks.root_and_var()
            seen.add((root, var))
            for name in (root, var):
                assert PATCHED in disks.lvm.read(name), f"cut at write {cut}: {name} is the old one"
            begun = any("twinboot" in disks.lvm.lvs[n].tags for n in ("root", "var") if n in disks.lvm.lvs)
            begun = begun or not {"root", "var"} <= set(disks.lvm.lvs)
            disks.start_again()
            outcome = recover(*disks.begin())
            if not begun or outcome is Outcome.ROLLED_BACK:
                assert OF_ROOT | OF_VAR | {"root", "var"} <= set(disks.lvm.lvs), f"cut at write {cut}"
                assert outcome is Outcome.ROLLED_BACK
                continue
        assert set(disks.lvm.lvs) == INSTALLED, f"cut at write {cut}"
        for name in ("root", "var"):
            assert PATCHED in disks.lvm.read(name) and disks.lvm.lvs[name].tags == frozenset()
        assert (disks.tree / "etc/fstab").read_bytes() == FIRST
        assert not (disks.tree / "var/lib/twinboot").exists()
        assert boots(disks.disk.live) == FIRST_NAME, f"cut at write {cut}"
        if finished:
            assert cut > 10
            assert {("root-tb1", "var-tb1"), ("root-tb1", "var")} <= seen
            return
    raise AssertionError("sixty writes were not enough")


def test_a_deletion_begun_again_deletes_nothing_that_was_renamed(
    machine: list[Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old names are the kept system's own by then: the plan's list of what is doomed has them still."""
    machine[:] = [Machine(tmp_path / "one", kept(tmp_path))]
    disks = machine[0]
    assert execute(*disks.begin()) is Outcome.DONE
    ground = Ground(disks.plan, disks.work)
    steps = {step.plan.id: step for step in catalogue.steps(disks.plan, disks.work)}
    ctx = Context(disks.lvm, lambda event: None, threading.Event())
    assert {"root", "var"} <= set(ground.whole.doomed)
    for name in ("let-go", "delete"):
        assert steps[name].done(ctx)
        with pytest.raises(Refused, match="make a new plan"):
            steps[name].do(ctx)
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    steps["delete"].do(ctx)
    assert set(disks.lvm.lvs) == INSTALLED
