"""The arithmetic of the twin's disks: nothing overlaps, nothing is missing, every volume lies in order."""

from __future__ import annotations

import re
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import Refused
from appliance.model.machine import LayerKind, Machine, Role
from appliance.probe.lvm_metadata import parse
from appliance.twin.layout import plan_layout, why_no_layout
from appliance.twin.segments import ALIGN, CHUNK, Blank, CowRun, FromVolume, TwinLayout, cow_store_length
from appliance.workflow.steps.ground import standing_on
from tests.unit.twin.machines import EXTENT, MIB, encrypted, made, mirrored, recorded, with_snapshot

EXTENT_SECTORS = EXTENT // 512


def _sizes(draw: st.DrawFn, prefix: str, most: int) -> dict[str, int]:
    count = draw(st.integers(0, most))
    return {f"{prefix}{n}": draw(st.integers(1, 60)) for n in range(count)}


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    thin = {"root": draw(st.integers(1, 80)), **_sizes(draw, "t", 3)}
    linear, swap = _sizes(draw, "l", 2), _sizes(draw, "s", 2)
    fixed = sum(linear.values()) + sum(swap.values())
    pvs = draw(st.lists(st.integers(1, 50), min_size=1, max_size=4))
    pvs[-1] += max(0, fixed - sum(pvs))
    sector = draw(st.sampled_from([512, 4096]))
    return made(thin, linear, swap, pvs, head_mib=draw(st.integers(2, 300)), sector=sector)


@given(machines())
@settings(max_examples=200, deadline=None)
def test_every_disk_is_covered_once_and_in_order(machine: Machine) -> None:
    layout = plan_layout(machine, machine.systems[0])
    for disk in layout.disks:
        assert disk.segments[0].start == 0
        assert disk.segments[-1].end == disk.sectors
        assert all(a.end == b.start for a, b in pairwise(disk.segments))
        assert all(s.length > 0 for s in disk.segments)
        assert disk.sectors >= disk.real_sectors
        aligned = disk.sector_size // 512
        assert all(s.start % aligned == 0 and s.length % aligned == 0 for s in disk.segments)


@given(machines())
@settings(max_examples=200, deadline=None)
def test_scratch_is_used_once(machine: Machine) -> None:
    layout = plan_layout(machine, machine.systems[0])
    used = []
    for disk in layout.disks:
        for segment in disk.segments:
            if isinstance(segment.source, CowRun):
                used.append((segment.source.store, segment.source.store_length))
            elif isinstance(segment.source, Blank):
                used.append((segment.source.offset, segment.length))
    used.sort()
    assert all(a + n <= b for (a, n), (b, _) in pairwise(used))
    assert all(at + n <= layout.scratch_sectors for at, n in used)


@given(machines())
@settings(max_examples=200, deadline=None)
def test_every_volume_is_where_the_text_says_and_whole(machine: Machine) -> None:
    """Read the twin's own LVM text as the guest's LVM will, and follow each extent to its source."""
    system = machine.systems[0]
    layout = plan_layout(machine, system)
    twin = parse(layout.vg_text)
    real = parse(machine.volume_groups[0].metadata)
    assert (twin.name, twin.id, twin.extent_size) == (real.name, real.id, real.extent_size)
    assert [(pv.id, pv.pe_start) for pv in twin.pvs] == [(pv.id, pv.pe_start) for pv in real.pvs]
    swaps = {swap.lv: swap for swap in layout.swaps}
    for volume in system.volumes:
        lv, was = twin.lv(volume.lv), real.lv(volume.lv)
        assert lv is not None and was is not None
        assert (lv.id, lv.extents) == (was.id, was.extents)
        for at in range(lv.extents):
            source, offset = _source_of(layout, twin, volume.lv, at)
            if volume.role is Role.SWAP:
                assert source == "blank" and offset == swaps[volume.lv].offset + at * EXTENT_SECTORS
            elif volume.lv in layout.linear:
                assert (source, offset) == _real_place(machine, real, volume.lv, at)
            else:
                assert (source, offset) == (volume.lv, at * EXTENT_SECTORS)


