"""What every SnapshotStore promises, tried on each of them."""

from __future__ import annotations

import pytest

from appliance.errors import Refused, TwinFailed
from appliance.volumes.base import Snapshot, SnapshotRole
from tests.contract.stores import Bench, snapshot


def _base(bench: Bench) -> Snapshot:
    return snapshot(bench, "base", "root", SnapshotRole.BASE)


def _work(bench: Bench) -> Snapshot:
    return snapshot(bench, "work", "base", SnapshotRole.WORK)


def test_a_snapshot_stays_what_its_origin_was(bench: Bench) -> None:
    bench.store.create(_base(bench))
    before = bench.content("base")
    bench.write("root", 1)
    assert bench.content("base") == before
    assert bench.content("root") != before


def test_create_twice_is_create_once(bench: Bench) -> None:
    bench.store.create(_base(bench))
    bench.write("root", 1)
    kept = bench.content("base")
    bench.store.create(_base(bench))
    assert bench.content("base") == kept
    assert bench.names() == {"root", "base"}


@pytest.mark.parametrize("act", ["create", "exists", "activate", "deactivate", "delete"])
def test_a_foreign_volume_of_that_name_is_never_touched(bench: Bench, act: str) -> None:
    bench.foreign("base")
    before = bench.content("base")
    with pytest.raises(TwinFailed):
        getattr(bench.store, act)(_base(bench))
    assert bench.content("base") == before
    assert "base" in bench.names()
    assert "base" not in bench.active()


def _sealed(bench: Bench) -> Snapshot:
    return snapshot(bench, "work" if bench.one_volume else "sealed", "work", SnapshotRole.SEALED)


def test_from_work_to_trial_each_stage_is_there_and_what_was_sealed_stays(bench: Bench) -> None:
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    sealed = _sealed(bench)
    trial = snapshot(bench, "work" if bench.one_volume else "trial", sealed.lv, SnapshotRole.TRIAL)
    assert not bench.store.exists(sealed) and not bench.store.exists(trial)
    bench.store.seal(_work(bench), sealed)
    bench.store.seal(_work(bench), sealed)
    assert not bench.store.exists(trial)
    for _ in range(2):
        bench.store.create(trial)
        assert bench.store.exists(sealed) and bench.store.exists(trial)
    bench.write(trial.lv, 7)
    bench.store.delete(_work(bench))
    assert bench.store.exists(trial), "the work volume goes, the trial stays"
    bench.store.delete(trial)
    bench.store.delete(sealed)
    assert bench.names() == {"root", "base"}


CREATED = [r for r in SnapshotRole if r.value not in ("state", "previous", "kept", "emptied")]


@pytest.mark.parametrize("role", CREATED)
def test_what_is_made_does_not_come_up_by_itself(bench: Bench, role: SnapshotRole) -> None:
    """Where a snapshot can not be up without its origin, each is up as soon as that is."""
    origin = "" if role is SnapshotRole.SCRATCH else "root"
    bench.store.create(snapshot(bench, "made", origin, role), size=1 << 20)
    assert bench.autoactivates("made") is (bench.with_origin and role not in bench.apart)


def test_the_trial_volume_comes_up_by_itself_from_when_it_is_shown_until_it_is_hidden(bench: Bench) -> None:
    sealed = _sealed(bench)
    trial = snapshot(bench, "work" if bench.one_volume else "trial", sealed.lv, SnapshotRole.TRIAL)
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    bench.store.seal(_work(bench), sealed)
    with pytest.raises(TwinFailed):
        bench.store.show(trial)
    bench.store.create(trial)
    assert bench.store.shown(trial) is bench.autoactivates(trial.lv) is bench.with_origin
    for _ in range(2):
        bench.store.show(trial)
        assert bench.store.shown(trial) and bench.autoactivates(trial.lv)
    assert trial.lv not in bench.active(), "it is for the machine's next start, not for ours"
    for _ in range(2):
        bench.store.hide(trial)
        assert bench.store.shown(trial) is bench.autoactivates(trial.lv) is bench.with_origin
    bench.store.delete(trial)
    bench.store.hide(trial)


def test_what_the_old_system_wrote_is_seen(bench: Bench) -> None:
    bench.store.create(_base(bench))
    assert not bench.store.changed_since("root", _base(bench))
    bench.write("root", 1)
    changed = bench.store.changed_since("root", _base(bench))
    assert changed and changed.bytes == changed.block
    bench.write("root", 77)
    twice = bench.store.changed_since("root", _base(bench))
    assert twice.bytes == (2 if bench.counts else 1) * changed.block


def test_what_others_wrote_is_seen_whether_we_write_beside_it_or_not(bench: Bench) -> None:
    bench.store.create(_base(bench))
    for written in (False, True):
        with bench.store.our_writes("root"):
            pass
        assert bool(bench.store.changed_since("root", _base(bench))) is written
        bench.write("root", 1)


def test_changed_since_can_be_asked_again_after_being_cut_short(bench: Bench) -> None:
    bench.store.create(_base(bench))
    bench.store.changed_since("root", _base(bench))
    assert not bench.store.changed_since("root", _base(bench))


