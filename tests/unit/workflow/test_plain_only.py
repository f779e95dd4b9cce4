"""A root that is a partition without room for a second: rehearsed elsewhere, else refused, and true words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import Refused
from appliance.model.btrfs import BtrfsRoot, Subvolume
from appliance.model.lineage import Lineage, Node
from appliance.model.machine import Machine, Partition, Role, Storage
from appliance.model.partitions import Copy
from appliance.model.plan import Plan
from appliance.model.seen import Seen, seen
from appliance.probe import trouble
from appliance.volumes import choose
from appliance.workflow import elsewhere, rehearse
from appliance.workflow.descent import RunRecord, descend
from appliance.workflow.ways import ways_to_room
from tests.unit.twin.machines import plain
from tests.unit.workflow.test_rehearse_only import RAM, STICK, refused, request

MIB = 1 << 20


def described(**changed: object) -> Machine:
    """As the probe describes it: 1 GiB is free beside a root of 2."""
    machine = plain()
    (system,) = machine.systems
    return replace(machine, systems=(replace(system, **changed),))


def only(machine: Machine | None = None) -> Plan:
    asked = request(rehearse_only=True, store="stick")
    return rehearse.build_plan(machine or described(), asked, Lineage(), offers=(STICK, RAM))


def test_it_is_refused_with_the_numbers_and_the_ways_on() -> None:
    said = refused(request(), found=described())
    (why,) = said.reasons
    assert why.startswith("A second root beside /dev/vda4 needs 2839 MiB of /dev/vda in one piece")
    assert said.elsewhere == ("stick", "ram")
    only, *room = said.next_actions
    assert "--rehearse-only --store with one of stick, ram" in only
    assert room[0].startswith("Remove the swap partition /dev/vda5 (256 MiB)")
    assert room[1].startswith("Make 1815 MiB more free on /dev/vda in one piece with the 1024")
    assert all("Price:" in way for way in room) and len(room) == 2


def test_what_is_no_question_of_room_names_no_way_to_it() -> None:
    said = refused(request(), found=described(command_line="root=/dev/vda4 ro"))
    assert len(said.reasons) == 1 and "named by its UUID" in said.reasons[0]
    (action,) = said.next_actions
    assert "--rehearse-only --store with one of stick, ram" in action


def test_a_swap_partition_elsewhere_makes_no_room() -> None:
    machine = described()
    (disk,), (system,) = machine.disks, machine.systems
    far = tuple(replace(p, start=p.start + 64 * MIB) if p.number == 5 else p for p in disk.partitions)
    between = Partition(path="/dev/vda6", number=6, start=far[3].start - 64 * MIB, size=64 * MIB)
    moved = replace(disk, partitions=(*far[:3], between, far[3]), size=disk.size + 64 * MIB)
    ways = ways_to_room(replace(machine, disks=(moved,)), system, MIB)
    assert [way.partition(" ")[0] for way in ways] == ["Make"]


def test_xfs_is_said_to_give_nothing_and_a_run_to_be_retired_to_give_its_copy() -> None:
    machine = described()
    (disk,), (system,) = machine.disks, machine.systems
    end = disk.clear.start
    copy = Copy(
        name="part4-tb1", role="trial", at=end, start=end + MIB, size=512 * MIB, run="tb1", origin="part4"
    )
    root = replace(system.root, fstype="xfs")
    held = replace(machine, disks=(replace(disk, copies=(copy,)),), systems=(replace(system, root=root),))
    first, *_, last = ways_to_room(held, held.systems[0], MIB)
    assert first.startswith("Retire tb1: its volumes hold up to 512 MiB")
    assert last.endswith("XFS, can not be made smaller.")


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


def test_the_plan_names_its_copies_by_the_number_in_the_table() -> None:
    plan = only()
    assert (plan.names.vg, plan.names.base) == ("disk-8f1c2d3e", "part4-tb1-base")
    assert plan.names.work == "part4-tb1-work"
    assert plan.names.sealed == plan.names.work
    assert plan.system.root.place == "/dev/vda4"
    assert len(plan.ways) == 2 and plan.copy_bytes > plan.expected_bytes
    assert plan.warnings[0].startswith("Rehearsed only")
    assert "says how to make room" in elsewhere.nothing_to_promote(plan)


def test_where_no_room_would_help_the_plan_says_what_stands_against_it() -> None:
    plan = only(described(command_line="root=/dev/vda4 ro"))
    assert plan.ways == () and "named by its UUID" in plan.warnings[1]
    assert "where none is possible, the reasons are said." in elsewhere.nothing_to_promote(plan)


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


def test_it_has_been_seen_on_a_machine() -> None:
    (system,) = described().systems
    assert seen(system) is Seen.BOOTED
    assert choose.why_no_store(described(), system) == choose.why_not_elsewhere(described(), system) == ()


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
    after = descend(described(), None, (RunRecord("tb1", rehearsed_only=True),))
    assert [n.run for n in after.lineage.nodes] == ["", "tb1"]
    assert after.next_step == (
        "tb1 was rehearsed only: its verdict says how to make room for one to promote (V)."
    )
    never = descend(
        described(command_line="root=/dev/vda4 ro"), None, (RunRecord("tb1", rehearsed_only=True),)
    )
    assert never.next_step == (
        "tb1 was rehearsed only: nothing of this system can be promoted (yet); look at its verdict (V)."
    )
