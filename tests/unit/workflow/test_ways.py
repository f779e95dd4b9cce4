"""Ways to make room and their price, out of what the probe knows and nothing else."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.model.machine import Bus, Disk, LogicalVolume, Machine, Partition, VolumeGroup
from appliance.workflow.ways import ways_to_room
from tests.unit.workflow import thick

MIB = 1 << 20
GIB = 1 << 30


def bare() -> Machine:
    """Root and a swap too small to give anything; the group and the disk are full."""
    found = thick.machine()
    (disk,), (group,) = found.disks, found.volume_groups
    full = replace(disk, size=max(p.start + p.size for p in disk.partitions) + MIB)
    return replace(found, disks=(full,), volume_groups=(replace(group, free_count=0),))


def with_lv(found: Machine, name: str, size: int, **words: object) -> Machine:
    lv = LogicalVolume(name=name, uuid=name, size=size, segtype="linear", **words)  # type: ignore[arg-type]
    return grouped(found, lambda g: replace(g, lvs=(*(o for o in g.lvs if o.name != name), lv)))


def grouped(found: Machine, change: object) -> Machine:
    (group,) = found.volume_groups
    changed: VolumeGroup = change(group)  # type: ignore[operator]
    return replace(found, volume_groups=(changed,))


def ways(found: Machine, lacking: int = 3 * GIB) -> tuple[str, ...]:
    return ways_to_room(found, found.systems[0], lacking)


def test_where_nothing_is_lacking_nothing_is_proposed() -> None:
    assert ways(bare(), 0) == ()


def test_a_machine_with_nothing_to_give_needs_another_disk_and_is_told_how_much() -> None:
    assert ways(bare(), 3 * GIB + 1) == (
        "Give this machine another disk and the volume group that one: 3073 MiB more are needed in vg0.",
    )


def test_swap_gives_what_is_lacking_and_keeps_its_least() -> None:
    large = with_lv(bare(), "swap", 8 * GIB)
    (way,) = ways(large)
    assert "Make the swap volume vg0/swap (8192 MiB) smaller by 3072 MiB" in way
    assert "lvreduce -f -L -3072m /dev/vg0/swap" in way and "swapon" in way and "Price:" in way
    (way,) = ways(with_lv(bare(), "swap", 2 * GIB))
    assert "smaller by 1792 MiB" in way, "what does not do alone is named: two ways may do together"
    assert "another disk" in ways(with_lv(bare(), "swap", 256 * MIB))[0]


def test_swap_keeps_its_uuid() -> None:
    found = with_lv(bare(), "swap", 8 * GIB)
    (system,) = found.systems
    named = tuple(replace(v, fsuuid="5a-UUID") if v.lv == "swap" else v for v in system.volumes)
    (way,) = ways(replace(found, systems=(replace(system, volumes=named),)))
    assert "mkswap -U 5a-UUID /dev/vg0/swap" in way


def test_room_behind_and_between_partitions_is_found() -> None:
    found = bare()
    (disk,) = found.disks
    (way,) = ways(replace(found, disks=(replace(disk, size=disk.size + 20 * GIB),)))
    assert "The disk /dev/vda has 20480 MiB in one piece" in way and "partition table is written" in way
    end = disk.partitions[-1].start + disk.partitions[-1].size
    far = Partition(path="/dev/vda9", number=9, start=end + 5 * GIB, size=GIB)
    between = replace(disk, partitions=(*disk.partitions, far), size=far.start + far.size + MIB)
    (way,) = ways(replace(found, disks=(between,)))
    assert "has 5120 MiB in one piece" in way


def test_an_empty_disk_is_offered_with_the_price_of_two_disks() -> None:
    found = bare()
    spare = Disk(path="/dev/vdb", size=10 * GIB, bus=Bus.VIRTIO)
    (way,) = ways(replace(found, disks=(*found.disks, spare)))
    assert "vgextend vg0 /dev/vdb" in way and "either failing takes the system along" in way
    for unfit in (
        replace(spare, bus=Bus.USB),
        replace(spare, table="gpt"),
        replace(
            spare, partitions=(Partition(path="/dev/vdb1", number=1, start=MIB, size=9 * GIB),), size=9 * GIB
        ),
    ):
        assert "another disk" in ways(replace(found, disks=(*found.disks, unfit)))[0]


def test_a_disk_that_is_a_physical_volume_is_not_empty() -> None:
    found = bare()
    spare = Disk(path="/dev/vdb", size=10 * GIB, bus=Bus.VIRTIO)
    with_pv = grouped(found, lambda g: replace(g, pvs=(*g.pvs, replace(g.pvs[0], path="/dev/vdb"))))
    assert "another disk" in ways(replace(with_pv, disks=(*found.disks, spare)))[0]


def test_a_volume_that_no_system_mounts_could_go_and_the_systems_own_never() -> None:
    (way,) = ways(with_lv(bare(), "old", 5 * GIB))
    assert "No system here mounts vg0/old (5120 MiB)" in way and "gone for good" in way
    assert not any("vg0/root" in way for way in ways(with_lv(bare(), "old", 5 * GIB)))
    assert "another disk" in ways(with_lv(bare(), "pool", 5 * GIB, pool="x"))[0]


def test_what_twinboot_itself_holds_comes_first() -> None:
    tags = ("twinboot", "twinboot.run=tb3", "twinboot.role=trial")
    found = with_lv(with_lv(bare(), "old", GIB), "root-tb3", 2 * GIB, tags=tags)
    first, second = ways(found)
    assert first.startswith("Retire tb3: its volumes hold up to 2048 MiB of vg0")
    assert "vg0/old" in second


def test_that_xfs_gives_nothing_is_said_last() -> None:
    found = bare()
    (system,) = found.systems
    xfs = replace(system, root=replace(system.root, fstype="xfs"))
    assert ways(replace(found, systems=(xfs,)))[-1].startswith("The root volume itself gives nothing")
