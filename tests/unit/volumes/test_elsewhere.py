"""Copies elsewhere than on the machine: what is opened how, what is told of the room, what a seal is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import Refused, TwinFailed
from appliance.model.machine import Storage
from appliance.model.plan import FULL
from appliance.volumes import choose
from appliance.volumes.base import Snapshot, SnapshotRole, Use
from appliance.volumes.elsewhere import apart, bytes_for, free_bytes
from appliance.volumes.file_room import Place
from appliance.volumes.thick_room import OVERLAY_LEAST
from tests.contract.fake_elsewhere import ROOT, FakeElsewhere
from tests.contract.stores import FakeElsewhereBench, fake_elsewhere
from tests.unit.twin.machines import plain
from tests.unit.workflow import thick

MIB = 1 << 20
BASE = Snapshot("vg0", "root-tb1-base", "root", "tb1", SnapshotRole.BASE)
WORK = Snapshot("vg0", "root-tb1-work", "root-tb1-base", "tb1", SnapshotRole.WORK)
SEALED = Snapshot("vg0", "root-tb1-work", "root-tb1-work", "tb1", SnapshotRole.SEALED)
SCRATCH = Snapshot("vg0", "tb1-scratch", "", "tb1", SnapshotRole.SCRATCH)


@pytest.fixture
def bench() -> Iterator[FakeElsewhereBench]:
    made = fake_elsewhere()
    yield made
    made.close()


@pytest.fixture
def running(bench: FakeElsewhereBench) -> FakeElsewhereBench:
    """Everything up, as under a twin."""
    for snapshot in (BASE, WORK, SCRATCH):
        bench.store.create(snapshot)
        bench.store.activate(snapshot)
    return bench


def test_the_machines_disk_is_opened_for_reading_only(running: FakeElsewhereBench) -> None:
    touching = [c for c in running.host.commands if ROOT in c.stdin.decode() or ROOT in c.argv]
    assert [c.argv[:3] for c in touching] == [("dmsetup", "create", "--readonly")]
    windows = [f for f, readonly in running.host.loops.values() if readonly]
    assert windows == [running.store.view.device], "the copy looks through a loop that cannot write"
    assert not any(c.argv[0].startswith(("lv", "vg", "pv")) for c in running.host.commands)


def test_root_and_scratch_have_parts_of_their_own(running: FakeElsewhereBench) -> None:
    parts = [running.host.devices[f"twinboot-tb1-copy-{name}"] for name in ("root-tb1-work", "tb1-scratch")]
    sectors = [(int(p.split()[4]), int(p.split()[1])) for p in parts]
    assert sectors[0] == (0, (512 * MIB - OVERLAY_LEAST) // 512)
    assert sectors[1] == (sectors[0][1], OVERLAY_LEAST // 512)


def test_the_fuller_part_is_what_counts_for_the_brake(running: FakeElsewhereBench) -> None:
    assert running.store.fullest() < 1
    chunks = (512 * MIB - OVERLAY_LEAST) // 4096
    for block in range(int(chunks * (FULL + 1) / 100)):
        running.write(WORK.lv, block)
    assert FULL < running.store.fullest() < FULL + 2
    assert running.store.headroom().fullest == running.store.fullest()
    assert running.store.uses(WORK) == (Use("copy", running.store.fullest()),)


def test_a_part_that_overflowed_is_full(running: FakeElsewhereBench) -> None:
    for block in range(OVERLAY_LEAST // 4096):
        running.write(SCRATCH.lv, block)
    assert running.store.fullest() == 100


def test_base_stays_up_as_long_as_the_copy_looks_through_it(running: FakeElsewhereBench) -> None:
    running.store.deactivate(BASE)
    assert "view0" in running.active()
    running.store.deactivate(WORK)
    running.store.deactivate(BASE)
    assert "view0" not in running.active()


def test_a_copy_begins_blank_whatever_lay_there_before(running: FakeElsewhereBench) -> None:
    running.write(WORK.lv, 3)
    running.store.delete(WORK)
    running.store.create(WORK)
    running.store.activate(WORK)
    assert running.content(WORK.lv) == running.content("root")


def test_undoing_a_seal_under_a_twin_makes_it_the_work_volume_again(running: FakeElsewhereBench) -> None:
    running.store.seal(WORK, SEALED)
    running.store.delete(WORK)
    assert running.store.exists(SEALED), "a later stage is not deleted as an earlier one"
    running.store.delete(SEALED)
    assert running.store.exists(WORK) and not running.store.exists(SEALED)
    running.write(WORK.lv, 3)
    running.store.delete(WORK)
    assert running.names() == {"root", BASE.lv, SCRATCH.lv}


def test_a_sealed_copy_that_is_down_is_deleted_as_such(running: FakeElsewhereBench) -> None:
    running.store.seal(WORK, SEALED)
    running.store.release()
    running.store.delete(SEALED)
    assert running.names() == {"root", BASE.lv, SCRATCH.lv}


@pytest.mark.parametrize("role", [SnapshotRole.TRIAL, SnapshotRole.KEPT, SnapshotRole.SAFETY])
def test_nothing_that_a_machine_could_boot_is_ever_made_here(
    bench: FakeElsewhereBench, role: SnapshotRole
) -> None:
    with pytest.raises(TwinFailed):
        bench.store.create(Snapshot("vg0", "root-tb1", "root", "tb1", role))


def test_the_room_that_is_planned_holds_what_is_expected_below_the_mark() -> None:
    for expected in (0, 300 * MIB, 5 << 30):
        wanted = bytes_for(expected)
        assert wanted % MIB == 0
        assert free_bytes(wanted) >= expected
        assert apart(wanted) >= OVERLAY_LEAST


def test_the_root_is_read_from_its_own_extents(tmp_path: Path) -> None:
    machine = thick.machine()
    host = FakeElsewhere()
    store = choose.choose_elsewhere(host, machine, machine.systems[0], "tb1", Place(tmp_path), 512 * MIB)
    (shown,) = store.view.mappings
    assert shown.name == "twinboot-tb1-copy-view0" and not shown.writable
    assert shown.table == (f"0 {thick.ROOT * 8192} linear /dev/vda2 2048",)


def test_a_root_that_is_a_partition_is_read_whole_where_it_lies(tmp_path: Path) -> None:
    machine = plain()
    host = FakeElsewhere()
    store = choose.choose_elsewhere(host, machine, machine.systems[0], "tb1", Place(tmp_path), 512 * MIB)
    (shown,) = store.view.mappings
    assert shown.name == "twinboot-tb1-copy-view0" and not shown.writable
    assert shown.table == (f"0 {machine.systems[0].root.size // 512} linear /dev/vda4 0",)
    assert store.origin_stack == ()


def test_what_the_way_elsewhere_is_not_known_for_is_refused(tmp_path: Path) -> None:
    machine = thick.machine()
    (system,) = machine.systems
    assert choose.why_not_elsewhere(machine, system) == ()
    thin = replace(system, root=replace(system.root, storage=Storage.LVM_THIN))
    (why,) = choose.why_not_elsewhere(machine, thin)
    assert "with the copy elsewhere only one kept as LVM thick or btrfs or partition can be rehearsed" in why
    with pytest.raises(Refused, match="is a volume of its own"):
        other = thick.machine(srv=4)
        choose.choose_elsewhere(FakeElsewhere(), other, other.systems[0], "tb1", Place(tmp_path), MIB)
