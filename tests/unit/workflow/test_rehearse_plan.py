"""The rehearsal's plan: names, order, and every refusal at once, on recorded machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.codec import from_json
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Machine, Trouble
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.workflow.catalogue import why_stale
from appliance.workflow.naming import next_run
from appliance.workflow.rehearse import build_plan

MACHINES = Path(__file__).parents[2] / "fixtures/machines"


def machine(name: str = "thin-uefi") -> Machine:
    path = MACHINES / f"{name}.json"
    found: Machine = from_json(path.read_bytes(), Machine, str(path))
    return found


def request(**words: object) -> Request:
    return Request(verb=Verb.REHEARSE, **words)  # type: ignore[arg-type]


def plan(found: Machine, wanted: Request | None = None, lineage: Lineage | None = None) -> Plan:
    return build_plan(found, wanted or request(), lineage or Lineage())


@pytest.mark.parametrize("name", ("thin-uefi", "thin-bios"))
def test_the_names_of_the_first_run(name: str) -> None:
    made = plan(machine(name))
    assert made.names.run == "tb1"
    assert (made.names.base, made.names.work, made.names.sealed, made.names.trial) == (
        "root-tb1-base",
        "root-tb1-work",
        "root-tb1-sealed",
        "root-tb1",
    )
    assert made.names.data_work == (("srv", "srv-tb1-work"),)


def test_the_order_of_steps_is_the_product() -> None:
    made = plan(machine())
    assert [s.id for s in made.steps] == [
        "space",
        "evidence",
        "snapshot",
        "twin",
        "control",
        "data",
        "patch",
        "patched",
        "checks",
        "seal",
        "stop",
        "trial",
        "proof",
        "verdict",
        "tidy",
        "unchanged",
    ]


def test_work_by_hand_is_a_gate() -> None:
    made = plan(machine(), request(patch=PatchRequest(kind=PatchKind.BY_HAND)))
    gates = [s.id for s in made.steps if s.gate]
    assert gates == ["by-hand"]


def test_equal_plans_have_equal_digests_and_another_request_another_one() -> None:
    one, two = plan(machine()), plan(machine())
    assert one.digest == two.digest
    other = plan(machine(), request(patch=PatchRequest(kind=PatchKind.ALL)))
    assert other.digest != one.digest


@pytest.mark.parametrize("name", ["rm -rf", "foo-", "-y", "x", "A", "../x", "foo=1;2", "$(reboot)", "a/b"])
def test_what_no_package_can_be_called_is_refused(name: str) -> None:
    wanted = PatchRequest(kind=PatchKind.PACKAGES, packages=("ledger", name, "libc6:i386=2.36-9+deb12u9"))
    with pytest.raises(Refused) as refused:
        plan(machine(), request(patch=wanted))
    assert refused.value.reasons == (f"{name!r} is not a package name.",)


def test_no_kvm_is_refused_without_emulate_and_accepted_with_it() -> None:
    slow = replace(machine(), kvm=False)
    with pytest.raises(Refused, match="--emulate"):
        plan(slow)
    assert plan(slow, request(emulate=True)).request.emulate


def test_all_refusals_come_at_once() -> None:
    found = machine()
    trouble = Trouble(code="hibernated", sentence="The system is hibernated.", refuses=True)
    note = Trouble(code="dirty", sentence="The last shut down was not clean.", refuses=False)
    system = replace(found.systems[0], trouble=(trouble, note))
    worse = replace(found, kvm=False, systems=(system,))
    with pytest.raises(Refused) as refused:
        plan(worse, request(patch=PatchRequest(kind=PatchKind.PACKAGES)))
    text = " ".join(refused.value.reasons)
    assert len(refused.value.reasons) == 3
    assert "hibernated" in text and "KVM" in text and "--packages" in text
    assert refused.value.warnings == ("The last shut down was not clean.",)


def test_two_systems_and_none_chosen_is_refused_and_naming_one_is_not() -> None:
    found = machine()
    second = replace(found.systems[0], id="/dev/mapper/vg0-other")
    both = replace(found, systems=(found.systems[0], second))
    with pytest.raises(Refused, match="none was chosen"):
        plan(both)
    assert plan(both, request(system=found.systems[0].id)).system.id == found.systems[0].id
    with pytest.raises(Refused, match="no installed system nowhere"):
        plan(both, request(system="nowhere"))


def test_the_fallback_of_a_kept_run_is_not_chosen() -> None:
    found = machine()
    kept = replace(found.systems[0], id="kept", root=replace(found.systems[0].root, lv="root-tb1"))
    group = found.volume_groups[0]
    root = group.lv("root")
    assert root is not None
    grown = replace(group, lvs=(*group.lvs, replace(root, name="root-tb1")))
    both = replace(found, systems=(found.systems[0], kept), volume_groups=(grown,))
    lineage = Lineage(
        nodes=(
            Node(volume="root", state=State.FALLBACK),
            Node(volume="root-tb1", state=State.KEPT, run="tb1"),
        )
    )
    assert plan(both, lineage=lineage).system.id == "kept"


def test_run_numbers_are_not_used_again_while_a_tag_stands() -> None:
    found = machine()
    group = found.volume_groups[0]
    tagged = replace(group.lvs[0], name="root-tb7-sealed", tags=("twinboot", "twinboot.run=tb7"))
    used = replace(found, volume_groups=(replace(group, lvs=(*group.lvs, tagged)),))
    assert next_run(used, group.name, Lineage()) == "tb8"
    failed = Lineage(nodes=(Node(volume="", state=State.FAILED, run="tb9"),))
    assert next_run(used, group.name, failed) == "tb10"


def test_a_plan_is_good_for_the_machine_it_was_made_on_until_that_has_had_another_run() -> None:
    found = replace(machine(), kvm=True)
    made = plan(found)
    assert why_stale(made, found, Lineage()) == ()
    assert "is for LAB-0001; this machine is X" in why_stale(made, replace(found, identity="X"), Lineage())[0]
    (group,) = found.volume_groups
    grown = replace(found, volume_groups=(replace(group, uuid="another"),))
    assert "have changed" in why_stale(made, grown, Lineage())[0]
    again = Lineage(nodes=(Node(volume="root-tb1", state=State.SEALED, run="tb1"),))
    assert "has had a run tb1 since" in why_stale(made, found, again)[0]
    failed = Lineage(nodes=(Node(volume="(tb1: removed)", state=State.FAILED, run="tb1"),))
    assert "has had a run tb1 since" in why_stale(made, found, failed)[0]
