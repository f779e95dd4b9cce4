"""Thick snapshots where they are not like thin ones: stages, families, the witness, and the way home."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.errors import CommandFailed, DamagedData, OutOfSpace, Refused, TwinFailed
from appliance.host.run import Command, Output
from appliance.volumes import thick_room, thick_volumes
from appliance.volumes.base import PutBack, Snapshot, SnapshotRole
from appliance.volumes.cow import CHUNK, CowUse, cover_bytes, parse_uses
from appliance.volumes.lvm_thick import LvmThickStore
from appliance.volumes.overlay import EMPTY, Overlay
from tests.contract.fake_thick import FakeThickLvm, ThickLv
from tests.contract.stores import thick_group

MIB = 1 << 20
BASE = Snapshot("vg0", "root-tb1-base", "root", "tb1", SnapshotRole.BASE)
WORK = Snapshot("vg0", "root-tb1", "root-tb1-base", "tb1", SnapshotRole.WORK)
SEALED = Snapshot("vg0", "root-tb1", "root-tb1", "tb1", SnapshotRole.SEALED)
TRIAL = Snapshot("vg0", "root-tb1", "root-tb1", "tb1", SnapshotRole.TRIAL)
PROOF = Snapshot("vg0", "root-tb1-proof", "root-tb1", "tb1", SnapshotRole.PROOF)
SCRATCH = Snapshot("vg0", "tb1-scratch", "", "tb1", SnapshotRole.SCRATCH)


def thick(root: int = 40 * MIB, extents: int = 2000) -> tuple[FakeThickLvm, LvmThickStore]:
    lvm = FakeThickLvm(extents)
    lvm.add("root", root, 10)
    return lvm, LvmThickStore(lvm, thick_group(root=root), ("--config", "devices {}"), "root")


def rehearsed() -> tuple[FakeThickLvm, LvmThickStore]:
    """After a good run: base and trial volume, with one block of the trial's own."""
    lvm, store = thick()
    store.create(BASE)
    store.create(WORK)
    lvm.write("root-tb1", 3)
    store.seal(WORK, SEALED)
    store.create(TRIAL)
    return lvm, store


