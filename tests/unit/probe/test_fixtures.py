"""The machines other tests build on are what they claim to be."""

from __future__ import annotations

import pytest

from appliance.model.lineage import State
from appliance.model.machine import Machine, Role
from appliance.model.plan import fingerprint
from appliance.model.seen import Seen, seen
from appliance.probe import lvm_metadata
from appliance.workflow.descent import descend
from tests.fixtures.machines.derive import ELSEWHERE, HERE, RECORDED, load, text_of, variants


@pytest.mark.parametrize("name", sorted(variants()))
def test_derived_machines_are_up_to_date(name: str) -> None:
    assert (HERE / f"{name}.json").read_text() == text_of(variants()[name])


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_machines_hang_together(name: str) -> None:
    machine = load(name)
    (system,) = machine.systems
    (group,) = machine.volume_groups
    assert not [t for t in (*machine.trouble, *system.trouble) if t.refuses]
    meta = lvm_metadata.parse(group.metadata)
    assert {lv.name for lv in group.lvs} == {lv.name for lv in meta.lvs if lv.visible}
    assert [v.role for v in system.volumes] == [Role.ROOT, Role.DATA, Role.SWAP]
    assert machine.disk_of(group.pvs[0].path) is not None
    assert system.boot in machine.disks[0].partitions


def test_each_variant_differs_in_what_it_is_named_for() -> None:
    found: dict[str, Machine] = variants()
    refusals = {
        name: {t.code for t in (*m.trouble, *(t for s in m.systems for t in s.trouble)) if t.refuses}
        for name, m in found.items()
    }
    assert refusals == {
        "no-kvm": set(),
        "two-systems": set(),
        "no-space": {"no-state-room"},
        "pool-full": {"pool-data-full"},
        "hibernated": {"hibernated"},
        "degraded": {"missing-pv", "degraded-raid"},
        "junk-serial": set(),
        "foreign-custom-cfg": {"foreign-custom-cfg"},
        "no-system": set(),
        "unfinished-job": set(),
        "locked": {"luks"},
        "fedora-bls": {"other-packages"},
        "opensuse-btrfs": {"set-outside", "boot-in-root", "other-packages"},
        "ubuntu-thick": set(),
    }
    assert {seen(m.systems[0]) for name, m in found.items() if name in ELSEWHERE} == {Seen.RECOGNISED}
    assert len(found["fedora-bls"].systems[0].loader.entries) == 3
    assert found["fedora-bls"].volume_groups[0].free_count == 0
    assert len(found["two-systems"].systems) == 2 and not found["no-kvm"].kvm
    (left,) = [n for n in descend(found["unfinished-job"], None, ()).lineage.nodes if n.run]
    assert (left.run, left.state) == ("tb1", State.SNAPPED)
    assert fingerprint(found["junk-serial"]) != fingerprint(load("thin-bios"))
