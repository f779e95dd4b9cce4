"""What every BootLoader promises, whatever it writes: tried on a model of its disk and of its own rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.boot.shapes import BootState
from appliance.errors import Refused
from tests.contract.loaders.benches import BENCHES, Bench
from tests.crash.lab import NEW_ROOT, OLD_ROOT
from tests.crash.modeldisk import PowerCut

OLD, TRIAL, NEW = ("old",) * 3, ("trial", "old", "old"), ("new",) * 3
Act = Callable[[Bench], None]


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Bench:
    return BENCHES[request.param]()


def state(bench: Bench) -> BootState:
    return bench.loader.view(bench.boot).state


def staged(bench: Bench, tmp: Path) -> None:
    bench.loader.stage(bench.boot, bench.wanted(tmp / "new"))


def on_trial(bench: Bench, tmp: Path) -> None:
    staged(bench, tmp)
    bench.loader.arm(bench.boot, "tb1")
    bench.trial_begins()


def kept(bench: Bench, tmp: Path) -> None:
    on_trial(bench, tmp)
    bench.metal_keeps()


def test_nothing_of_ours_is_absent_and_the_view_is_what_starts(bench: Bench) -> None:
    view = bench.loader.view(bench.boot)
    assert (view.state, view.run, view.runs, view.fallback) == (BootState.ABSENT, "", (), None)
    assert view.own == view.next_boot and view.own is not None and view.own.root == OLD_ROOT
    assert bench.starts() == OLD and bench.loader.why_not(bench.boot) == ()
    assert len(bench.disk.moments) == 1, "looking writes nothing"


def test_every_state_is_told_and_boots_what_it_says(bench: Bench, tmp_path: Path) -> None:
    staged(bench, tmp_path)
    assert (state(bench), bench.starts()) == (BootState.STAGED, OLD)
    bench.loader.arm(bench.boot, "tb1")
    view = bench.loader.view(bench.boot)
    assert (view.state, bench.starts()) == (BootState.ARMED, TRIAL)
    assert view.next_boot is not None and view.next_boot.root == NEW_ROOT and view.missing == ()
    bench.trial_begins()
    view = bench.loader.view(bench.boot)
    assert (view.state, bench.starts()) == (BootState.TRIAL, OLD)
    assert view.fallback is not None and view.next_boot == view.fallback
    bench.metal_keeps()
    assert (state(bench), bench.starts()) == (BootState.KEPT, NEW)
    bench.loader.roll_back(bench.boot, "tb1")
    assert (state(bench), bench.starts()) == (BootState.ROLLED_BACK, OLD)
    bench.loader.restore(bench.boot, "tb1")
    assert state(bench) is BootState.ABSENT and bench.as_installed()


def test_what_the_metal_keeps_can_not_be_taken_from_under_it(bench: Bench, tmp_path: Path) -> None:
    kept(bench, tmp_path)
    with pytest.raises(Refused):
        bench.loader.restore(bench.boot, "tb1")
    assert bench.starts() == NEW


def test_a_verb_that_does_not_fit_is_refused_and_changes_no_boot(bench: Bench, tmp_path: Path) -> None:
    for verb in (bench.loader.arm, bench.loader.keep, bench.loader.roll_back):
        with pytest.raises(Refused):
            verb(bench.boot, "tb1")
    staged(bench, tmp_path)
    for verb in (bench.loader.keep, bench.loader.roll_back):
        with pytest.raises(Refused):
            verb(bench.boot, "tb1")
    assert bench.starts() == OLD


def test_keep_from_the_appliance_asks_the_metal_once(bench: Bench, tmp_path: Path) -> None:
    on_trial(bench, tmp_path)
    bench.loader.keep(bench.boot, "tb1")
    view = bench.loader.view(bench.boot)
    assert (view.state, view.keep_asked, bench.starts()) == (BootState.ARMED, True, TRIAL)


def test_retire_boots_by_uuid_and_then_by_the_first_name(bench: Bench, tmp_path: Path) -> None:
    kept(bench, tmp_path)
    bench.loader.settle(bench.boot, "tb1", "aa-bb")
    assert (state(bench), bench.starts()) == (BootState.SETTLING, ("settle",) * 3)
    assert bench.loader.view(bench.boot).whose == "tb1"
    bench.loader.settled(bench.boot, "tb1", NEW_ROOT, OLD_ROOT)
    view = bench.loader.view(bench.boot)
    assert view.state is BootState.ABSENT and view.own is not None and view.own.root == OLD_ROOT
    assert "twinboot" not in bench.disk.live.names


ACTS: dict[str, tuple[Callable[[Bench, Path], None] | None, Act, set[tuple[str, ...]]]] = {
    "arm": (staged, lambda b: b.loader.arm(b.boot, "tb1"), {OLD, TRIAL}),
    "keep": (on_trial, lambda b: b.loader.keep(b.boot, "tb1"), {OLD, TRIAL}),
    "roll back": (kept, lambda b: b.loader.roll_back(b.boot, "tb1"), {OLD, NEW}),
    "restore": (on_trial, lambda b: b.loader.restore(b.boot, "tb1"), {OLD}),
    "settle": (kept, lambda b: b.loader.settle(b.boot, "tb1", "aa-bb"), {NEW, ("settle",) * 3}),
}


@pytest.mark.parametrize("name", ["stage", *ACTS])
def test_cut_at_any_write_it_boots_the_old_or_the_new_and_can_be_repeated(
    bench: Bench, tmp_path: Path, name: str
) -> None:
    before, act, allowed = ACTS.get(name, (None, lambda b: staged(b, tmp_path), {OLD}))
    if before is not None:
        before(bench, tmp_path)
    first, variables = bench.disk.live, dict(bench.disk.variables)
    bench.begin()
    act(bench)
    whole, end = bench.starts(), state(bench)
    moments = bench.disk.moments
    known: dict[str, tuple[str, ...]] = {}
    for moment in moments:
        for at, found in bench.may_start(moment):
            known[at] = found
            assert found in allowed, f"{name} {at} starts {found}"
    for cut in range(len(moments) - 1):
        bench.disk.live, bench.disk.variables = first, variables
        bench.begin(cut)
        with pytest.raises(PowerCut):
            act(bench)
        bench.begin()
        act(bench)
        assert (bench.starts(), state(bench)) == (whole, end), f"{name} cut at write {cut}"
