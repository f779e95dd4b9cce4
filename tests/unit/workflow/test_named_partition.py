"""An empty partition that is named for the second root: which can be, and what a plan says of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model.disks import DOS, Disk, Partition
from appliance.model.lineage import Lineage
from appliance.model.machine import FstabEntry, InstalledSystem, Machine
from appliance.model.partitions import Copy
from appliance.model.plan import Plan, Request, Verb, fingerprint
from appliance.model.spares import spares, why_no_spare, with_spare
from appliance.volumes import choose
from appliance.workflow.rehearse import build_plan
from appliance.workflow.ways import ways_to_room
from tests.unit.twin.machines import LINUX_TYPE, made
from tests.unit.twin.machines import with_a_spare as machine
from tests.unit.workflow.plans import Silent

MIB = 1 << 20
PART = "/dev/vda6"


def with_disk(found: Machine, **words: object) -> Machine:
    return replace(found, disks=(replace(found.disks[0], **words),))


def with_system(found: Machine, **words: object) -> Machine:
    return replace(found, systems=(replace(found.systems[0], **words),))


def own(found: Machine) -> InstalledSystem:
    return found.systems[0]


def planned(found: Machine, into: str = PART, **words: object) -> Plan:
    return build_plan(found, Request(verb=Verb.REHEARSE, emulate=True, into=into, **words), Lineage())


def refused(found: Machine, into: str = PART, **words: object) -> Refused:
    with pytest.raises(Refused) as said:
        planned(found, into, **words)
    return said.value


def test_a_plan_that_names_one_needs_no_free_room_and_says_what_becomes_of_it() -> None:
    found = machine()
    plan = planned(found)
    assert plan.pool == PART and plan.free_bytes == 4096 * MIB
    assert plan.fingerprint == fingerprint(found), "naming it changes nothing of the machine"
    assert plan.warnings[0].startswith(f"{PART} is taken for the second root, and for the history")
    assert "what lies in it is overwritten" in plan.warnings[0]
    writes = [write.what for step in plan.steps for write in step.writes]
    assert f"copy-on-write over the root volume, in {PART}" in writes
    assert f"copy what is used of it to {PART}; the partition table stays what it was" in writes
    assert not any("free part" in what for what in writes)


def test_without_a_name_it_is_left_alone() -> None:
    found = machine(free=4096 * MIB)
    plan = planned(found, "")
    assert plan.pool == "the free part of /dev/vda"
    writes = [write.what for step in plan.steps for write in step.writes]
    assert not any(PART in words for words in (*writes, *plan.warnings))
    assert all(disk.named == 0 for disk in with_spare(found, own(found), "").disks)


def test_without_free_room_the_refusal_names_it_first_where_it_is_large_enough() -> None:
    said = refused(machine(), "")
    assert said.reasons[0].startswith("A second root beside /dev/vda4 needs")
    assert said.next_actions[0].startswith(f"The partition {PART} (4096 MiB) holds nothing known")
    assert f"--into {PART}" in said.next_actions[0]
    assert not any(PART in way for way in refused(machine(512 * MIB), "").next_actions)


def test_one_that_is_too_small_is_refused_with_its_own_numbers() -> None:
    (why,) = refused(machine(1024 * MIB)).reasons
    assert (
        why.startswith("A second root beside /dev/vda4 needs") and f" MiB of {PART}: 2049 for the copy" in why
    )
    assert why.endswith("1024 MiB are free.")


def test_on_an_mbr_without_an_entry_left_it_needs_none() -> None:
    found = machine(free=8192 * MIB, type_id="0x83")
    (disk,) = found.disks
    numbers = {"/dev/vda1": 1, "/dev/vda4": 2, "/dev/vda5": 3, PART: 4}
    parts = tuple(replace(p, number=numbers[p.path]) for p in disk.partitions if p.path in numbers)
    full = with_disk(found, table=DOS, table_id="0x8f1c2d3e", partitions=parts)
    full = with_system(full, root=replace(own(full).root, partition="part2", disk="disk-8f1c2d3e"))
    assert any("All four entries of the partition table" in why for why in refused(full, "").reasons)
    assert PART in ways_to_room(full, own(full), 0)[0]
    assert planned(full).pool == PART


HELD = [
    ({"fstype": "ext4", "label": "data"}, f"{PART} holds ext4 (data): only a partition that holds nothing"),
    ({"fstype": "swap"}, f"wipefs --all {PART} empties it"),
    (
        {"type_id": "21686148-6449-6e6f-744e-656564454649"},
        "not a Linux file system: others than Linux may use",
    ),
    ({"type_id": ""}, f"{PART} is of the type unknown"),
]


@pytest.mark.parametrize(("words", "said"), HELD)
def test_one_that_holds_something_or_is_of_another_kind_is_refused(words: dict[str, str], said: str) -> None:
    found = machine(**words)
    assert any(said in why for why in refused(found).reasons)
    assert spares(found, own(found)) == ()


def test_a_logical_partition_is_refused() -> None:
    found = machine(type_id="0x83")
    assert "is a logical partition" in why_no_spare(with_disk(found, table=DOS), own(found), PART)[0]


def test_what_does_not_exist_or_lies_elsewhere_is_refused() -> None:
    assert why_no_spare(machine(), own(machine()), "/dev/vdz9") == (
        f"There is no partition /dev/vdz9 on this machine. That could be named: {PART}.",
    )
    assert why_no_spare(machine(), own(machine()), "/dev/vda") == (
        f"There is no partition /dev/vda on this machine. That could be named: {PART}.",
    )
    other = Disk(path="/dev/vdb", size=99 * MIB, bus=machine().disks[0].bus, table="gpt", partitions=(
        Partition(path="/dev/vdb1", number=1, start=MIB, size=64 * MIB, type_id=LINUX_TYPE),
    ))  # fmt: skip
    found = replace(machine(), disks=(*machine().disks, other))
    (why,) = why_no_spare(found, own(found), "/dev/vdb1")
    assert "only a partition of /dev/vda can be named (yet)" in why
    assert [part.path for part in spares(found, own(found))] == [PART]


def test_beside_a_root_that_is_no_partition_none_is_needed() -> None:
    found = made({"root": 300}, {}, {}, [700])
    (why, *_) = refused(found, "/dev/vda1").reasons
    assert "was named for a second root; that of vg0/root is kept as LVM thin" in why
    assert spares(found, own(found)) == ()


@pytest.mark.parametrize("spec", [PART, "PARTUUID=5ad0-06", "/dev/disk/by-partuuid/5AD0-06"])
def test_one_that_stands_in_an_fstab_is_not_spare(spec: str) -> None:
    line = FstabEntry(spec=spec, target="/mnt", fstype="ext4", options="nofail")
    found = with_system(machine(), fstab=(line,))
    assert any("stands in the fstab of the system on /dev/vda4" in why for why in refused(found).reasons)


CRYPT = [
    (PART, f"{PART} stands in the crypttab"),
    ("PARTUUID=5AD0-06", f"{PART} stands in the crypttab"),
    (
        "/dev/disk/by-id/ata-X-part6",
        f"{PART} may be /dev/disk/by-id/ata-X-part6, which stands in the crypttab",
    ),
    ("UUID=0f-1", ""),
    ("/dev/mapper/vg0-swap", ""),
    ("/dev/vda5", ""),
]


@pytest.mark.parametrize(("source", "said"), CRYPT)
def test_swap_with_a_key_of_its_own_each_time_has_no_signature_and_is_not_spare(
    source: str, said: str
) -> None:
    found = with_system(machine(), crypt_sources=(source,))
    whys = why_no_spare(found, own(found), PART)
    assert any(why.startswith(said) for why in whys) if said else whys == ()


def test_a_second_root_of_ours_is_not_spare_and_is_never_written_over() -> None:
    (disk,) = machine().disks
    *_, last = disk.partitions
    copy = Copy(
        name="part4-tb1", role="kept", at=last.start - MIB, start=last.start, size=last.size, number=6
    )
    found = with_disk(machine(), copies=(copy,))
    assert why_no_spare(found, own(found), PART) == (f"{PART} is a second root of ours already.",)
    assert with_spare(found, own(found), PART) == found


def test_what_keeps_nothing_has_no_second_root() -> None:
    said = refused(machine(), rehearse_only=True, store="ram").reasons
    assert "What is rehearsed only has no second root: leave out --into, or --rehearse-only." in said


def test_what_lies_inside_one_already_says_by_itself_where_the_next_goes() -> None:
    """A later appliance knows nothing of the name."""
    (disk,) = machine(free=9000 * MIB).disks
    *_, last = disk.partitions
    copy = Copy(name="state", role="state", at=last.start, start=last.start + MIB, size=64 * MIB, within=6)
    found = with_disk(machine(free=9000 * MIB), copies=(copy,))
    (after,) = found.disks
    assert after.spare == last and after.room == PART and after.clear.size == (4096 - 65) * MIB
    assert planned(found, "").pool == PART


def test_while_it_is_moved_nothing_has_room_and_the_run_that_holds_it_is_named() -> None:
    (disk,) = machine(free=9000 * MIB).disks
    *_, last = disk.partitions
    now = replace(last, start=last.start + MIB, size=2048 * MIB, fstype="ext4", fsuuid="uuid-second")
    copy = Copy(name="part4-tb1", role="kept", at=last.start, start=now.start, size=now.size, run="tb1")
    copy = replace(copy, number=6, within=6)
    found = with_disk(machine(free=9000 * MIB), partitions=(*disk.partitions[:-1], now), copies=(copy,))
    said = refused(found, "")
    assert said.reasons == (
        "The partition that was named for tb1 was moved onto it: until that is retired, nothing more has "
        "room on /dev/vda.",
    )
    assert any(way.startswith("Retire tb1") for way in said.next_actions)


def test_another_one_can_be_named_beside_it() -> None:
    found = machine()
    (disk,) = found.disks
    *_, first = disk.partitions
    second = replace(first, path="/dev/vda7", number=7, start=first.start + first.size)
    state = Copy(name="state", role="state", at=first.start, start=first.start + MIB, size=64 * MIB, within=6)
    parts = (*disk.partitions, second)
    both = with_disk(found, size=disk.size + second.size, partitions=parts, copies=(state,))
    assert planned(both, "").pool == PART and planned(both, "/dev/vda7").pool == "/dev/vda7"
    assert with_spare(both, own(both), "/dev/vda7").disks[0].clear.size == second.size


def test_a_run_finds_it_by_its_plan() -> None:
    found = machine()
    plan = planned(found)
    there = with_spare(found, plan.system, plan.request.into)
    assert [disk.named for disk in there.disks] == [6]
    store = choose.choose_store(Silent(), there, plan.system, "tb1", plan.expected_bytes)
    assert store.why_not(plan.expected_bytes) == ()
