"""Deleting what the plan named: cut at every command, and again, it ends the same and takes nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.model.events import Event
from appliance.model.plan import Plan, PlannedStep
from appliance.volumes.base import SnapshotRole
from appliance.workflow.runner import Context
from appliance.workflow.steps import retire
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.retire import DeleteDoomed, GiveNameBack, NoteRetireDate
from appliance.workflow.workplace import Workplace
from tests.contract.dark import DarkBefore, PowerCut
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_promote_plan import REHEARSED
from tests.unit.workflow.test_retirement import FOUND

STEP = PlannedStep(id="delete", title="Delete", commit=True)
MADE = (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL)
OLD = ("root", "root-tb1-base", "root-tb1-sealed", "root-tb1-work")


class Cut(DarkBefore, FakeLvm):
    pass


@pytest.fixture(autouse=True)
def nothing_boots_from_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loader says against a deletion is held in tests/crash/test_retire_run."""
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)


def machine_with(folder: Path, doomed: tuple[str, ...]) -> tuple[Cut, Ground]:
    """A group with the installed root, /srv, one run's volumes, and a plan to delete `doomed`."""
    lvm = Cut()
    for name in ("root", "srv"):
        lvm.add(name, 1 << 30, 4)
    plan: Plan = replace(REHEARSED, doomed=doomed)
    ground = Ground(plan, Workplace(FOUND, "tb1", folder, folder / "run", folder / "data"))
    for role in MADE:
        ground.store(lvm).create(ground.snapshot(role))
    return lvm, ground


def context(lvm: FakeLvm) -> Context:
    told: list[Event] = []
    return Context(lvm, told.append, threading.Event())


def test_cut_at_every_write_and_begun_again(tmp_path: Path) -> None:
    for cut in range(12):
        lvm, ground = machine_with(tmp_path, OLD)
        step = DeleteDoomed(STEP, ground)
        lvm.left = cut
        try:
            step.do(context(lvm))
        except PowerCut:
            assert not step.done(context(lvm)) or set(lvm.lvs) == {"root-tb1", "srv"}
        lvm.left = 10**6
        step.do(context(lvm))
        assert step.done(context(lvm))
        assert set(lvm.lvs) == {"root-tb1", "srv"}, f"cut at write {cut}"
        assert lvm.lvs["srv"].tags == frozenset(), "a volume nobody named is not even tagged"


def test_once_the_kept_volume_has_the_first_name_all_is_deleted_that_was_to_be(tmp_path: Path) -> None:
    lvm, ground = machine_with(tmp_path, OLD)
    ctx = context(lvm)
    step = DeleteDoomed(STEP, ground)
    step.do(ctx)
    store = ground.store(lvm)
    store.settle(store.keep(ground.snapshot(SnapshotRole.TRIAL)), "root")
    assert step.done(ctx), "or a recovery would take the renamed volume for the old one"
    GiveNameBack(STEP, ground).do(ctx)
    store.disown("root")
    assert step.done(ctx)
    assert set(lvm.lvs) == {"root", "srv"}


def test_a_run_that_goes_itself_leaves_the_installed_system(tmp_path: Path) -> None:
    lvm, ground = machine_with(tmp_path, (*OLD[1:], "root-tb1"))
    step = DeleteDoomed(STEP, ground)
    step.do(context(lvm))
    assert step.done(context(lvm))
    assert set(lvm.lvs) == {"root", "srv"}


def test_the_retire_date_is_where_the_history_looks_for_it(tmp_path: Path) -> None:
    _, ground = machine_with(tmp_path, ())
    request = replace(ground.whole.request, retire_on="2027-01-31")
    dated = Ground(replace(ground.whole, request=request), ground.work)
    NoteRetireDate(STEP, dated).do(context(FakeLvm()))
    assert (ground.work.folder / "retire-on").read_text() == "2027-01-31"


@pytest.mark.parametrize("doomed", [(), ("srv",), ("nothing",)])
def test_nothing_that_is_not_ours_is_deleted_even_when_it_is_named(
    tmp_path: Path, doomed: tuple[str, ...]
) -> None:
    lvm, ground = machine_with(tmp_path, doomed)
    before = set(lvm.lvs)
    DeleteDoomed(STEP, ground).do(context(lvm))
    assert set(lvm.lvs) == before


def test_a_kernel_built_by_hand_belongs_to_the_system_that_has_its_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No package owns it, and it came after the run was staged: it is not Twinboot's to delete."""
    root = tmp_path / "root"
    for folder in ("var/lib/dpkg/info", "lib/modules/6.9.0-mine/kernel", "lib/modules/6.1.0-9-amd64"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/info/linux-image.list").write_text("/boot/vmlinuz-6.1.0-13-amd64\n")
    lvm, ground = machine_with(tmp_path, ())

    @contextlib.contextmanager
    def mounted(*_: object) -> Iterator[Path]:
        yield root

    monkeypatch.setattr(retire, "mounted_readonly", mounted)
    owned = retire.owned_by_installed(lvm, ground)
    assert {"vmlinuz-6.1.0-13-amd64", "initrd.img-6.1.0-13-amd64"} <= set(owned)
    assert {f"{kind}-6.9.0-mine" for kind in ("vmlinuz", "initrd.img", "config", "System.map")} <= set(owned)
    assert not any("6.1.0-9-amd64" in name for name in owned), "a removed kernel leaves an empty folder"
