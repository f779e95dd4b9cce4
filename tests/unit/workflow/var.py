"""A thin machine whose /var is a volume of its own: as found, what a rehearsal plans, its volumes."""

from __future__ import annotations

import threading
from pathlib import Path

from msgspec.structs import replace

from appliance.model.events import Event
from appliance.model.lineage import Lineage
from appliance.model.machine import FstabEntry, Machine, Role
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import rehearse
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_retire_steps import Cut
from tests.unit.workflow.test_retirement import FOUND as WHOLE

STEP = PlannedStep(id="step", title="Step")
VAR_UUID = "5b0c7a44-91d3-4f0e-8c26-7de1b2a90f31"
LINE = FstabEntry(spec="/dev/mapper/vg0-var", target="/var", fstype="ext4", options="defaults", passno=2)


def with_var(machine: Machine) -> Machine:
    """`machine` with /var on a thin volume beside its root."""
    (group,), (system,) = machine.volume_groups, machine.systems
    root = group.lv("root")
    assert root is not None
    lv = replace(root, name="var", uuid="Var0Lv-0000-0000-0000-0000-0000-000001", thin_id=40)
    volume = replace(
        system.root, device="/dev/mapper/vg0-var", role=Role.SET, target="/var", fsuuid=VAR_UUID, lv="var"
    )
    beside = replace(system, volumes=(*system.volumes, volume), fstab=(*system.fstab, LINE))
    return replace(machine, volume_groups=(replace(group, lvs=(*group.lvs, lv)),), systems=(beside,))


FOUND = with_var(WHOLE)
REHEARSED = rehearse.build_plan(FOUND, Request(verb=Verb.REHEARSE, emulate=True), Lineage())
OF_VAR = {"var-tb1", "var-tb1-base", "var-tb1-sealed"}
OF_ROOT = {"root-tb1", "root-tb1-base", "root-tb1-sealed"}
INSTALLED = {"root", "var", "srv"}
ROLES = (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL)


def installed() -> Cut:
    """The machine's own volumes, some blocks of each written."""
    lvm = Cut()
    for name in sorted(INSTALLED):
        lvm.add(name, 1 << 30, 4)
    return lvm


def ground_of(plan: Plan, folder: Path, machine: Machine = FOUND) -> Ground:
    return Ground(plan, Workplace(machine, "tb1", folder / "state", folder / "run", folder / "data"))


def rehearsed(folder: Path, plan: Plan = REHEARSED) -> tuple[Cut, Ground]:
    """The machine with what a good rehearsal leaves."""
    lvm, ground = installed(), ground_of(plan, folder)
    store = ground.store(lvm)
    for role in ROLES:
        for snapshot in ground.whole_set(role):
            store.create(snapshot)
    for snapshot in ground.whole_set(SnapshotRole.WORK):
        store.delete(snapshot)
    return lvm, ground


def context(lvm: FakeLvm, told: list[Event] | None = None) -> Context:
    return Context(lvm, [].append if told is None else told.append, threading.Event())
