"""A machine with a thick root, its plans, and its volume group in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from msgspec.structs import replace

from appliance.model.events import Event
from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import Plan, PlannedStep, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import rehearse
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.dark import DarkBefore
from tests.contract.fake_thick import FakeThickLvm
from tests.unit.twin.machines import made

MIB = 1 << 20
ROOT = 40
"""Extents of 4 MiB."""

STEP = PlannedStep(id="any", title="Any")


def machine(**linear: int) -> Machine:
    """Root and swap, and what else is named; sizes in extents of 4 MiB. Nearly 3 GiB are free."""
    return made({}, {"root": ROOT, **linear}, {"swap": 8}, [800])


def system(**changed: object) -> InstalledSystem:
    (found,) = machine().systems
    return replace(found, root=replace(found.root, **changed))


def rehearsal(found: Machine | None = None) -> Plan:
    return rehearse.build_plan(found or machine(), Request(verb=Verb.REHEARSE, emulate=True), Lineage())


def installed() -> FakeThickLvm:
    lvm = FakeThickLvm(3200)
    lvm.add("root", ROOT * 4 * MIB, 10)
    lvm.add("swap", 32 * MIB, 0)
    return lvm


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
