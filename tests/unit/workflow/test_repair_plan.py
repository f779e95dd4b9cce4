"""The repair's plan: the order for each attempt, what it is refused for, and what promotion says of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.errors import Refused
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Kernel, Machine, Trouble
from appliance.model.plan import Plan, RepairKind, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.workflow import promote, rehearse
from appliance.workflow.catalogue import steps, title, why_stale
from appliance.workflow.repair import build_plan
from appliance.workflow.workplace import Workplace
from tests.unit.workflow.test_rehearse_plan import machine
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes

KERNELS = tuple(
    Kernel(version=v, vmlinuz=f"vmlinuz-{v}", initrd=f"initrd.img-{v}")
    for v in ("6.1.0-9-amd64", "6.1.0-13-amd64")
)
BEFORE = ["space", "evidence", "snapshot"]
AFTER = ["repaired", "checks", "seal", "stop", "trial", "proof", "verdict", "tidy", "unchanged"]


def broken(*trouble: Trouble, **words: object) -> Machine:
    found = replace(machine(), kvm=True)
    system = replace(found.systems[0], **{"kernels": KERNELS, "trouble": trouble, **words})
    return replace(found, systems=(system,))


def plan(kind: RepairKind, found: Machine | None = None, **words: object) -> Plan:
    request = Request(verb=Verb.REPAIR, repair=kind, **words)  # type: ignore[arg-type]
    return build_plan(found or broken(), request, Lineage())


def refused(kind: RepairKind, found: Machine, **words: object) -> str:
    with pytest.raises(Refused) as said:
        plan(kind, found, **words)
    return " ".join(said.value.reasons)


@pytest.mark.parametrize(
    ("kind", "middle"),
    [
        (RepairKind.INITRD, ["twin", "watch", "data", "initrd"]),
        (RepairKind.OLDER_KERNEL, ["twin", "watch", "data", "older-kernel"]),
        (RepairKind.FINISH_PACKAGES, ["twin", "watch", "data", "finish-packages"]),
        (RepairKind.UNDO_PACKAGES, ["twin", "watch", "data", "undo-packages"]),
        (RepairKind.FSCK, ["fsck", "twin", "data"]),
        (RepairKind.BY_HAND, ["twin", "data", "watch", "hands", "by-hand"]),
    ],
)
def test_each_attempt_has_its_place_and_the_rest_is_a_rehearsal(
    kind: RepairKind, middle: list[str], tmp_path: object
) -> None:
    made = plan(kind)
    assert [s.id for s in made.steps] == [*BEFORE, *middle, *AFTER]
    assert [s.id for s in made.steps if s.gate] == (["by-hand"] if kind is RepairKind.BY_HAND else [])
    work = Workplace(machine(), "tb1", tmp_path)  # type: ignore[arg-type]
    assert [step.plan for step in steps(made, work)] == list(made.steps), "every step can be carried out"
    assert title(made).startswith("Repair tb1: ")


def test_watching_can_be_skipped_but_not_where_a_person_works_in_the_twin() -> None:
    assert "watch" not in [s.id for s in plan(RepairKind.INITRD, watch=False).steps]
    assert "watch" in [s.id for s in plan(RepairKind.BY_HAND, watch=False).steps]


def test_the_older_kernel_is_named_in_the_plan_and_its_price_is_said() -> None:
    made = plan(RepairKind.OLDER_KERNEL)
    assert any(s.title.endswith("6.1.0-9-amd64") for s in made.steps)
    assert any("stays at kernel 6.1.0-9-amd64" in text for text in made.warnings)
    assert "only one kernel" in refused(RepairKind.OLDER_KERNEL, broken(kernels=KERNELS[:1]))


def test_the_older_kernel_can_not_be_named_where_entries_lie_in_loader_entries() -> None:
    loader = replace(machine().systems[0].loader, bls=True)
    assert "can not be named (yet)" in refused(RepairKind.OLDER_KERNEL, broken(loader=loader))
    assert plan(RepairKind.INITRD, broken(loader=loader)).steps


def test_a_trouble_is_lifted_only_by_the_repair_it_is_for() -> None:
    root = machine().systems[0].root.device
    damaged = Trouble(
        code="damaged-fs",
        sentence=f"The file system on {root} has recorded errors: it needs a repair first.",
        refuses=True,
    )
    made = plan(RepairKind.FSCK, broken(damaged))
    assert damaged.sentence in made.warnings
    assert "recorded errors" in refused(RepairKind.INITRD, broken(damaged))
    other = replace(damaged, sentence=f"The file system on {root}2 has recorded errors.")
    assert "recorded errors" in refused(RepairKind.FSCK, broken(other)), "another volume is not mended"
    lost = Trouble(code="no-kernel", sentence="No kernel with its initrd was found in /boot.", refuses=True)
    assert lost.sentence in plan(RepairKind.INITRD, broken(lost)).warnings
    assert "No kernel" in refused(RepairKind.FINISH_PACKAGES, broken(lost))


def test_a_rehearsal_that_only_a_repair_would_let_go_on_names_it() -> None:
    root = machine().systems[0].root.device
    damaged = Trouble(code="damaged-fs", sentence=f"The file system on {root} has errors.", refuses=True)
    lost = Trouble(code="no-kernel", sentence="No kernel with its initrd was found in /boot.", refuses=True)
    asleep = Trouble(code="hibernated", sentence="It sleeps.", refuses=True)

    def ways(*trouble: Trouble) -> str:
        with pytest.raises(Refused) as said:
            rehearse.build_plan(broken(*trouble), Request(verb=Verb.REHEARSE), Lineage())
        return " ".join(said.value.next_actions)

    assert "Repair a copy of it (X on the console, or `twinboot repair --fsck`)." in ways(damaged)
    assert "`twinboot repair --initrd`" in ways(lost)
    assert "Repair" not in ways(asleep) + ways(damaged, asleep) + ways(damaged, lost)


def test_all_refusals_come_at_once() -> None:
    found = broken(Trouble(code="hibernated", sentence="It sleeps.", refuses=True))
    root = replace(found.systems[0].root, fstype="btrfs")
    worse = replace(found, kvm=False, systems=(replace(found.systems[0], root=root),))
    said = refused(RepairKind.FSCK, worse)
    assert "It sleeps." in said and "--emulate" in said and "btrfs" in said
    with pytest.raises(Refused, match="No repair was named"):
        build_plan(broken(), Request(verb=Verb.REPAIR), Lineage())


def test_a_repair_plan_is_stale_once_the_machine_has_had_another_run() -> None:
    found = broken()
    made = plan(RepairKind.INITRD, found)
    assert why_stale(made, found, Lineage()) == ()
    again = Lineage(nodes=(Node(volume="root-tb1", state=State.SEALED, run="tb1"),))
    assert "has had a run tb1 since" in why_stale(made, found, again)[0]


def test_promoting_a_repaired_copy_says_that_the_way_back_is_the_broken_system() -> None:
    healthy = replace(FOUND, kvm=True)
    repaired = build_plan(healthy, Request(verb=Verb.REPAIR, repair=RepairKind.INITRD), Lineage())
    now = replace(healthy, volume_groups=(group(*run_volumes("tb1")),))
    lineage = Lineage(nodes=(Node(volume="root-tb1", state=State.SEALED, run="tb1"),))
    made = promote.build_plan(
        now,
        Request(verb=Verb.PROMOTE, run="tb1"),
        lineage,
        repaired,
        Verdict(result=Result.PASS, checks=()),
        None,
        Grub(lambda _: None),
        (),
    )
    assert any("The previous system is the broken one" in text for text in made.warnings)
    assert [s.id for s in made.steps] == ["still", "metal", "confirm", "safety", "show", "stage", "arm"]