def _extent_place(metadata, name: str, at: int) -> tuple[str, int]:
    segment = next(s for s in metadata.lv(name).segments if s.start <= at < s.start + s.extents)
    stripe = segment.stripes[0]
    return stripe.pv, stripe.start + at - segment.start


def _source_of(layout: TwinLayout, twin, name: str, at: int) -> tuple[str, int]:
    pv_name, extent = _extent_place(twin, name, at)
    pv = next(p for p in layout.pvs if p.name == pv_name)
    sector = pv.start + twin.pv(pv_name).pe_start + extent * twin.extent_size
    segment = next(s for s in layout.disks[pv.disk].segments if s.start <= sector < s.end)
    assert sector + twin.extent_size <= segment.end, "an extent never lies in two segments"
    inside = sector - segment.start
    match segment.source:
        case FromVolume(lv, offset):
            return lv, offset + inside
        case Blank(offset):
            return "blank", offset + inside
        case CowRun() as cow:
            return cow.device, cow.offset + inside


def _real_place(machine: Machine, real, name: str, at: int) -> tuple[str, int]:
    pv_name, extent = _extent_place(real, name, at)
    path = machine.volume_groups[0].pvs[int(pv_name[2:])].path
    disk = machine.disk_of(path)
    assert disk is not None
    start = next(p.start for p in disk.partitions if p.path == path) // 512
    return disk.path, start + 2048 + extent * real.extent_size


@given(machines())
@settings(max_examples=100, deadline=None)
def test_outside_the_pvs_each_sector_is_its_own_twin(machine: Machine) -> None:
    """Table, /boot and ESP: copy-on-write over the same sector of the real disk, PVs never seen through."""
    layout = plan_layout(machine, machine.systems[0])
    for index, disk in enumerate(layout.disks):
        pv = next(p for p in layout.pvs if p.disk == index)
        for segment in disk.segments:
            if isinstance(segment.source, CowRun) and segment.end <= pv.start:
                assert segment.source.offset == segment.start
                assert segment.source.device == disk.path
            if pv.start <= segment.start < pv.start + 2048:
                assert isinstance(segment.source, Blank), "the PV's label is the twin's own"


def test_a_disk_is_lengthened_exactly_where_virtual_sizes_exceed_it() -> None:
    fits = plan_layout(m := made({"root": 40}, {}, {"swap": 10}, [60]), m.systems[0])
    assert fits.disks[0].sectors == fits.disks[0].real_sectors
    assert fits.disks[0].lengthened == 0
    grown = plan_layout(m := made({"root": 400}, {}, {"swap": 10}, [60]), m.systems[0])
    disk = grown.disks[0]
    assert disk.lengthened == 2
    assert disk.sectors > disk.real_sectors and disk.sectors % ALIGN == 0
    assert disk.lengthened_end == grown.pvs[0].start + grown.pvs[0].length
    assert disk.lengthened_end + 33 <= disk.sectors


def test_no_lengthening_over_a_partition_behind() -> None:
    machine = made({"root": 400}, {}, {}, [60], behind=True)
    reasons = why_no_layout(machine, machine.systems[0])
    assert len(reasons) == 1 and "can not be lengthened" in reasons[0]


def test_a_logical_partition_is_never_lengthened() -> None:
    machine = made({"root": 400}, {}, {}, [60], table="dos")
    disk = machine.disks[0]
    logical = msgspec.structs.replace(disk.partitions[1], number=5)
    disks = (msgspec.structs.replace(disk, partitions=(disk.partitions[0], logical)),)
    assert why_no_layout(msgspec.structs.replace(machine, disks=disks), machine.systems[0])


def test_a_pv_that_is_no_partition_of_a_known_disk_is_refused() -> None:
    machine = msgspec.structs.replace(made({"root": 4}, {}, {}, [60]), disks=())
    with pytest.raises(Refused) as refused:
        plan_layout(machine, machine.systems[0])
    assert "/dev/vda2 of vg0 is neither a disk nor a partition of one." in refused.value.reasons


