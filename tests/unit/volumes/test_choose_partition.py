"""Which system on a partition gets a store, and the sentences where one does not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.host.run import RealHost
from appliance.model.machine import InstalledSystem, LoaderKind, Machine, Role, root_called
from appliance.model.partitions import Copy, second_uuid
from appliance.volumes import choose
from appliance.volumes.choose_partition import lacking_bytes, store_in, where, why_no_room, why_not
from appliance.volumes.partition import PartitionStore
from tests.unit.twin.machines import plain

MIB = 1 << 20


def with_free(free: int) -> tuple[Machine, InstalledSystem]:
    """The plain machine with `free` bytes behind its last partition."""
    machine = plain()
    (disk,) = machine.disks
    end = max(part.start + part.size for part in disk.partitions)
    return replace(machine, disks=(replace(disk, size=end + free),)), machine.systems[0]


def store_of(machine: Machine, system: InstalledSystem) -> PartitionStore:
    found = where(machine, system)
    assert found is not None
    return store_in(RealHost(), *found, system.root.name, 100 * MIB)


def test_a_plain_root_gets_a_store_beside_it() -> None:
    machine, system = with_free(1 << 40)
    assert why_not(machine, system) == () and why_no_room(machine, system, 100 * MIB) == ()
    store = store_of(machine, system)
    assert (store.disk, store.vg, store.called) == ("/dev/vda", "disk-8f1c2d3e", "part4")
    assert store.why_not(100 * MIB) == () and store.root.path == system.root.device


def test_a_full_disk_is_a_matter_of_room_alone() -> None:
    """So what was made before is found again, and can be removed, when nothing more would fit."""
    machine, system = with_free(0)
    assert why_not(machine, system) == ()
    (why,) = why_no_room(machine, system, 100 * MIB)
    assert "in one piece" in why
    assert store_of(machine, system).why_not(MIB) and lacking_bytes(machine, system, MIB) > 1024 * MIB


def test_a_volume_of_the_set_beside_the_root_is_refused() -> None:
    machine, system = with_free(1 << 40)
    var = replace(system.root, role=Role.SET, target="/var", device="/dev/vda6")
    found = replace(system, volumes=(*system.volumes, var))
    (why,) = why_not(machine, found)
    assert why.startswith("/var (/dev/vda6) belongs to the volume set")


def test_a_root_that_is_no_partition_is_refused() -> None:
    machine, system = with_free(1 << 40)
    for changed in ({"partition": ""}, {"partition": "part9"}, {"disk": "disk-00000000"}):
        other = replace(system, root=replace(system.root, **changed))
        (why, *_) = why_not(machine, other)
        assert "is no partition of a disk" in why
        assert choose.lacking_bytes(machine, other, MIB) == 0, "nobody asks for room where none would do"


def test_the_disk_is_found_whatever_its_device_is_called_today() -> None:
    machine, system = with_free(1 << 40)
    (disk,) = machine.disks
    parts = tuple(replace(p, path=p.path.replace("vda", "vdb")) for p in disk.partitions)
    today = replace(machine, disks=(replace(disk, path="/dev/vdb", partitions=parts),))
    found = where(today, system)
    assert found is not None and (found[0].path, found[1].path) == ("/dev/vdb", "/dev/vdb4")


def test_a_kept_copy_is_found_by_what_stands_in_front_of_it() -> None:
    machine, system = with_free(1 << 40)
    (disk,) = machine.disks
    end = max(part.start + part.size for part in disk.partitions)
    copy = Copy(name="part4-tb1", role="kept", at=end, start=end + MIB, size=2048 * MIB, run="tb1", number=6)
    second = replace(disk.partitions[2], path="/dev/vda6", number=6, start=copy.start, size=copy.size)
    shown = replace(disk, partitions=(*disk.partitions, second), copies=(copy,))
    kept = replace(system, root=replace(system.root, partition="part4-tb1"))
    found = where(replace(machine, disks=(shown,)), kept)
    assert found is not None and found[1].path == "/dev/vda6"


@pytest.mark.parametrize("named", ["root=/dev/vda4", "root=PARTUUID=x", "", "root=UUID=another"])
def test_a_root_that_is_not_named_by_its_uuid_is_refused_before_any_write(named: str) -> None:
    machine, system = with_free(1 << 40)
    (why,) = why_not(machine, replace(system, command_line=f"{named} quiet"))
    assert f"names the root on /dev/vda4 as {named.removeprefix('root=') or 'nothing'}:" in why


def test_two_tables_of_one_identity_are_refused() -> None:
    machine, system = with_free(1 << 40)
    (disk,) = machine.disks
    (why,) = why_not(replace(machine, disks=(disk, replace(disk, path="/dev/vdb", partitions=()))), system)
    assert "The partition tables of /dev/vda and /dev/vdb bear the same identity" in why


def test_what_systemd_boot_starts_is_refused() -> None:
    machine, system = with_free(1 << 40)
    other = replace(system, loader=replace(system.loader, kind=LoaderKind.SYSTEMD_BOOT))
    (why,) = why_not(machine, other)
    assert "systemd-boot" in why


def test_a_disk_is_a_group_of_its_roots_and_of_ours() -> None:
    machine, system = with_free(1 << 40)
    (disk,) = machine.disks
    end = max(part.start + part.size for part in disk.partitions)
    uuid = second_uuid(system.root.fsuuid, "tb1", "part4-tb1")
    state = Copy(name="twinboot-state", role="state", at=end, start=end + MIB, size=64 * MIB)
    sealed = Copy(
        name="part4-tb1", role="trial", at=state.end, start=state.end + MIB, size=2048 * MIB, run="tb1",
        origin="part4", uuid=uuid, base="part4-tb1-base",
    )  # fmt: skip
    found = replace(machine, disks=(replace(disk, copies=(state, sealed)),))
    group = found.group("disk-8f1c2d3e")
    assert group is not None and found.disks_under(group) == found.disks
    assert [lv.name for lv in group.lvs] == ["part4", "twinboot-state", "part4-tb1", "part4-tb1-base"]
    assert root_called(group, "part4-tb1") == system.root.root_called("part4-tb1") == f"UUID={uuid}"
    assert root_called(group, "part4") == system.root.root_called("part4") == "UUID=uuid-4"
    assert root_called(group, "part4-tb9") == "", "of what is not there nothing boots"
    assert group.free_count < disk.clear.size - 2048 * MIB
    let_go = replace(sealed, previous="previous")
    (old, *_) = replace(machine, disks=(replace(disk, copies=(let_go,)),)).groups[0].lvs
    assert old.name == "part4" and "twinboot.role=previous" in old.tags
