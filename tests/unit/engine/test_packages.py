"""What is installed is read once, never beside a run, and its sizes are known to plans from then on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from appliance.engine import packages
from appliance.engine.bus import Bus
from appliance.engine.packages import PackageDesk
from appliance.engine.runs import Runs
from appliance.errors import Busy, ProbeFailed, Refused
from appliance.host.run import RealHost
from appliance.model.service_messages import GetPackages
from appliance.probe.packages import Package, PackageTable
from appliance.workflow.places import Places
from tests.unit.workflow.test_rehearse_plan import machine

ROOT = "/dev/mapper/vg0-root"
TABLE = PackageTable((Package("bash", "5.2", 20), Package("zsh", "5.9", 50)))


class Reading:
    """Stands in for the look at the disks; `fails` makes the next one fail."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.fails = False

    def __call__(self, host: object, found: object, system: object) -> PackageTable:
        if self.fails:
            self.fails = False
            raise ProbeFailed("It can not be looked into.")
        self.read.append(system.id)  # type: ignore[attr-defined]
        return TABLE


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    stub = Reading()
    monkeypatch.setattr(packages, "read_packages", stub)
    return stub


@pytest.fixture
def desk(tmp_path: Path, reading: Reading) -> PackageDesk:
    host, bus = RealHost(), Bus()
    return PackageDesk(host, Runs(host, bus, Places(tmp_path)))


def names(desk: PackageDesk, find: str = "") -> list[str]:
    return [row.name for row in desk.look(GetPackages(system=ROOT, find=find), machine()).rows]


def test_the_setup_of_apt_comes_with_the_same_reading(desk: PackageDesk, reading: Reading) -> None:
    names(desk)
    assert desk.setup(ROOT, machine()) is TABLE.setup
    assert reading.read == [ROOT]


def test_it_is_read_once_for_every_letter_typed(desk: PackageDesk, reading: Reading) -> None:
    assert desk.sizes(ROOT, machine()) == {}
    assert [names(desk), names(desk, "z"), names(desk, "zz")] == [["bash", "zsh"], ["zsh"], []]
    assert reading.read == [ROOT]
    assert desk.sizes(ROOT, machine()) == {"bash": 20, "zsh": 50}
    assert desk.sizes("", machine()) == {}
    assert not desk.runs.disks.locked(), "the disks are left again"


def test_other_volumes_are_another_machine(desk: PackageDesk, reading: Reading) -> None:
    names(desk)
    (group,) = machine().volume_groups
    other = replace(machine(), volume_groups=(replace(group, uuid="another"),))
    assert desk.sizes(ROOT, other) == {}
    desk.look(GetPackages(system=ROOT), other)
    assert reading.read == [ROOT, ROOT]


def test_it_is_not_read_beside_a_run_but_what_is_known_serves(desk: PackageDesk, reading: Reading) -> None:
    with desk.runs.disks, pytest.raises(Busy, match="A run is at work on the disks"):
        names(desk)
    desk.runs.going = SimpleNamespace(at_hand=True)  # type: ignore[assignment]
    with pytest.raises(Busy):
        names(desk)
    desk.runs.going = None
    assert reading.read == [] and names(desk) == ["bash", "zsh"]
    with desk.runs.disks:
        assert names(desk, "b") == ["bash"]


def test_what_failed_is_tried_again(desk: PackageDesk, reading: Reading) -> None:
    reading.fails = True
    with pytest.raises(ProbeFailed):
        names(desk)
    assert not desk.runs.disks.locked()
    assert names(desk) == ["bash", "zsh"]


def test_a_system_that_is_not_there_is_refused(desk: PackageDesk) -> None:
    with pytest.raises(Refused, match="no installed system nowhere"):
        desk.look(GetPackages(system="nowhere"), machine())
