"""A /boot that is an array: every leg of the twin's shows one content, and the metal's are only read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import CommandFailed
from appliance.twin import devices as devices_module
from appliance.twin.devices import TwinDevices
from appliance.twin.layout import plan_layout, why_no_layout
from appliance.twin.segments import CowRun, Segment, TwinLayout
from appliance.twin.tables import Patch
from tests.unit.twin.fake_mapper import FakeMapper
from tests.unit.twin.machines import MIB, boot_mirrored, made, mirrored

PLAIN = made({"root": 20}, {}, {"swap": 4}, [30], head_mib=16)
MACHINE = boot_mirrored(mirrored(PLAIN))
LAYOUT = plan_layout(MACHINE, MACHINE.systems[0])
MIB_SECTORS = MIB // 512


def content(layout: TwinLayout, leg: int) -> Segment:
    """What that leg of the array /boot shows behind its header."""
    place = layout.mirrors[-1].legs[leg]
    start = place.start + layout.mirrors[-1].header
    (found,) = (s for s in layout.disks[place.disk].segments if s.start == start)
    return found


def test_both_legs_show_one_content_behind_a_header_of_their_own() -> None:
    root, boot = LAYOUT.mirrors
    assert (root.name, boot.name, boot.header) == ("ledger:0", "ledger:1", MIB_SECTORS)
    assert [(leg.device, leg.disk) for leg in boot.legs] == [("/dev/vda1", 0), ("/dev/vdm2", 1)]
    first, second = content(LAYOUT, 0), content(LAYOUT, 1)
    assert isinstance(first.source, CowRun) and first.source == second.source
    assert first.length == second.length == boot.length
    assert (first.source.device, first.source.offset) == ("/dev/vda", boot.legs[0].start + boot.header)
    heads = [s for leg in boot.legs for s in LAYOUT.disks[leg.disk].segments if s.start <= leg.start < s.end]
    devices = [s.source.device for s in heads if isinstance(s.source, CowRun)]
    assert devices == ["/dev/vda", "/dev/vdm"], "a super block of its own"


def test_every_disk_is_covered_once_and_no_other_store_is_shared() -> None:
    runs = set()
    for disk in LAYOUT.disks:
        assert disk.segments[0].start == 0 and disk.segments[-1].end == disk.sectors
        assert all(a.end == b.start for a, b in pairwise(disk.segments))
        runs |= {s.source for s in disk.segments if isinstance(s.source, CowRun)}
    stores = sorted((run.store, run.store + run.store_length) for run in runs)
    assert all(end <= start for (_, end), (start, _) in pairwise(stores))
    assert stores[-1][1] <= LAYOUT.scratch_sectors


def test_it_is_found_as_a_whole_behind_the_header_of_the_array_s_first_leg() -> None:
    boot, first = LAYOUT.boot, LAYOUT.mirrors[-1].legs[0]
    assert boot is not None
    assert (boot.disk, boot.number, boot.start) == (0, 0, first.start + MIB_SECTORS)
    assert boot.length * 512 == MACHINE.layers[-1].size
    turned = boot_mirrored(mirrored(PLAIN), first_last=True)
    other = plan_layout(turned, turned.systems[0])
    assert other.boot is not None and other.boot.disk == 1
    source = content(other, 1).source
    assert isinstance(source, CowRun) and source.device == "/dev/vdm", "the array's first, not the disk's"


def test_a_leg_elsewhere_than_on_a_disk_is_refused() -> None:
    *layers, array = MACHINE.layers
    deep = replace(array, below=("/dev/vda1", "/dev/mapper/x"))
    (sentence,) = why_no_layout(replace(MACHINE, layers=(*layers, deep)), MACHINE.systems[0])
    assert sentence == "/dev/mapper/x, where /boot lies, is neither a disk nor a partition."


def test_a_leg_shorter_than_the_array_is_refused() -> None:
    *disks, last = MACHINE.disks
    *others, leg = last.partitions
    short = replace(last, partitions=(*others, replace(leg, size=leg.size // 2)))
    (sentence,) = why_no_layout(replace(MACHINE, disks=(*disks, short)), MACHINE.systems[0])
    assert sentence == "The leg /dev/vdm2 of a mirror is shorter than what it holds."


@pytest.fixture
def headed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every leg's super block is changed by one byte at its place."""
    monkeypatch.setattr(devices_module, "_head", lambda path, size=0: b"")
    patches = lambda heads, names, *_: tuple(Patch(4096, b"s") for _ in names)  # noqa: E731
    monkeypatch.setattr(devices_module.md_superblock, "in_form", patches)


def devices(host: FakeMapper, folder: Path) -> TwinDevices:
    volumes = {"root": "/dev/mapper/vg0-root--work"}
    return TwinDevices(host, "twinboot-tb1-work-", LAYOUT, volumes, "/dev/mapper/vg0-scratch", folder)


def test_it_is_one_device_that_both_disks_are_made_of(headed: None, tmp_path: Path) -> None:
    host = FakeMapper()
    devices(host, tmp_path).build()
    shown = [
        line.split()[1]
        for index, leg in enumerate(LAYOUT.mirrors[-1].legs)
        for start, _, line in host.tables[f"twinboot-tb1-work-disk{leg.disk}"]
        if start == content(LAYOUT, index).start
    ]
    assert len(shown) == 2 and len(set(shown)) == 1
    (table,) = host.tables[shown[0].removeprefix("/dev/mapper/")]
    assert " snapshot " in f" {table[2]}"
    at = [leg.start * 512 + 4096 for leg in LAYOUT.mirrors[-1].legs]
    assert [(to[-1], where) for to, where, data in host.written if data == b"s"][-2:] == [
        ("0", at[0]),
        ("1", at[1]),
    ]


def test_cut_at_every_write_it_is_cleared_up_and_built_again(headed: None, tmp_path: Path) -> None:
    whole = FakeMapper()
    devices(whole, tmp_path).build()
    for cut in range(whole.writes):
        host = FakeMapper(fail_at=cut)
        with pytest.raises(CommandFailed):
            devices(host, tmp_path).build()
        host.fail_at = -1
        devices(host, tmp_path).teardown()
        assert (host.tables, host.loops) == ({}, {}), f"cut at write {cut}"
        devices(host, tmp_path).build()
