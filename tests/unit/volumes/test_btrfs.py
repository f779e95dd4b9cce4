"""Snapshots of a btrfs root beyond the contract: one file system for all, and a seal that comes home."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, DamagedData, OutOfSpace, Refused, TwinFailed
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.btrfs import BtrfsStore
from appliance.volumes.btrfs_tags import Tags
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import RUN, BtrfsBench, played_btrfs, tree
from tests.contract.real_lvm import run

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")]


def snapshot(role: SnapshotRole, lv: str, origin: str = "") -> Snapshot:
    return Snapshot("btrfs", lv, origin, RUN, role)


BASE = snapshot(SnapshotRole.BASE, "@-tb1-base", "root")
WORK = snapshot(SnapshotRole.WORK, "@-tb1-work", BASE.lv)
SEALED = snapshot(SnapshotRole.SEALED, "@-tb1-sealed", WORK.lv)
TRIAL = snapshot(SnapshotRole.TRIAL, "@-tb1", SEALED.lv)
KEPT = replace(TRIAL, role=SnapshotRole.KEPT)


@pytest.fixture
def bench() -> Iterator[BtrfsBench]:
    made = played_btrfs()
    yield made
    made.close()


def sealed(bench: BtrfsBench) -> object:
    """The twin has written; what it was when it was stopped."""
    bench.store.create(BASE)
    bench.store.create(WORK)
    bench.store.activate(WORK)
    bench.write(WORK.lv, 3)
    was = bench.content(WORK.lv)
    bench.store.seal(WORK, SEALED)
    return was


def at_the_top(bench: BtrfsBench, *argv: str) -> None:
    """Run a program on the mounted file system: {} stands for its top level."""
    with bench.store.disk.writing() as mounted:
        run(*(word.replace("{}", str(mounted.top)) for word in argv))


def test_the_seal_is_taken_while_the_twins_disk_stands_and_comes_home_once_it_does_not(
    bench: BtrfsBench,
) -> None:
    store = bench.store
    assert isinstance(bench.host, PlayedMapper)
    store.create(BASE)
    store.create(WORK)
    device = store.activate(WORK)
    bench.write(WORK.lv, 3)
    was = bench.content(WORK.lv)
    size = run("blockdev", "--getsz", device).strip()
    # Of a table on top only the claim matters here; played, it would be a loop that could be detached.
    bench.host.devices["the-twin"] = f"0 {size} linear {device} 0"
    before = bench.content("root")
    store.seal(WORK, SEALED)
    assert store.exists(SEALED) and store.exists(WORK)
    with store.disk.reading() as mounted:
        assert not mounted.has("twinboot/@-tb1-sealed"), "the twin's disk still reads the partition"
    with pytest.raises(CommandFailed):
        store.create(TRIAL)
    del bench.host.devices["the-twin"]
    store.create(TRIAL)
    assert bench.content(SEALED.lv) == bench.content(TRIAL.lv) == was
    assert bench.content("root") == before
    assert not store.exists(WORK) and bench.active() == set()
    with store.disk.reading() as mounted:
        assert {s.path: s.readonly for s in mounted.look().subvolumes} == {
            "root": False,
            "twinboot/@-tb1-base": True,
            "twinboot/@-tb1-sealed": True,
            "twinboot/@-tb1": False,
        }


def test_nothing_is_written_to_the_partition_while_a_copy_looks_through_to_it(bench: BtrfsBench) -> None:
    store = bench.store
    store.create(BASE)
    trial = replace(TRIAL, origin="root")
    store.create(trial)
    store.create(WORK)
    store.activate(WORK)
    before = Path(bench.loop).read_bytes()
    acts: tuple[Callable[[], object], ...] = (
        lambda: store.create(snapshot(SnapshotRole.SAFETY, "@-tb1-safety", "root")),
        lambda: store.keep(trial),
        lambda: store.adopt("root", RUN),
        lambda: store.delete(BASE),
        lambda: store.settle(KEPT, "root"),
        lambda: store.disown("root"),
    )
    for act in acts:
        with pytest.raises(TwinFailed, match="is not written while a copy of it"):
            act()
    assert store.exists(BASE) and store.present("root") and store.ours()
    assert Path(bench.loop).read_bytes() == before
    store.deactivate(WORK)
    assert store.keep(trial).role is SnapshotRole.KEPT


def test_a_difference_that_the_room_does_not_hold_is_no_room_and_nothing_is_sealed(bench: BtrfsBench) -> None:
    bench.store = replace(bench.store, copies=replace(bench.store.copies, spare=1 << 20))
    store = bench.store
    store.create(BASE)
    store.create(WORK)
    store.activate(WORK)
    over = run("losetup", "--find", "--show", store.device(WORK)).strip()
    with store.disk.writing(over) as mounted:
        mounted.at("root/large").write_bytes(os.urandom(4 << 20))
    run("losetup", "-d", over)
    with pytest.raises(OutOfSpace):
        store.seal(WORK, SEALED)
    assert not store.exists(SEALED)
    store.delete(SEALED)
    store.delete(WORK)
    store.delete(BASE)
    assert bench.names() == {"root"}


def test_other_subvolumes_are_as_they_were_after_a_whole_round(bench: BtrfsBench) -> None:
    at_the_top(bench, "btrfs", "subvolume", "create", "{}/@home")
    at_the_top(bench, "cp", "{}/root/data", "{}/@home/mine")
    with bench.store.disk.reading() as mounted:
        home, generation = tree(mounted.at("@home")), mounted.generations("@home")
    was = sealed(bench)
    store = bench.store
    store.create(TRIAL)
    store.keep(TRIAL)
    store.delete(store.adopt("root", RUN))
    store.settle(KEPT, "root")
    store.disown("root")
    for left in store.ours():
        store.delete(left)
    assert bench.names() == {"root", "@home"} and bench.content("root") == was
    with store.disk.reading() as mounted:
        assert (tree(mounted.at("@home")), mounted.generations("@home")) == (home, generation)


def default_of(bench: BtrfsBench) -> str:
    with bench.store.disk.reading() as mounted:
        look = mounted.look()
        return look.path(look.default)


def test_the_default_subvolume_is_turned_and_keeps_to_the_one_that_is_renamed(bench: BtrfsBench) -> None:
    store = bench.store
    sealed(bench)
    store.create(TRIAL)
    assert not store.is_default("root") and not store.is_default(TRIAL.lv), "it is the top level"
    store.make_default("root")
    assert store.is_default("root") and default_of(bench) == "root"
    store.keep(TRIAL)
    assert default_of(bench) == "root", "a trial is started by its name, and kept by the metal"
    store.make_default(TRIAL.lv)
    store.make_default(TRIAL.lv)
    assert store.is_default(TRIAL.lv) and not store.is_default("root")
    store.delete(store.adopt("root", RUN))
    store.settle(KEPT, "root")
    assert default_of(bench) == "root" and store.is_default("root")


def test_what_is_not_there_is_no_default_and_can_not_become_it(bench: BtrfsBench) -> None:
    store = bench.store
    assert not store.is_default("@-tb9")
    with pytest.raises(TwinFailed, match="@-tb9 does not exist"):
        store.make_default("@-tb9")
    assert default_of(bench) == ""


def test_what_a_start_takes_unasked_is_not_deleted(bench: BtrfsBench) -> None:
    store = bench.store
    store.create(BASE)
    store.make_default("root")
    with pytest.raises(CommandFailed):
        store.delete(store.adopt("root", RUN))
    assert store.present("root") and store.is_default("root")


def test_a_file_that_only_went_is_a_change(bench: BtrfsBench) -> None:
    bench.store.create(BASE)
    assert bench.store.changed_since("root", BASE).bytes == 0
    at_the_top(bench, "rm", "{}/root/data")
    assert bench.store.changed_since("root", BASE).bytes == 4096


def test_empty_subvolumes_inside_an_old_root_go_with_it_and_files_are_never_lost(bench: BtrfsBench) -> None:
    at_the_top(bench, "mkdir", "-p", "{}/root/var/lib")
    for path in ("root/var/lib/machines", "root/var/lib/portables", "root/var/lib/machines/inner"):
        at_the_top(bench, "btrfs", "subvolume", "create", f"{{}}/{path}")
    at_the_top(bench, "touch", "{}/root/var/lib/machines/inner/disk")
    previous = bench.store.adopt("root", RUN)
    with pytest.raises(TwinFailed, match="root/var/lib/machines"):
        bench.store.delete(previous)
    assert bench.store.present("root")
    with bench.store.disk.reading() as mounted:
        assert len(mounted.look().subvolumes) == 4, "none of them went"
    at_the_top(bench, "rm", "{}/root/var/lib/machines/inner/disk")
    bench.store.delete(previous)
    assert bench.names() == set()


def test_a_stranger_with_the_first_name_is_no_finished_rename(bench: BtrfsBench) -> None:
    trial = replace(TRIAL, origin="root")
    bench.store.create(trial)
    bench.store.keep(trial)
    bench.store.delete(bench.store.adopt("root", RUN))
    at_the_top(bench, "btrfs", "subvolume", "create", "{}/root")
    with pytest.raises(Refused, match="root is still taken"):
        bench.store.settle(KEPT, "root")
    assert bench.names() == {"root", "@-tb1"}


@pytest.mark.parametrize("lv", ["../root", "a/b", "", ".hidden", "a\nb"])
def test_a_name_that_would_lead_elsewhere_is_refused(bench: BtrfsBench, lv: str) -> None:
    with pytest.raises((DamagedData, TwinFailed)):
        bench.store.create(snapshot(SnapshotRole.BASE, lv, "root"))
    assert bench.names() == {"root"}


@pytest.mark.parametrize(
    "text", ["", "{}", '{"schema":2,"run":"tb1","role":"base","origin":"root","path":"root"}']
)
def test_a_tag_that_does_not_read_is_damage_and_its_subvolume_stays(bench: BtrfsBench, text: str) -> None:
    bench.store.create(BASE)
    with bench.store.disk.writing() as mounted:
        (Tags(mounted.top).folder / BASE.lv).write_text(text)
    for act in (bench.store.delete, bench.store.exists):
        with pytest.raises(DamagedData, match="tag of @-tb1-base"):
            act(BASE)
    with bench.store.disk.reading() as mounted:
        assert mounted.has("twinboot/@-tb1-base")


def test_which_part_of_its_device_each_volume_is() -> None:
    store = BtrfsStore.__new__(BtrfsStore)
    object.__setattr__(store, "root", "@")
    said = {s.role: store.options(s) for s in (BASE, WORK, SEALED, TRIAL)}
    said[SnapshotRole.PROOF] = store.options(snapshot(SnapshotRole.PROOF, "@-tb1-proof", TRIAL.lv))
    said[SnapshotRole.SCRATCH] = store.options(snapshot(SnapshotRole.SCRATCH, "tb1-scratch"))
    assert said == {
        SnapshotRole.BASE: ("subvol=/twinboot/@-tb1-base",),
        SnapshotRole.WORK: ("subvol=/@",),
        SnapshotRole.SEALED: ("subvol=/twinboot/@-tb1-sealed",),
        SnapshotRole.TRIAL: ("subvol=/twinboot/@-tb1",),
        SnapshotRole.PROOF: ("subvol=/twinboot/@-tb1",),
        SnapshotRole.SCRATCH: (),
    }


def test_a_root_at_the_top_level_is_refused(bench: BtrfsBench) -> None:
    assert bench.store.why_not(1 << 30) == ()
    (said,) = replace(bench.store, root="").why_not(0)
    assert said.startswith(f"The root on {bench.loop} lies at the top level") and said.endswith(".")