def test_delete_never_takes_the_installed_volume(bench: Bench) -> None:
    with pytest.raises(TwinFailed):
        bench.store.delete(snapshot(bench, "root", "", SnapshotRole.WORK))
    assert "root" in bench.names()


def test_orphans_are_the_disposable_volumes_of_unknown_runs(bench: Bench) -> None:
    bench.foreign("theirs")
    for run in ("tb1", "tb2"):
        bench.store.create(snapshot(bench, f"{run}-base", "root", SnapshotRole.BASE, run))
        bench.store.create(snapshot(bench, f"{run}-trial", "root", SnapshotRole.TRIAL, run))
    assert [s.lv for s in bench.store.orphans(frozenset({"tb2"}))] == ["tb1-base"]
    assert [s.lv for s in bench.store.orphans(frozenset())] == ["tb1-base", "tb2-base"]
    assert {s.lv for s in bench.store.ours()} == {"tb1-base", "tb1-trial", "tb2-base", "tb2-trial"}


def test_ours_says_what_was_created(bench: Bench) -> None:
    bench.store.create(_base(bench))
    assert bench.store.ours() == (_base(bench),)


def test_from_trial_to_the_first_name_back(bench: Bench) -> None:
    """Retire: the old volume is taken over by name, deleted, and the kept one gets its name."""
    trial = snapshot(bench, "trial", "root", SnapshotRole.TRIAL)
    bench.store.create(trial)
    kept = bench.store.keep(trial)
    assert kept.role is SnapshotRole.KEPT
    assert bench.store.keep(trial) == kept, "twice is once"
    content = bench.content("trial")
    with pytest.raises(Refused):
        bench.store.settle(kept, "root")
    previous = bench.store.adopt("root", "tb1")
    assert bench.store.adopt("root", "tb1") == previous, "twice is once"
    assert bench.store.orphans(frozenset()) == (), "neither is ever an orphan"
    bench.store.delete(previous)
    bench.store.settle(kept, "root")
    bench.store.settle(kept, "root")
    assert bench.names() == {"root"}
    assert bench.content("root") == content
    bench.store.disown("root")
    bench.store.disown("root")
    assert bench.store.ours() == ()
    with pytest.raises(TwinFailed):
        bench.store.delete(kept)
        bench.store.delete(snapshot(bench, "root", "", SnapshotRole.KEPT))
    assert bench.names() == {"root"}, "what is the machine's own again is never deleted"


def test_a_volume_beside_the_root_goes_the_same_way_in_roles_of_its_own(bench: Bench) -> None:
    """`root` stands for any installed volume here: the roles say whose it is, not the name."""
    if bench.one_volume or bench.apart:
        pytest.skip("a set of more than the root is refused on this storage")
    base = snapshot(bench, "base", "root", SnapshotRole.SET_BASE)
    work = snapshot(bench, "work", "base", SnapshotRole.SET_WORK)
    sealed = snapshot(bench, "sealed", "work", SnapshotRole.SET_SEALED)
    trial = snapshot(bench, "trial", "sealed", SnapshotRole.SET_TRIAL)
    for each in (base, work):
        bench.store.create(each)
    bench.write("work", 1)
    bench.store.seal(work, sealed)
    bench.store.create(trial)
    for each in (base, sealed):
        with pytest.raises(OSError):
            bench.write(each.lv, 2)
    assert bench.content("trial") == bench.content("work") and not bench.autoactivates("trial")
    assert {s.lv for s in bench.store.orphans(frozenset())} == {"base", "work", "sealed"}
    with pytest.raises(TwinFailed):
        bench.store.delete(snapshot(bench, "trial", "sealed", SnapshotRole.TRIAL))
    bench.store.show(trial)
    assert bench.autoactivates("trial")
    kept = bench.store.keep(trial)
    assert kept.role is SnapshotRole.SET_KEPT and bench.store.keep(trial) == kept
    content = bench.content("trial")
    for each in (bench.store.adopt("root", "tb1"), base, work, sealed):
        bench.store.delete(each)
    bench.store.settle(kept, "root")
    bench.store.disown("root")
    assert (bench.names(), bench.content("root")) == ({"root"}, content)
    assert bench.store.ours() == ()


def test_disown_of_what_is_gone_is_an_error(bench: Bench) -> None:
    with pytest.raises(TwinFailed):
        bench.store.disown("nothing")


def test_an_installed_volume_is_brought_up_to_be_read(bench: Bench) -> None:
    assert bench.store.present("root")
    assert not bench.store.present("nothing")
    assert bench.store.activate_installed("root").startswith("/dev/")
    bench.store.deactivate_installed("root")
    bench.store.deactivate_installed("root")
    bench.store.deactivate_installed("nothing")


def test_settle_never_mistakes_a_foreign_volume_for_a_finished_rename(bench: Bench) -> None:
    with pytest.raises(TwinFailed):
        bench.store.settle(snapshot(bench, "trial", "root", SnapshotRole.KEPT), "root")
