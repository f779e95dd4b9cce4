"""A volume group on a mirror: what a plan says, when it comes up, what is proven, what an initrd needs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.boot.drivers import root_stack
from appliance.errors import HistoryUnread, Refused
from appliance.host.run import Host
from appliance.model.lineage import Lineage
from appliance.model.machine import Firmware, Layer, Machine
from appliance.model.plan import Request, Verb
from appliance.model.verdict import Outcome, Result
from appliance.probe import raid_up
from appliance.volumes.state import NAME, StateVolume
from appliance.workflow import arrays, catalogue, rehearse
from appliance.workflow.places import Places
from appliance.workflow.steps import snapshot
from appliance.workflow.steps.array import WriteByArray
from appliance.workflow.steps.verdict import provisional
from tests.unit.probe.fake_md import FakeMd
from tests.unit.twin.machines import boot_mirrored, mirrored
from tests.unit.workflow import test_descent
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes
from tests.unit.workflow.var import context, ground_of, installed

ON_TWO = replace(mirrored(FOUND), firmware=Firmware.BIOS)
(LAYER,) = ON_TWO.layers
PLAN = rehearse.build_plan(ON_TWO, Request(verb=Verb.REHEARSE, emulate=True), Lineage())


def brought_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arrays that are brought up from now on, by their names."""
    seen: list[str] = []

    def up(host: Host, layer: Layer, root: Path) -> None:
        seen.append(layer.name)

    monkeypatch.setattr(raid_up, "bring_up", up)
    monkeypatch.setattr(StateVolume, "ensure", lambda self: seen.append("history made"))
    monkeypatch.setattr(StateVolume, "mount", lambda self, at: seen.append("history up"))
    return seen


def test_a_plan_begins_with_the_array_and_says_that_both_legs_are_written() -> None:
    first, *others = arrays.with_arrays(PLAN, ON_TWO).steps
    assert first.id == "array" and tuple(others) == PLAN.steps
    (write,) = first.writes
    assert "the super blocks of the array ledger:0 on /dev/vda4 and /dev/vdm1" in write.what
    assert "no leg is ever written alone" in write.if_cut
    assert isinstance(catalogue.STEPS[first.id](first, ground_of(PLAN, Path("/"))), WriteByArray)


def test_a_plan_on_anything_else_is_as_it_was() -> None:
    assert arrays.with_arrays(PLAN, FOUND) is PLAN
    only = replace(PLAN, request=replace(PLAN.request, rehearse_only=True))
    assert arrays.with_arrays(only, ON_TWO) is only, "its array is not written to"


def test_where_boot_is_an_array_as_well_both_are_said_and_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = boot_mirrored(ON_TWO)
    (step, *_) = arrays.with_arrays(PLAN, machine).steps
    assert step.title == "Write by the arrays ledger:0 and ledger:1, all their legs"
    assert "the array ledger:1 on /dev/vda3 and /dev/vdm2" in step.writes[1].what
    seen = brought_up(monkeypatch)
    places = Places(tmp_path)
    places.runs.mkdir(parents=True)
    places.open_run(installed(), machine, PLAN)
    assert seen == ["ledger:0", "ledger:1", "history made", "history up"]


