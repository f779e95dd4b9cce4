"""Keeping a trial that fell back: what the old system wrote since is told before it is given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Plan, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import catalogue
from appliance.workflow.descent import Descent
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_data_back import Recorded
from tests.unit.workflow.test_promote_plan import REHEARSED
from tests.unit.workflow.test_retirement import FOUND, group, run_volumes, view


@pytest.mark.parametrize(
    ("state", "wrote", "told"),
    [
        (BootState.TRIAL, True, True),
        (BootState.TRIAL, False, False),
        (BootState.ARMED, True, False),
    ],
)
def test_what_the_old_system_wrote_since_the_snapshot_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: BootState, wrote: bool, told: bool
) -> None:
    """A trial that gave the machine back is followed by days of the old system: a keep leaves them behind."""
    lvm = FakeLvm()
    lvm.add("root", 1 << 30, 4)
    found = replace(FOUND, volume_groups=(group(*run_volumes("tb1")),))
    ground = Ground(REHEARSED, Workplace(found, "tb1", tmp_path, tmp_path, tmp_path))
    ground.store(lvm).create(ground.snapshot(SnapshotRole.BASE))
    if wrote:
        lvm.write("root", 2)
    node = Node(volume="root-tb1", state=State.TRIAL, run="tb1")
    monkeypatch.setattr(catalogue, "view", lambda host, ground: view(state))
    monkeypatch.setattr(catalogue, "choose_loader", lambda *_: Grub(lambda _: None))
    asked, kept = Request(verb=Verb.KEEP, run="tb1"), Descent(Lineage(nodes=(node,)), "", "", "")
    made: Plan = catalogue.build_plan(found, asked, kept, lvm, Recorded(tmp_path))  # type: ignore[arg-type]
    assert any("has run since the snapshot" in text for text in made.warnings) is told
