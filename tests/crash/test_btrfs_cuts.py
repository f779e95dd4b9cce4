"""The power goes at every write of a btrfs store; what the disk held at that moment is looked at again.

A picture of the disk is taken before anything is unmounted, so what was not committed yet is not in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.btrfs import BtrfsStore
from tests.contract.dark import PowerCut
from tests.contract.played_mapper import PlayedMapper
from tests.contract.real_btrfs import RUN, BtrfsBench, played_btrfs, tree
from tests.contract.real_lvm import run
from tests.crash.diskcut import Cut, Dark, count_tags

pytestmark = [
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


def snapshot(role: SnapshotRole, lv: str, origin: str = "") -> Snapshot:
    return Snapshot("btrfs", lv, origin, RUN, role)


BASE = snapshot(SnapshotRole.BASE, "@-tb1-base", "root")
WORK = snapshot(SnapshotRole.WORK, "@-tb1-work", BASE.lv)
SEALED = snapshot(SnapshotRole.SEALED, "@-tb1-sealed", WORK.lv)
TRIAL = snapshot(SnapshotRole.TRIAL, "@-tb1", SEALED.lv)
KEPT = replace(TRIAL, role=SnapshotRole.KEPT)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    made = Cut()
    count_tags(monkeypatch, made)
    return made


def darkened(store: BtrfsStore, cut: Cut) -> BtrfsStore:
    host = Dark(store.host, cut)
    return replace(store, host=host, disk=replace(store.disk, host=host))


def rehearse(bench: BtrfsBench, store: BtrfsStore) -> None:
    store.create(BASE)
    store.create(WORK)
    store.activate(WORK)
    bench.write(WORK.lv, 3)
    store.seal(WORK, SEALED)
    store.create(TRIAL)


def retire(store: BtrfsStore) -> None:
    """What a start after a cut goes on with: each verb by itself may be called twice."""
    if KEPT.lv in {s.lv for s in store.ours()}:
        store.keep(TRIAL)
        if store.present("root") and not _is_kept(store):
            store.make_default(TRIAL.lv)
            store.delete(store.adopt("root", RUN))
    store.settle(KEPT, "root")
    store.disown("root")


def _is_kept(store: BtrfsStore) -> bool:
    """Whether what is called root is the kept one: its name is there under our folder no more."""
    with store.disk.reading() as mounted:
        return not mounted.has(f"twinboot/{KEPT.lv}")


def after_the_cut(bench: BtrfsBench, cut: Cut) -> None:
    """The machine starts again: no device is up, and the disk holds what it held."""
    assert isinstance(bench.host, PlayedMapper)
    bench.store.release()
    bench.host.close()
    run("losetup", "-d", bench.loop)
    shutil.copyfile(f"{cut.disk}.cut", cut.disk)
    run("btrfs", "check", "--readonly", str(cut.disk))
    run("losetup", bench.loop, str(cut.disk))
    bench.store.copies.make_room(lambda done, total: None)


def writes_of(
    act: Callable[[BtrfsBench, BtrfsStore], None], cut: Cut, ready: Callable[[BtrfsBench], None]
) -> int:
    bench = played_btrfs()
    try:
        ready(bench)
        cut.told.clear()
        act(bench, darkened(bench.store, cut))
        return len(cut.told)
    finally:
        bench.close()


def cut_everywhere(
    cut: Cut,
    act: Callable[[BtrfsBench, BtrfsStore], None],
    ready: Callable[[BtrfsBench], None],
    then: Callable[[BtrfsBench], None],
) -> int:
    total = writes_of(act, cut, ready)
    for number in range(total):
        bench = played_btrfs()
        try:
            cut.left = 10**6
            ready(bench)
            cut.disk, cut.left = bench.folder / "disk.img", number
            with pytest.raises(PowerCut):
                act(bench, darkened(bench.store, cut))
            cut.left = 10**6
            after_the_cut(bench, cut)
            then(bench)
        finally:
            cut.left = 10**6
            bench.close()
    return total


def test_a_rehearsal_that_is_cut_leaves_the_root_and_nothing_that_can_not_be_undone(cut: Cut) -> None:
    first: dict[str, object] = {}

    def ready(bench: BtrfsBench) -> None:
        first["root"] = bench.content("root")

    def undone(bench: BtrfsBench) -> None:
        store = bench.store
        assert bench.content("root") == first["root"]
        for left in (TRIAL, SEALED, WORK, BASE):
            store.delete(left)
        assert bench.names() == {"root"} and store.ours() == ()
        rehearse(bench, store)
        assert store.exists(TRIAL) and bench.content(TRIAL.lv) == bench.content(SEALED.lv) != first["root"]
        assert bench.content("root") == first["root"]

    assert cut_everywhere(cut, rehearse, ready, undone) >= 14


def test_a_retirement_that_is_cut_goes_on_to_the_kept_system_under_the_first_name(cut: Cut) -> None:
    was: dict[str, object] = {}

    def ready(bench: BtrfsBench) -> None:
        with bench.store.disk.writing() as mounted:
            mounted.make_default(mounted.look().at("root"))
        rehearse(bench, bench.store)
        was["trial"] = bench.content(TRIAL.lv)

    def goes_on(bench: BtrfsBench) -> None:
        with bench.store.disk.reading() as mounted:
            look = mounted.look()
            assert look.path(look.default) in ("root", f"twinboot/{TRIAL.lv}"), "one of the two starts"
            there = [path for path in ("root", f"twinboot/{TRIAL.lv}") if look.at(path)]
            assert was["trial"] in [tree(mounted.at(path)) for path in there]
        retire(bench.store)
        assert bench.content("root") == was["trial"]
        with bench.store.disk.reading() as mounted:
            assert mounted.look().default == mounted.look().at("root")
        assert {s.lv for s in bench.store.ours()} == {BASE.lv, SEALED.lv}

    assert cut_everywhere(cut, lambda _, store: retire(store), ready, goes_on) >= 9