def test_unmounted_volumes_are_left_out_and_said() -> None:
    machine = made({"root": 4, "other": 9}, {}, {}, [60])
    system = machine.systems[0]
    system = msgspec.structs.replace(system, volumes=system.volumes[:1])
    layout = plan_layout(machine, system)
    assert layout.left_out == ("other",)
    assert parse(layout.vg_text).lv("other") is None


@pytest.mark.parametrize("name", ["thin-bios", "thin-uefi"])
def test_recorded_machines_have_a_twin(name: str) -> None:
    machine = recorded(name)
    system = machine.systems[0]
    layout = plan_layout(machine, system)
    assert set(layout.volumes) == {"root", "srv"}
    assert layout.boot is not None
    assert layout.boot.start * 512 == system.boot.start
    assert (layout.esp is None) == (system.esp is None)
    pool = parse(layout.vg_text)
    assert all(s.kind == "striped" for lv in pool.lvs for s in lv.segments), "plain linear volumes only"


@given(st.integers(1, 1 << 24))
@settings(deadline=None)
def test_a_store_holds_every_chunk_of_its_run(length: int) -> None:
    """As dm-snap-persistent.c lays it out: a header, then areas of one metadata chunk and 256 data chunks."""
    chunks = -(-length // CHUNK)
    areas = -(-chunks // 256)
    assert cow_store_length(length) >= (1 + areas + chunks) * CHUNK
    assert cow_store_length(length) <= (1 + areas + chunks + 2) * CHUNK


def test_the_layout_of_a_lengthened_machine_in_whole() -> None:
    machine = made({"root": 1024, "srv": 896}, {"opt": 10}, {"swap": 128}, [1867])
    layout = plan_layout(machine, machine.systems[0])
    shape = [(s.start // 2048, s.length // 2048, type(s.source).__name__) for s in layout.disks[0].segments]
    assert shape == [
        (0, 66, "CowRun"),
        (66, 1, "Blank"),
        (67, 40, "CowRun"),
        (107, 4096, "FromVolume"),
        (4203, 3584, "FromVolume"),
        (7787, 512, "Blank"),
        (8299, 1, "Blank"),
    ]
    assert layout.disks[0].sectors * 512 == 8300 * MIB


def thick() -> Machine:
    return made({}, {"root": 40, "srv": 20}, {"swap": 8}, [300])


def test_a_thick_root_is_its_snapshot_and_what_else_is_linear_is_read_where_it_lies() -> None:
    machine = thick()
    layout = plan_layout(machine, machine.systems[0])
    assert (layout.volumes, layout.sizes) == (("root",), (40 * 8192,))
    assert layout.linear == ("srv",)
    sources = [s.source for disk in layout.disks for s in disk.segments]
    assert FromVolume("root", 0) in sources


def test_a_thick_trial_volume_is_shown_as_long_as_its_origin_under_its_own_name() -> None:
    tags = ("twinboot", "twinboot.role=trial", "twinboot.run=tb1")
    machine = with_snapshot(thick(), "root-tb1", 43, *tags)
    system = standing_on(machine.systems[0], {"root": "root-tb1"})
    layout = plan_layout(machine, system)
    assert (layout.volumes, layout.sizes) == (("root-tb1",), (40 * 8192,))
    shown = parse(layout.vg_text)
    assert sorted(lv.name for lv in shown.lvs) == ["root-tb1", "srv", "swap"]
    trial = shown.lv("root-tb1")
    assert trial is not None and trial.visible and trial.extents == 40
    assert all(s.kind == "striped" for lv in shown.lvs for s in lv.segments)
    assert layout.left_out == ("root",)


def test_snapshots_of_others_are_left_out_of_the_twin() -> None:
    machine = with_snapshot(thick(), "backup", 10)
    layout = plan_layout(machine, machine.systems[0])
    assert layout.volumes == ("root",)
    assert layout.left_out == ("backup",)


def two_disks() -> Machine:
    """Root and /var in a pool over a partition and a whole disk; a third disk is of no use to the system."""
    found = made({"root": 20, "t0": 12}, {}, {"swap": 3}, [18, 30])
    first, second = found.disks
    (group,) = found.volume_groups
    whole = msgspec.structs.replace(second, partitions=(), table="", size=(1 + 30 * 4 + 1) * MIB)
    pvs = (group.pvs[0], msgspec.structs.replace(group.pvs[1], path="/dev/vdb"))
    text = group.metadata.replace('"/dev/vdb2"', '"/dev/vdb"')
    third = msgspec.structs.replace(first, path="/dev/vdc", partitions=())
    return msgspec.structs.replace(
        found,
        disks=(first, whole, third),
        volume_groups=(msgspec.structs.replace(group, pvs=pvs, metadata=text),),
    )


def test_a_twin_has_every_pv_of_the_group_and_no_other_disk() -> None:
    machine = two_disks()
    layout = plan_layout(machine, machine.systems[0])
    assert [disk.path for disk in layout.disks] == ["/dev/vda", "/dev/vdb"]
    assert [(pv.disk, pv.start) for pv in layout.pvs] == [(0, 66 * 2048), (1, 0)]
    shown = parse(layout.vg_text)
    assert [pv.id for pv in shown.pvs] == ["PV-0", "PV-1"]
    for name, extents in (("root", 20), ("t0", 12)):
        mine = [
            (s.source.offset, s.length)
            for disk in layout.disks
            for s in disk.segments
            if isinstance(s.source, FromVolume) and s.source.lv == name
        ]
        assert sum(length for _, length in mine) == extents * EXTENT_SECTORS, "each extent is there once"
    assert not any(isinstance(s.source, CowRun) for s in layout.disks[1].segments[:1]), (
        "a disk that is a PV from its first sector on is never read"
    )


def test_a_whole_disk_is_lengthened_where_virtual_sizes_sum_past_both() -> None:
    machine = two_disks()
    (group,) = machine.volume_groups
    text = re.sub(r'(root \{ .*?extent_count = )20( type = "thin")', r"\g<1>60\2", group.metadata, count=1)
    assert text != group.metadata
    grown = msgspec.structs.replace(machine, volume_groups=(msgspec.structs.replace(group, metadata=text),))
    layout = plan_layout(grown, grown.systems[0])
    assert layout.disks[1].sectors > layout.disks[1].real_sectors
    assert layout.disks[1].lengthened == 0, "there is no partition whose end moves"
    assert layout.disks[0].sectors == layout.disks[0].real_sectors


def test_a_pv_inside_luks_lies_behind_a_header_that_is_copy_on_write() -> None:
    plain = made({"root": 20}, {"opt": 6}, {"swap": 4}, [30])
    machine = encrypted(plain)
    system = machine.systems[0]
    layout, without = plan_layout(machine, system), plan_layout(plain, plain.systems[0])
    part = machine.disks[0].partitions[1]
    (place,), (pv,) = layout.encrypted, layout.pvs
    assert (place.uuid, place.device, place.disk) == ("0", part.path, 0)
    assert (place.start, place.length) == (part.start // 512, (16 * MIB) // 512)
    assert (pv.start, pv.length) == (place.start + place.length, (part.size - 16 * MIB) // 512)
    (head, *_), (before, *_) = layout.disks[0].segments, without.disks[0].segments
    assert isinstance(head.source, CowRun)
    assert (head.source.device, head.source.offset, head.start) == (machine.disks[0].path, 0, 0)
    assert head.end == pv.start == before.end + place.length
    opt = [s.source for s in layout.disks[0].segments if isinstance(s.source, CowRun)][1:]
    assert all(cow.offset >= pv.start for cow in opt), "what is linear is read behind the header as well"
    assert without.encrypted == ()


@given(machines())
@settings(max_examples=50, deadline=None)
def test_inside_luks_every_volume_is_where_it_is_without(machine: Machine) -> None:
    layout = plan_layout(machine, machine.systems[0])
    inside = plan_layout(within := encrypted(machine), within.systems[0])
    assert len(inside.encrypted) == len(inside.pvs)
    for disk in inside.disks:
        assert all(a.end == b.start for a, b in pairwise(disk.segments))
    for pv, place, bare in zip(inside.pvs, inside.encrypted, layout.pvs, strict=True):
        assert pv.start - place.length == place.start == bare.start
        assert pv.length == bare.length
    assert parse(inside.vg_text).lvs == parse(layout.vg_text).lvs


def test_a_pv_longer_than_what_it_lies_in_is_refused() -> None:
    machine = encrypted(made({"root": 20}, {}, {}, [30]))
    (layer,) = machine.layers
    short = msgspec.structs.replace(layer, size=layer.size - 4 * MIB)
    (sentence,) = why_no_layout(msgspec.structs.replace(machine, layers=(short,)), machine.systems[0])
    assert sentence == "The physical volume in /dev/vda2 is longer than the place it lies in."


@given(machines(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_on_a_mirror_every_leg_has_the_same_volumes_in_the_same_places(plain: Machine, last: bool) -> None:
    machine = mirrored(plain, first_last=last)
    layout, bare = plan_layout(machine, machine.systems[0]), plan_layout(plain, plain.systems[0])
    assert parse(layout.vg_text).lvs == parse(bare.vg_text).lvs
    for disk in layout.disks:
        assert disk.segments[0].start == 0 and disk.segments[-1].end == disk.sectors
        assert all(a.end == b.start for a, b in pairwise(disk.segments))
    assert len(layout.mirrors) == len(layout.pvs)
    for mirror, pv in zip(layout.mirrors, layout.pvs, strict=True):
        first, other = mirror.legs
        assert (pv.disk, pv.start, pv.length) == (first.disk, first.start + mirror.header, mirror.length)
        one, two = (
            [
                (s.start - leg.start, s.length, s.source)
                for s in layout.disks[leg.disk].segments
                if leg.start + mirror.header <= s.start < leg.start + mirror.header + mirror.length
            ]
            for leg in (first, other)
        )
        assert [(at, length) for at, length, _ in one] == [(at, length) for at, length, _ in two]
        for (_, _, mine), (_, _, theirs) in zip(one, two, strict=True):
            if isinstance(mine, CowRun):
                assert isinstance(theirs, CowRun) and (mine.device, mine.offset) == (
                    theirs.device,
                    theirs.offset,
                )
            else:
                assert mine == theirs, "one content, whichever leg it is written by"


@given(machines())
@settings(max_examples=100, deadline=None)
def test_no_two_runs_of_a_mirror_share_a_store(plain: Machine) -> None:
    machine = mirrored(plain)
    layout = plan_layout(machine, machine.systems[0])
    runs = [s.source for d in layout.disks for s in d.segments if isinstance(s.source, CowRun)]
    stores = sorted((run.store, run.store + run.store_length) for run in runs)
    assert all(end <= start for (_, end), (start, _) in pairwise(stores))
    assert not stores or stores[-1][1] <= layout.scratch_sectors


def test_a_leg_s_header_is_copy_on_write_on_either_disk() -> None:
    machine = mirrored(made({"root": 20}, {}, {}, [30]))
    layout = plan_layout(machine, machine.systems[0])
    (mirror,) = layout.mirrors
    assert [(leg.device, leg.disk) for leg in mirror.legs] == [("/dev/vda2", 0), ("/dev/vdm1", 1)]
    for leg in mirror.legs:
        disk = layout.disks[leg.disk]
        (head,) = (s for s in disk.segments if s.start <= leg.start < s.end)
        assert isinstance(head.source, CowRun) and head.source.device == disk.path
        assert head.end == leg.start + mirror.header


def test_every_leg_s_disk_is_lengthened_where_virtual_sizes_sum_past_it() -> None:
    machine = mirrored(made({"root": 400}, {}, {}, [30], table="gpt"))
    layout = plan_layout(machine, machine.systems[0])
    (mirror,), first, second = layout.mirrors, *layout.disks
    assert mirror.length > machine.layers[0].size // 512
    assert (first.lengthened, second.lengthened) == (2, 1)
    for leg, disk in zip(mirror.legs, (first, second), strict=True):
        assert disk.lengthened_end == leg.start + mirror.header + mirror.length <= disk.sectors


def test_nothing_is_lengthened_where_something_lies_behind_one_leg() -> None:
    machine = mirrored(made({"root": 400}, {}, {}, [30]))
    *disks, other = machine.disks
    (leg,) = other.partitions
    behind = msgspec.structs.replace(leg, path="/dev/vdm2", number=2, start=leg.start + leg.size, size=MIB)
    crowded = msgspec.structs.replace(other, partitions=(leg, behind))
    (sentence,) = why_no_layout(msgspec.structs.replace(machine, disks=(*disks, crowded)), machine.systems[0])
    assert "can not be lengthened" in sentence


def test_a_leg_shorter_than_its_mirror_is_refused() -> None:
    machine = mirrored(made({"root": 20}, {}, {}, [30]))
    *disks, other = machine.disks
    (leg,) = other.partitions
    short = msgspec.structs.replace(other, partitions=(msgspec.structs.replace(leg, size=leg.size // 2),))
    (sentence,) = why_no_layout(msgspec.structs.replace(machine, disks=(*disks, short)), machine.systems[0])
    assert sentence == "The leg /dev/vdm1 of a mirror is shorter than what it holds."


def test_luks_on_a_mirror_is_refused() -> None:
    machine = mirrored(made({"root": 20}, {}, {}, [30]))
    (array,) = machine.layers
    inner = msgspec.structs.replace(
        array, kind=LayerKind.LUKS, path="/dev/mapper/x", name="ledger:0", below=(array.path,)
    )
    (group,) = machine.volume_groups
    held = msgspec.structs.replace(group, pvs=(msgspec.structs.replace(group.pvs[0], path="/dev/mapper/x"),))
    deep = msgspec.structs.replace(machine, layers=(array, inner), volume_groups=(held,))
    (sentence,) = why_no_layout(deep, deep.systems[0])
    assert sentence == "vg0 lies on LUKS (ledger:0): the twin can not show that."


def with_boot_volume(machine: Machine) -> Machine:
    """Its volume called "boot" is where /boot lies."""
    (system,) = machine.systems
    volumes = tuple(
        msgspec.structs.replace(v, role=Role.BOOT, target="/boot") if v.lv == "boot" else v
        for v in system.volumes
    )
    return msgspec.structs.replace(
        machine, systems=(msgspec.structs.replace(system, boot=None, volumes=volumes),)
    )


def test_a_boot_on_lvm_is_throw_away_and_found_where_the_twins_lvm_has_it() -> None:
    machine = with_boot_volume(made({"a": 7, "root": 40}, {"boot": 5}, {"swap": 3}, [30, 60]))
    layout = plan_layout(machine, machine.systems[0])
    assert "boot" in layout.linear and "boot" not in layout.volumes
    assert layout.boot is not None and layout.boot.length == 5 * EXTENT_SECTORS
    twin = parse(layout.vg_text)
    pv_name, extent = _extent_place(twin, "boot", 0)
    pv = next(p for p in layout.pvs if p.name == pv_name)
    assert layout.boot.disk == pv.disk
    assert layout.boot.start == pv.start + twin.pv(pv_name).pe_start + extent * twin.extent_size


def test_a_boot_on_lvm_that_the_twin_has_in_two_pieces_is_refused() -> None:
    machine = with_boot_volume(made({"a": 28, "root": 40}, {"boot": 5}, {}, [30, 60]))
    (why,) = why_no_layout(machine, machine.systems[0])
    assert why == "/boot (vg0/boot) can not be shown to the twin in one piece."
