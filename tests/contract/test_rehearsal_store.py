"""What every RehearsalStore promises: those that keep what they make, and those that throw it away."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from appliance.errors import ApplianceError, TwinFailed
from appliance.volumes.base import Snapshot, SnapshotRole
from tests.contract.conftest import BENCHES, REAL, each
from tests.contract.stores import RehearsalBench, fake_elsewhere, snapshot

ALL: dict[str, Callable[[], RehearsalBench]] = {**BENCHES, **({} if REAL else {"elsewhere": fake_elsewhere})}


@pytest.fixture(params=each(ALL))
def bench(request: pytest.FixtureRequest) -> Iterator[RehearsalBench]:
    made = ALL[request.param]()
    yield made
    made.close()


def _base(bench: RehearsalBench) -> Snapshot:
    return snapshot(bench, "base", "root", SnapshotRole.BASE)


def _work(bench: RehearsalBench) -> Snapshot:
    return snapshot(bench, "work", "base", SnapshotRole.WORK)


def _sealed(bench: RehearsalBench) -> Snapshot:
    return snapshot(bench, "work" if bench.one_volume else "sealed", "work", SnapshotRole.SEALED)


def test_writing_a_snapshot_leaves_the_origin_alone(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    before = bench.content("root")
    bench.store.activate(_work(bench))
    bench.write("work", 1)
    assert bench.content("root") == before
    assert bench.content("work") != before


def test_exists_says_so_only_of_ours(bench: RehearsalBench) -> None:
    assert not bench.store.exists(_base(bench))
    bench.store.create(_base(bench))
    assert bench.store.exists(_base(bench))


def test_another_runs_volume_of_that_name_is_never_touched(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    with pytest.raises(TwinFailed):
        bench.store.delete(snapshot(bench, "base", "root", SnapshotRole.BASE, run="tb2"))
    assert "base" in bench.names()


def test_seal_is_read_only_and_is_the_work_of_that_moment(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    bench.store.activate(_work(bench))
    bench.write("work", 3)
    sealed, stopped = _sealed(bench), list[str]()
    kept = bench.content("work")
    bench.store.seal(_work(bench), sealed, lambda: stopped.append("no more writes"))
    assert bench.store.exists(sealed)
    assert bench.content(sealed.lv) == kept
    assert stopped or not bench.one_volume, "whoever writes it has been stopped"
    if not stopped:
        bench.write("work", 4)
    assert bench.content(sealed.lv) == kept
    with pytest.raises(OSError):
        bench.write(sealed.lv, 5)


def test_seal_of_something_else_is_refused(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    with pytest.raises(TwinFailed):
        bench.store.seal(_work(bench), snapshot(bench, "sealed", "base", SnapshotRole.SEALED))


def test_delete_twice_is_delete_once(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    bench.store.delete(_base(bench))
    bench.store.delete(_base(bench))
    assert bench.names() == {"root"}


def test_scratch_is_empty_and_may_be_larger_than_the_room(bench: RehearsalBench) -> None:
    scratch = snapshot(bench, "scratch", "", SnapshotRole.SCRATCH)
    bench.store.create(scratch, size=1 << 40)
    assert bench.store.exists(scratch)


def test_release_takes_everything_of_ours_down(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    assert bench.store.activate(_work(bench)).startswith("/dev/")
    bench.store.headroom()
    assert "work" in bench.active()
    bench.store.release()
    assert not bench.active()
    bench.store.release()


def test_deactivate_twice_and_of_what_is_gone(bench: RehearsalBench) -> None:
    bench.store.create(_base(bench))
    bench.store.activate(_base(bench))
    bench.store.deactivate(_base(bench))
    bench.store.deactivate(_base(bench))
    assert "base" not in bench.active()
    bench.store.delete(_base(bench))
    bench.store.deactivate(_base(bench))


def test_headroom_shrinks_by_what_is_written(bench: RehearsalBench) -> None:
    before = bench.store.headroom()
    scratch = snapshot(bench, "scratch", "", SnapshotRole.SCRATCH)
    bench.store.create(scratch, size=1 << 30)
    bench.store.activate(scratch)
    bench.write("scratch", 50)
    after = bench.store.headroom()
    assert after.data_percent > before.data_percent
    assert after.data_free < before.data_free
    assert 0 <= after.fullest <= 100


def test_a_name_that_is_no_tag_is_refused_before_anything_is_made(bench: RehearsalBench) -> None:
    with pytest.raises(ApplianceError):
        bench.store.create(snapshot(bench, "x", "root", SnapshotRole.BASE, run="tb1 --force"))
    assert bench.names() == {"root"}


def test_what_a_twin_writes_to_is_said_by_name_and_rises_and_what_fills_is_the_headroom(
    bench: RehearsalBench,
) -> None:
    scratch = snapshot(bench, "scratch", "", SnapshotRole.SCRATCH)
    bench.store.create(_base(bench))
    bench.store.create(_work(bench))
    bench.store.create(scratch, size=1 << 30)
    bench.store.activate(_work(bench))
    bench.store.activate(scratch)
    bench.store.headroom()
    before = bench.store.uses(_work(bench))
    bench.write("work", 1)
    for block in range(50, 150):
        bench.write("scratch", block)
    after = bench.store.uses(_work(bench))
    assert [use.what for use in before] == [use.what for use in after]
    assert after[0].what in ("pool", "snapshot", "copy")
    assert sum(use.percent for use in after) > sum(use.percent for use in before)
    fullest = max(use.percent for use in after if use.fills)
    assert fullest == pytest.approx(bench.store.headroom().fullest, abs=1)


def test_nothing_is_said_to_be_used_of_what_is_not_there(bench: RehearsalBench) -> None:
    bench.store.headroom()
    assert {use.what for use in bench.store.uses(_work(bench))} <= {"pool"}
