"""A machine with a thick root, its plans, and its volume group in memory."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine, Storage
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes import choose
from appliance.workflow import rehearse
from tests.contract.fake_thick import FakeThickLvm
from tests.unit.twin.machines import made

MIB = 1 << 20
ROOT = 40
"""Extents of 4 MiB."""


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one refusal of thick systems, lifted."""
    monkeypatch.setattr(choose, "REHEARSED", frozenset({Storage.LVM_THIN, Storage.LVM_THICK}))


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