def test_boot_on_an_array_is_read_while_nobody_else_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at the machine would take away the leg that it is read by."""
    seen: list[str] = []

    @contextlib.contextmanager
    def locked(root: Path) -> Iterator[None]:
        seen.append("locked")
        yield
        seen.append("free")

    loader = SimpleNamespace(view=lambda boot: seen.append(f"reads {boot}"))
    monkeypatch.setattr(arrays, "exclusive", locked)
    monkeypatch.setattr(catalogue, "choose_loader", lambda *_: loader)
    monkeypatch.setattr(catalogue, "open_boot", lambda host, place: place.device)
    machine = boot_mirrored(ON_TWO)
    for each in (machine, ON_TWO):
        (system,) = each.systems
        place = SimpleNamespace(device=(system.own_boot or system.root).path)
        monkeypatch.setattr(catalogue, "boot_place", lambda *_, place=place: place)
        catalogue.view_of(installed(), each, system, Places(tmp_path))
    assert seen == ["locked", f"reads {machine.layers[-1].path}", "free", "reads /dev/vda3"]


def test_it_is_up_before_the_history_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = brought_up(monkeypatch)
    places = Places(tmp_path)
    places.runs.mkdir(parents=True)
    places.open_run(installed(), ON_TWO, PLAN)
    assert seen == ["ledger:0", "history made", "history up"]


def test_looking_at_a_machine_without_history_brings_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = brought_up(monkeypatch)
    assert Places(tmp_path).records(installed(), ON_TWO) == ()
    assert seen == []


def with_history() -> Machine:
    held = group(*run_volumes("tb1"))
    state = replace(held.lvs[0], name=NAME, tags=("twinboot",))
    return mirrored(replace(FOUND, volume_groups=(replace(held, lvs=(*held.lvs, state)),)))


def test_it_is_up_before_the_history_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = brought_up(monkeypatch)
    assert Places(tmp_path).mount(installed(), with_history())
    assert seen == ["ledger:0", "history up"]


def test_a_history_on_an_array_that_is_not_whole_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def degraded(host: Host, layer: Layer, root: Path) -> None:
        raise Refused(("The RAID array ledger:0 is degraded: /dev/vdm1 is not in it.",))

    brought_up(monkeypatch)
    monkeypatch.setattr(raid_up, "bring_up", degraded)
    with pytest.raises(HistoryUnread, match=f"{NAME}, cannot be read: The RAID array ledger:0 is degraded"):
        Places(tmp_path).mount(installed(), with_history())


def test_each_act_asks_whether_it_still_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = brought_up(monkeypatch)
    plan = arrays.with_arrays(PLAN, ON_TWO)
    step = WriteByArray(plan.steps[0], ground_of(plan, tmp_path, ON_TWO))
    assert not step.done(context(installed()))
    step.do(context(installed()))
    assert seen == ["ledger:0"]


def test_no_probe_goes_on_while_it_comes_up(tmp_path: Path) -> None:
    below = tuple(f"/dev/{name}" for name in ("vda4", "vdb2"))
    machine = replace(ON_TWO, layers=(replace(LAYER, below=below, uuid="00010203:04050607:08090a0b:0c0d0e0f",
                                              size=64 << 20),))  # fmt: skip
    md = FakeMd(tmp_path)
    arrays.bring_up(md, machine, "vg0", tmp_path)
    assert list(md.mapped) == [LAYER.path.rpartition("/")[2]]
    assert (tmp_path / "run/twinboot/probe.lock").exists()


def test_the_metal_s_stack_has_the_array() -> None:
    stack = root_stack((), ("thin",), "ext4", mirrored=True)
    assert {"md_mod", "raid1", "dm_thin_pool"} <= set(stack.modules) and ("mdadm",) in stack.programs
    assert "raid1" not in root_stack((), ("thin",), "ext4").modules


def test_the_verdict_says_what_the_twin_s_array_was(tmp_path: Path) -> None:
    plain = test_descent.ground(tmp_path)
    work = dataclasses.replace(plain.work, machine=mirrored(plain.machine))
    stage = dataclasses.replace(plain, work=work)
    for each in (plain, stage):
        each.work.save("control", test_descent.facts())
        each.work.save("patched", test_descent.facts())
    (said,) = [c for c in provisional(stage).checks if c.name == "mirror"]
    assert said.outcome is Outcome.NOT_TESTED and "when a leg fails" in said.why
    assert provisional(stage).result is Result.PASS, "it is no fault of the patch"
    assert not any(c.name == "mirror" for c in provisional(plain).checks)


def test_what_md_counts_in_a_leg_is_no_evidence() -> None:
    """On a disk that is a leg as a whole, that stands in its first sectors."""
    (disk, other), (leg,) = ON_TWO.disks, ON_TWO.disks[1].partitions
    assert snapshot.head_of(ON_TWO, disk) == snapshot.head_of(ON_TWO, other) == 1 << 20
    assert leg.start == 1 << 20
    whole = replace(LAYER, below=(LAYER.below[0], other.path))
    assert snapshot.head_of(replace(ON_TWO, layers=(whole,)), replace(other, partitions=())) == 0
