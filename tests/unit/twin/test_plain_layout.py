"""The twin's disks where the root is a partition: covered once, the copy in its place."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.errors import CommandFailed, Refused
from appliance.model.machine import Role, Storage, Volume
from appliance.twin.devices import TwinDevices, prefix_of
from appliance.twin.layout import plan_layout, why_no_layout
from appliance.twin.segments import CowRun, FromVolume, Segment, TwinPartition
from tests.unit.twin.fake_mapper import FakeMapper
from tests.unit.twin.machines import MIB, plain

SECTORS = MIB // 512


@given(
    root=st.integers(1, 5000),
    gap=st.integers(0, 300),
    sector=st.sampled_from([512, 4096]),
    data=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_every_disk_is_covered_once_and_shows_the_metal_but_for_the_root(
    root: int, gap: int, sector: int, data: bool
) -> None:
    machine = plain(root_mib=root, gap_mib=gap, sector=sector, data=data)
    layout = plan_layout(machine, machine.systems[0])
    assert [d.path for d in layout.disks] == [d.path for d in machine.disks]
    stores = []
    for disk in layout.disks:
        assert disk.sectors == disk.real_sectors and not disk.lengthened
        assert (disk.segments[0].start, disk.segments[-1].end) == (0, disk.sectors)
        assert all(a.end == b.start for a, b in pairwise(disk.segments))
        for segment in disk.segments:
            if isinstance(segment.source, CowRun):
                assert (segment.source.device, segment.source.offset) == (disk.path, segment.start)
                stores.append((segment.source.store, segment.source.store_length))
    stores.sort()
    assert all(a + n <= b for (a, n), (b, _) in pairwise(stores))
    assert stores[-1][0] + stores[-1][1] <= layout.scratch_sectors


def test_the_copy_stands_where_the_root_does() -> None:
    machine = plain()
    (system,) = machine.systems
    layout = plan_layout(machine, system)
    (disk,) = layout.disks
    assert disk.segments[1] == Segment(641 * SECTORS, 2048 * SECTORS, FromVolume("part4", 0))
    assert (layout.volumes, layout.sizes) == (("part4",), (2048 * SECTORS,))
    assert layout.boot == TwinPartition(0, 2, 129 * SECTORS, 512 * SECTORS)
    assert layout.esp == TwinPartition(0, 1, SECTORS, 128 * SECTORS)
    assert (layout.pvs, layout.swaps, layout.vg) == ((), (), ""), (
        "swap is read where it lies, and thrown away"
    )


def test_boot_inside_the_root_is_in_the_copy() -> None:
    machine = plain()
    (system,) = machine.systems
    assert plan_layout(machine, replace(system, boot=None)).boot is None


def test_what_can_not_be_shown_is_refused_with_every_reason() -> None:
    machine = plain()
    (system,) = machine.systems
    srv = Volume(
        device="/dev/mapper/vg0-srv", role=Role.DATA, target="/srv", fstype="ext4", fsuuid="", size=MIB,
        storage=Storage.LVM_THICK, vg="vg0", lv="srv",
    )  # fmt: skip
    raid = replace(system.root, device="/dev/md0")
    odd = replace(system, root=raid, volumes=(raid, srv))
    assert why_no_layout(machine, odd) == (
        "/srv is in the volume group vg0, the root in none: that can not be rehearsed (yet).",
        "The root volume /dev/md0 is no partition of a disk.",
    )
    with pytest.raises(Refused):
        plan_layout(machine, odd)


def _devices(host: FakeMapper, folder: Path) -> TwinDevices:
    machine = plain(data=True)
    layout = plan_layout(machine, machine.systems[0])
    copy = {"part4": "/dev/mapper/vg0-copy"}
    return TwinDevices(host, prefix_of("tb1", "work"), layout, copy, "/dev/mapper/vg0-scratch", folder)


def test_the_disks_are_built_without_lvm_and_the_real_ones_only_read(tmp_path: Path) -> None:
    host = FakeMapper()
    twin = _devices(host, tmp_path)
    twin.build()
    assert {argv[0] for argv in host.commands} <= {"dmsetup", "losetup", "blockdev"}
    assert host.written == []
    for disk, node in zip(twin.layout.disks, twin.disks, strict=True):
        lines = host.tables[node.removeprefix("/dev/mapper/")]
        assert sum(length for _, length, _ in lines) == disk.sectors
    assert all("/dev/vd" not in rest for lines in host.tables.values() for _, _, rest in lines)
    root = range(641 * MIB, (641 + 2048) * MIB)
    windows = [(at, at + size) for device, at, size in host.loops.values() if device == "/dev/vda"]
    assert windows and all(end <= root.start or at >= root.stop for at, end in windows), "the root has none"


def test_cut_at_every_write_they_are_cleared_up_and_built_again(tmp_path: Path) -> None:
    whole = FakeMapper()
    _devices(whole, tmp_path).build()
    for cut in range(whole.writes):
        host = FakeMapper(fail_at=cut)
        twin = _devices(host, tmp_path)
        with pytest.raises(CommandFailed):
            twin.build()
        twin.build()
        assert host.tables == whole.tables
        twin.teardown()
        assert (host.tables, host.loops) == ({}, {})
