"""A root that is a partition: rehearsed with the copy elsewhere, else refused, and true words of both."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.boot.base import BootState, Entry, LoaderView
from appliance.errors import Refused
from appliance.model.btrfs import BtrfsRoot, Subvolume
from appliance.model.lineage import Lineage, Node
from appliance.model.machine import Machine, Role, Storage
from appliance.model.plan import Plan
from appliance.model.seen import Seen, seen
from appliance.probe import trouble
from appliance.volumes import choose
from appliance.workflow import elsewhere, rehearse
from appliance.workflow.descent import RunRecord, descend
from tests.unit.twin.machines import plain
from tests.unit.workflow.test_rehearse_only import RAM, STICK, refused, request


def described(**changed: object) -> Machine:
    """As the probe describes it: with what stands in its way."""
    machine = plain()
    (system,) = machine.systems
    told = replace(system, trouble=(trouble.root_not_rehearsed(system.root),), **changed)
    return replace(machine, systems=(told,))


def only(machine: Machine | None = None) -> Plan:
    asked = request(rehearse_only=True, store="stick")
    return rehearse.build_plan(machine or described(), asked, Lineage(), offers=(STICK, RAM))


def test_it_is_refused_with_one_reason_and_the_way_on() -> None:
    said = refused(request(), found=described())
    assert said.reasons == (
        "The root volume /dev/vda4 is kept as partition; what shall be promoted needs one kept as LVM thick "
        "or LVM thin or btrfs (yet).",
    )
    assert said.elsewhere == ("stick", "ram")
    (action,) = said.next_actions
    assert "--rehearse-only --store with one of stick, ram" in action, (
        "and no way to room, as none would help"
    )


def test_what_stands_in_the_way_elsewhere_too_is_no_way_on() -> None:
    machine = described()
    (system,) = machine.systems
    asleep = replace(system, trouble=(*system.trouble, trouble.hibernated("/dev/vda5")))
    said = refused(request(), found=replace(machine, systems=(asleep,)))
    assert len(said.reasons) == 2 and said.elsewhere == ()
    with pytest.raises(Refused, match="sleeps in /dev/vda5"):
        only(replace(machine, systems=(asleep,)))


def test_a_btrfs_root_is_taken_the_same_way_and_its_subvolume_named() -> None:
    machine = described()
    (system,) = machine.systems
    root = replace(system.root, storage=Storage.BTRFS, fstype="btrfs", partition="", disk="")
    held = BtrfsRoot(uuid="u", root=256, subvolumes=(Subvolume(id=256, path="@rootfs", uuid="s"),))
    home = replace(root, role=Role.DATA, target="/home")
    other = replace(system, root=root, volumes=(root, home, *system.swap), btrfs=held, trouble=())
    found = replace(machine, systems=(other,))
    assert refused(request(), found=found).elsewhere == ("stick", "ram")
    plan = only(found)
    assert (plan.system.root_part, system.root_part) == (("subvolid=256",), ())
    assert plan.names.data_work == (), "what else the file system holds is in the copy"
    assert "can only be rehearsed with the copy elsewhere" in trouble.root_not_rehearsed(root).sentence


def test_the_plan_names_its_copies_by_the_number_in_the_table() -> None:
    plan = only()
    assert (plan.names.vg, plan.names.base) == ("disk-8f1c2d3e", "part4-tb1-base")
    assert plan.names.work == "part4-tb1-work"
    assert plan.names.sealed == plan.names.work
    assert plan.system.root.place == "/dev/vda4"
    assert plan.ways == () and plan.copy_bytes > plan.expected_bytes
    assert plan.warnings[0].startswith("Rehearsed only") and "kept as partition" in plan.warnings[1]
    assert "With its root kept as partition none can be promoted (yet)." in elsewhere.nothing_to_promote(plan)


def test_boot_inside_the_root_is_no_trouble_there_and_is_said_otherwise() -> None:
    machine = described(boot=None)
    (system,) = machine.systems
    inside = replace(system, trouble=(*system.trouble, trouble.boot_in_root(system.root.device)))
    found = replace(machine, systems=(inside,))
    assert only(found).request.rehearse_only
    said = refused(request(), found=found)
    assert len(said.reasons) == 2 and said.elsewhere == ("stick", "ram")


def test_what_the_twin_can_not_show_is_refused_when_planning() -> None:
    machine = described()
    (system,) = machine.systems
    srv = replace(
        system.swap[0], device="/dev/mapper/vg0-srv", role=Role.DATA, target="/srv", vg="vg0", lv="srv"
    )
    odd = replace(machine, systems=(replace(system, volumes=(*system.volumes, srv)),))
    with pytest.raises(Refused, match="/srv is in the volume group vg0, the root in none"):
        only(odd)
    assert refused(request(), found=odd).elsewhere == ()


def test_nobody_has_seen_it_on_a_machine() -> None:
    (system,) = described().systems
    assert seen(system) is Seen.RECOGNISED
    assert choose.why_no_store(described(), system) and choose.why_not_elsewhere(described(), system) == ()


# What the machine's own page says.


def view(root: str) -> LoaderView:
    """/boot with nothing of ours in it, whose default entry has `root`."""
    own = Entry(id="debian", title="Debian GNU/Linux", kernel="vmlinuz", root=root)
    return LoaderView(state=BootState.ABSENT, own=own, next_boot=own)


@pytest.mark.parametrize("root", ["/dev/vda4", "UUID=uuid-4"])
def test_what_boots_next_is_told_by_device_and_by_uuid(root: str) -> None:
    (node,) = descend(described(), view(root), ()).lineage.nodes
    assert node.boots_next and not node.fallback
    (other,) = descend(described(), view("/dev/vda9"), ()).lineage.nodes
    assert not other.boots_next


def test_the_root_stands_in_the_tree_and_the_next_step_is_true() -> None:
    found = descend(described(), None, ())
    assert found.lineage.nodes == (Node(volume="part4", state=None, boots_next=True),)
    assert found.next_step == (
        "Before a rehearsal: The root volume /dev/vda4 is kept as partition: it can only be rehearsed with "
        "the copy elsewhere, and not promoted (yet)."
    )
    after = descend(described(), None, (RunRecord("tb1", rehearsed_only=True),))
    assert [n.run for n in after.lineage.nodes] == ["", "tb1"]
    assert after.next_step == (
        "tb1 was rehearsed only: nothing of this system can be promoted (yet); look at its verdict (V)."
    )