def test_a_covering_store_holds_every_block_and_its_description() -> None:
    assert cover_bytes(40 * MIB, 4 * MIB) == 44 * MIB
    assert cover_bytes(4096, 512) == 3 * CHUNK
    for size in (1, CHUNK, 255 * CHUNK, 256 * CHUNK, 10**9, 1 << 34):
        chunks = -(-size // CHUNK)
        assert cover_bytes(size, CHUNK) // CHUNK >= chunks + 1 + -(-chunks // 256)


def test_the_kernels_lines_are_read_and_nothing_else_is() -> None:
    text = (
        "vg0-root--tb1: 0 81920 snapshot 8208/90112 16\n"
        "vg0-tb1--scratch-over: 0 2199023255552 snapshot 16/786432 16\n"
        "vg0-lost: 0 81920 snapshot Invalid\n"
    )
    uses = parse_uses(text)
    assert uses["vg0-root--tb1"] == CowUse(81920 * 512, 8208 * 512, 90112 * 512, 16 * 512)
    assert uses["vg0-root--tb1"].written == 4 * MIB and uses["vg0-root--tb1"].covers
    assert not uses["vg0-tb1--scratch-over"].covers and uses["vg0-tb1--scratch-over"].written == 0
    assert (uses["vg0-lost"].percent, uses["vg0-lost"].written) == (100.0, 81920 * 512)
    assert parse_uses("No devices found\n") == {}
    with pytest.raises(DamagedData):
        parse_uses("vg0-root: 0 81920 linear\n")


def test_a_run_is_refused_where_its_snapshot_could_fill() -> None:
    needed = cover_bytes(40 * MIB, MIB) + thick_room.WITNESS + 3 * thick_room.OVERLAY_LEAST
    enough = (needed + 64 * MIB) // MIB
    assert thick_room.why_not(thick_group(enough), "root") == ()
    (sentence,) = thick_room.why_not(thick_group(enough - 1), "root")
    assert f"needs {needed // MIB} MiB" in sentence and f"{needed // MIB - 1} MiB are free" in sentence
    assert len(thick_room.why_not(thick_group(0, missing=1), "root")) == 2


def test_the_work_volumes_store_covers_the_origin_and_the_witness_does_not() -> None:
    lvm, store = thick()
    store.create(BASE)
    store.create(WORK)
    assert lvm.lvs["root-tb1"].size == cover_bytes(40 * MIB, MIB)
    assert lvm.lvs["root-tb1"].origin == "root", "LVM takes no snapshot of a snapshot"
    assert lvm.lvs["root-tb1-base"].size == thick_room.WITNESS
    for block in range(40 * MIB // CHUNK):
        lvm.write("root", block)
        lvm.write("root-tb1", block)
    assert lvm.lvs["root-tb1-base"].lost and not lvm.lvs["root-tb1"].lost
    seen = store.changed_since("root", BASE).bytes
    assert seen == thick_room.WITNESS, "a lost witness has seen at least what it could hold"
    assert store.fullest() == 0.0, "what covers cannot fill, and the witness may"
    store.activate(WORK)
    (use,) = store.uses(WORK)
    assert (use.what, use.fills) == ("snapshot", False) and 95 < use.percent <= 100


def test_no_work_volume_is_taken_of_an_origin_that_was_written_meanwhile() -> None:
    lvm, store = thick()
    store.create(BASE)
    lvm.write("root", 5)
    with pytest.raises(TwinFailed, match="was written to"):
        store.create(WORK)
    assert set(lvm.lvs) == {"root", "root-tb1-base"}


def test_no_snapshot_is_taken_of_one_that_was_written() -> None:
    lvm, store = thick()
    store.create(BASE)
    store.create(WORK)
    with pytest.raises(TwinFailed, match="no snapshot of a snapshot"):
        store.create(Snapshot("vg0", "other", "root-tb1", "tb1", SnapshotRole.SAFETY))
    with pytest.raises(TwinFailed, match="does not exist"):
        store.create(Snapshot("vg0", "other", "nothing", "tb1", SnapshotRole.SAFETY))
    assert set(lvm.lvs) == {"root", "root-tb1-base", "root-tb1"}


def test_no_room_is_said_as_such() -> None:
    lvm, store = thick(extents=50)
    with pytest.raises(OutOfSpace):
        store.create(replace(WORK, origin="root"))
    assert set(lvm.lvs) == {"root"}


def test_what_lvcreate_left_half_made_is_made_again() -> None:
    """lvcreate writes a plain volume with our tags first; a cut there leaves no snapshot."""
    lvm, store = thick()
    tags = frozenset({"twinboot", "twinboot.role=base", "twinboot.run=tb1", "twinboot.origin=root"})
    lvm.lvs[BASE.lv] = ThickLv(BASE.lv, 16 * MIB, tags=tags)
    assert not store.exists(BASE)
    store.create(BASE)
    assert store.exists(BASE) and lvm.lvs[BASE.lv].origin == "root"
    lvm.lvs[BASE.lv] = ThickLv(BASE.lv, 16 * MIB, tags=tags)
    store.delete(BASE)
    assert set(lvm.lvs) == {"root"}


def test_a_seal_that_is_undone_under_a_standing_twin_leaves_the_work_volume_to_it() -> None:
    lvm, store = thick()
    store.create(BASE)
    store.create(WORK)
    store.seal(WORK, SEALED)
    lvm.lvs["root-tb1"] = replace(lvm.lvs["root-tb1"], held=True)
    store.delete(SEALED)
    assert store.exists(WORK) and not store.exists(SEALED) and lvm.lvs["root-tb1"].writable
    lvm.lvs["root-tb1"] = replace(lvm.lvs["root-tb1"], held=False)
    store.delete(WORK)
    store.delete(BASE)
    assert set(lvm.lvs) == {"root"}


def test_sealing_into_another_volume_is_refused_before_anybody_is_stopped() -> None:
    lvm, store = thick()
    store.create(replace(WORK, origin="root"))
    stopped = list[int]()
    with pytest.raises(TwinFailed):
        store.seal(WORK, replace(SEALED, lv="elsewhere"), lambda: stopped.append(1))
    assert stopped == [] and "elsewhere" not in lvm.lvs


def test_the_family_stays_up_until_its_last_user_has_gone() -> None:
    lvm, store = rehearsed()
    store.activate(BASE)
    lvm.lvs["root-tb1"] = replace(lvm.lvs["root-tb1"], held=True)
    store.deactivate(BASE)
    assert lvm.lvs["root"].active
    with pytest.raises(CommandFailed):
        store.release()
    lvm.lvs["root-tb1"] = replace(lvm.lvs["root-tb1"], held=False)
    store.deactivate(BASE)
    assert not lvm.lvs["root"].active


def test_an_installed_volume_is_never_deleted_with_snapshots_on_it() -> None:
    """lvremove takes every snapshot of a volume along, unasked."""
    lvm, store = thick()
    store.create(BASE)
    previous = store.adopt("root", "tb1")
    with pytest.raises(TwinFailed, match="stands on it"):
        store.delete(previous)
    assert set(lvm.lvs) == {"root", "root-tb1-base"}
    with pytest.raises(TwinFailed, match="no linear volume"):
        store.adopt("root-tb1-base", "tb1")


def test_the_old_system_goes_in_one_write_and_the_kept_one_has_it_for_itself() -> None:
    lvm, store = rehearsed()
    kept, content = store.keep(TRIAL), lvm.read("root-tb1")
    previous = store.adopt("root", "tb1")
    for _ in range(2):
        store.delete(previous if store.present("root") else replace(previous, role=SnapshotRole.EMPTIED))
        assert 0 not in lvm.read("root"), "nothing to mount is left"
        assert lvm.read("root-tb1") == content
        assert not store.present("root")
        assert "root" not in {s.lv for s in store.ours()}, "nobody deletes what the kept volume goes into"
    store.delete(BASE)
    store.settle(kept, "root")
    assert lvm.read("root") == content and set(lvm.lvs) == {"root"}
    assert not lvm.lvs["root"].active


def test_a_merge_that_was_cut_short_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lvm, store = rehearsed()
    kept, content = store.keep(TRIAL), lvm.read("root-tb1")
    store.delete(store.adopt("root", "tb1"))
    store.delete(BASE)
    lvm.merge_stops = True
    monkeypatch.setattr(thick_volumes, "MERGE_LIMIT", 0.0)
    monkeypatch.setattr(thick_volumes.time, "sleep", lambda _: None)
    with pytest.raises(CommandFailed, match="in time"):
        store.settle(kept, "root")
    assert "root-tb1" not in lvm.lvs and lvm.merging, "hidden, and not yet home"
    lvm.merge_stops = False
    store.settle(kept, "root")
    assert lvm.read("root") == content and not lvm.merging
    store.disown("root")
    assert lvm.lvs["root"].tags == frozenset()


def test_a_merge_that_lvm_puts_off_is_made_to_begin() -> None:
    """lvconvert looks whether a device is open, and udev may have one open just then (tools/lvconvert.c)."""
    lvm, store = rehearsed()
    kept, content = store.keep(TRIAL), lvm.read("root-tb1")
    store.delete(store.adopt("root", "tb1"))
    store.delete(BASE)
    lvm.merge_is_put_off = True
    store.settle(kept, "root")
    assert lvm.read("root") == content and not lvm.merging


def test_a_kept_volume_goes_into_no_other_than_its_origin() -> None:
    lvm, store = rehearsed()
    kept = store.keep(TRIAL)
    with pytest.raises(TwinFailed, match="is not what"):
        store.settle(kept, "elsewhere")
    lvm.add("elsewhere", MIB, 1)
    emptied = frozenset({"twinboot", "twinboot.role=emptied", "twinboot.run=tb1"})
    lvm.lvs["elsewhere"] = replace(lvm.lvs["elsewhere"], tags=emptied)
    with pytest.raises(TwinFailed, match="is no snapshot of"):
        store.settle(kept, "elsewhere")
    assert "root-tb1" in lvm.lvs and not lvm.merging


def test_an_overlay_is_a_plain_volume_on_the_disk_and_a_snapshot_in_the_kernel() -> None:
    lvm, store = rehearsed()
    store.create(SCRATCH, size=1 << 40)
    store.create(PROOF)
    for snapshot in (SCRATCH, PROOF):
        assert lvm.lvs[snapshot.lv].origin == "" and lvm.lvs[snapshot.lv].skip
        assert store.activate(snapshot) == store.device(snapshot)
        store.activate(snapshot)
    assert lvm.devices == {
        "vg0-tb1--scratch-zeros": f"0 {EMPTY // 512} zero",
        "vg0-tb1--scratch-over": (
            f"0 {EMPTY // 512} snapshot /dev/mapper/vg0-tb1--scratch-zeros /dev/mapper/vg0-tb1--scratch P 8"
        ),
        "vg0-root--tb1--proof-over": (
            f"0 {lvm.lvs['root-tb1'].size // 512} snapshot /dev/loop0 /dev/mapper/vg0-root--tb1--proof P 8"
        ),
    }
    assert lvm.loops == {"/dev/loop0": "/dev/mapper/vg0-root--tb1"}
    store.deactivate(PROOF)
    assert lvm.loops == {} and "vg0-root--tb1--proof-over" not in lvm.devices
    assert not lvm.lvs["root"].active, "what lies below went down with it"
    store.release()
    assert lvm.devices == {} and not lvm.lvs["tb1-scratch"].active
    store.delete(SCRATCH)
    store.delete(PROOF)
    assert set(lvm.lvs) == {"root", "root-tb1", "root-tb1-base"}


def test_only_overlays_of_this_group_count_as_room() -> None:
    lvm, store = rehearsed()
    store.create(SCRATCH)
    store.activate(SCRATCH)
    lvm.lvs["tb1-scratch"] = replace(
        lvm.lvs["tb1-scratch"], blocks=dict.fromkeys(range(lvm.lvs["tb1-scratch"].size // CHUNK // 2), 1)
    )
    assert store.fullest() == pytest.approx(50, abs=1)
    assert [(u.what, round(u.percent), u.fills) for u in store.uses(PROOF)] == [("scratch", 50, True)]
    assert store.headroom().kind == "volume group"


def test_an_overlay_over_a_busy_loop_is_not_made_twice() -> None:
    class Failing(FakeThickLvm):
        fail = True

        def run(self, command: Command) -> Output:
            if self.fail and command.argv[:2] == ("dmsetup", "create"):
                raise CommandFailed("no room in the kernel")
            return super().run(command)

    lvm = Failing()
    lvm.add("below", MIB, 1)
    lvm.add("store", MIB, 0)
    overlay = Overlay(lvm, "/dev/mapper/vg0-store", "/dev/mapper/vg0-below")
    with pytest.raises(CommandFailed):
        overlay.up()
    lvm.fail = False
    overlay.up()
    assert list(lvm.loops) == ["/dev/loop0"]
    overlay.down()
    overlay.down()
    assert lvm.loops == {} and lvm.devices == {}


def test_data_is_not_put_back_and_says_so() -> None:
    _, store = thick()
    safety = Snapshot("vg0", "srv-tb1-safety", "srv", "tb1", SnapshotRole.SAFETY)
    data = PutBack(safety, replace(safety, lv="srv-tb1-undone", role=SnapshotRole.UNDONE))
    assert store.why_not_put_back((data,)) == ("vg0/srv is not in a thin pool: it can not be put back.",)
    with pytest.raises(Refused):
        store.put_back(data)
    assert not store.is_put_back(data)
