"""Going back with the data, on volumes: they go together or stay, and what they held is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.errors import DataNotPutBack, Refused
from appliance.model.events import Event, Line
from appliance.model.machine import Machine, Role
from appliance.model.plan import Names, Request, Verb
from appliance.workflow import catalogue, data_back
from appliance.workflow.runner import Context
from appliance.workflow.steps.data_back import CheckData, PutDataAway, PutDataBack
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_promote_plan import REHEARSED
from tests.unit.workflow.test_retirement import FOUND


def two_data_volumes() -> tuple[Machine, Names]:
    system = FOUND.systems[0]
    srv = next(v for v in system.volumes if v.role is Role.DATA)
    home = replace(srv, lv="home", target="/home", device="/dev/mapper/vg0-home")
    names = replace(
        REHEARSED.names,
        data_safety=(("srv", "srv-tb1-safety"), ("home", "home-tb1-safety")),
        data_undone=(("srv", "srv-tb1-undone"), ("home", "home-tb1-undone")),
    )
    return replace(FOUND, systems=(replace(system, volumes=(*system.volumes, home)),)), names


class Bench:
    """Two data volumes with their safety snapshots, each written to since."""

    def __init__(self, folder: Path) -> None:
        found, names = two_data_volumes()
        self.lvm, self.told = FakeLvm(), list[Event]()
        for name in ("root", "srv", "home"):
            self.lvm.add(name, 1 << 30, 4)
        steps = data_back.planned_steps(found.systems[0], names, ())
        made = replace(REHEARSED, names=names, system=found.systems[0], steps=steps)
        self.ground = Ground(made, Workplace(found, "tb1", folder, folder / "run", folder / "data"))
        self.ctx = Context(self.lvm, self.told.append, threading.Event())
        self.before = {}
        for data in self.ground.data_to_put_back():
            self.ground.store(self.lvm).create(data.safety)
            self.before[data.origin] = self.lvm.read(data.origin)
            self.lvm.write(data.origin, 9)
        ready, _, away, _, back = steps
        self.check = CheckData(ready, self.ground)
        self.away, self.back = PutDataAway(away, self.ground), PutDataBack(back, self.ground)

    def contents(self) -> dict[str, dict[int, int]]:
        return {name: self.lvm.read(name) for name in ("srv", "home")}

    def said(self) -> list[tuple[str, str]]:
        return [(e.level, e.text) for e in self.told if isinstance(e, Line)]


def test_both_go_back_and_both_are_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    now = bench.contents()
    bench.check.do(bench.ctx)
    assert not bench.away.done(bench.ctx)
    bench.away.do(bench.ctx)
    assert bench.away.done(bench.ctx) and not bench.back.done(bench.ctx)
    bench.back.do(bench.ctx)
    assert bench.back.done(bench.ctx)
    assert bench.contents() == bench.before
    assert {name: bench.lvm.read(f"{name}-tb1-undone") for name in now} == now
    assert [text.split(";")[0] for _, text in bench.said()] == [
        "/srv is what it was before the trial",
        "/home is what it was before the trial",
    ]
    assert [lv.name for lv in bench.lvm.lvs.values() if lv.active] == []


def test_what_was_written_to_one_keeps_both(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.away.do(bench.ctx)
    bench.lvm.write("home", 11)
    now, volumes = bench.contents(), set(bench.lvm.lvs)
    bench.back.do(bench.ctx)
    assert bench.contents() == now and set(bench.lvm.lvs) == volumes
    assert [level for level, _ in bench.said()] == ["warn", "warn"]
    text = bench.said()[0][1]
    for part in ("/srv was NOT put back", "vg0/srv stays", "vg0/srv-tb1-safety", "vg0/srv-tb1-undone"):
        assert part in text


def test_one_that_went_back_before_a_cut_is_not_looked_at_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.away.do(bench.ctx)
    srv, home = bench.ground.data_to_put_back()
    bench.ground.store(bench.lvm).put_back(srv)
    for name in ("srv", "home"):
        bench.lvm.write(name, 11)
    now = bench.contents()
    bench.back.do(bench.ctx)
    assert bench.contents() == now
    assert [text[:5] for level, text in bench.said() if level == "warn"] == ["/home"]
    bench.away.undo(bench.ctx)
    assert "srv-tb1-undone" in bench.lvm.lvs, "only it has what was taken away"
    assert home.undone.lv not in bench.lvm.lvs


def test_put_away_is_undone_twice_and_half_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    before = set(bench.lvm.lvs)
    bench.away.do(bench.ctx)
    del bench.lvm.lvs["srv-tb1-undone"]
    for _ in range(2):
        bench.away.undo(bench.ctx)
        assert set(bench.lvm.lvs) == before


def test_data_that_cannot_go_back_is_refused_again_when_it_starts(tmp_path: Path) -> None:
    """A plan may be carried out long after it was made."""
    bench = Bench(tmp_path)
    bench.away.do(bench.ctx)
    before = set(bench.lvm.lvs)
    with pytest.raises(Refused) as said:
        bench.check.do(bench.ctx)
    assert len(said.value.reasons) == 2 and "an earlier roll back of tb1" in said.value.reasons[0]
    assert set(bench.lvm.lvs) == before


def test_volumes_deleted_meanwhile_leave_nothing_to_do(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for name in ("srv-tb1-safety", "home-tb1-safety"):
        del bench.lvm.lvs[name]
    now = bench.contents()
    bench.back.do(bench.ctx)
    assert bench.contents() == now and bench.said() == []


def test_a_merge_that_fails_is_an_error_and_the_next_start_tries_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.away.do(bench.ctx)
    merge = bench.lvm._lvconvert

    def broken(argv: list[str]) -> None:
        raise ValueError("Failed to update pool.")

    bench.lvm._lvconvert = broken  # type: ignore[method-assign]
    with pytest.raises(DataNotPutBack, match="Failed to update pool") as said:
        bench.back.do(bench.ctx)
    assert "Nothing is lost" in said.value.safe
    assert not bench.back.done(bench.ctx)
    bench.lvm._lvconvert = merge  # type: ignore[method-assign]
    bench.back.do(bench.ctx)
    assert bench.contents() == bench.before


def test_planning_asks_the_volumes_only_where_data_shall_go_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.away.do(bench.ctx)
    asked = Request(verb=Verb.ROLLBACK, run="tb1")
    assert catalogue.on_disk(bench.lvm, bench.ground, asked) == ()
    said = catalogue.on_disk(bench.lvm, bench.ground, replace(asked, with_data=True))
    assert len(said) == 2 and all("earlier roll back" in text for text in said)
    assert not bench.lvm.pool_active, "the volumes are closed when a person reads"
