"""Work by hand: the shell is opened before the gate, and what a person changed is read back after it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, Cancelled, TwinFailed
from appliance.model.events import Event, Line, StateChanged
from appliance.model.plan import PatchKind, PatchRequest, Plan, RepairKind
from appliance.model.verdict import PackageChange
from appliance.patching.base import Applied, Mark, Setting, Sources
from appliance.twin.hypervisor import PowerState
from appliance.workflow.runner import Context
from appliance.workflow.steps import by_hand
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.unit.workflow import test_rehearse_plan as rehearsals
from tests.unit.workflow import test_repair_plan as repairs

MARK = Mark((("nginx", "1.0"),), (("1", "/etc/nginx.conf"),))
CHANGE = PackageChange(name="nginx", before="1.0", after="1.1")


@dataclass
class Scene:
    """A twin, a package manager and a shell in memory; `did` is what happened, in order."""

    plan: Plan
    folder: Path
    answers: bool = True
    power: PowerState = PowerState.RUNNING
    fails: ApplianceError | None = None
    did: list[str] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        machine = rehearsals.machine()
        work = Workplace(machine, "tb1", self.folder / "tb1", self.folder / "run", self.folder / "data")
        self.ground = Ground(self.plan, work)
        self.ctx = Context(object(), self.told.append, threading.Event())  # type: ignore[arg-type]

    def step(self, kind: type[by_hand.OpenHands] | type[by_hand.ByHand], name: str) -> None:
        planned = next(s for s in self.plan.steps if s.id == name)
        kind(planned, self.ground).do(self.ctx)

    @property
    def text(self) -> str:
        return "\n".join(e.text for e in self.told if isinstance(e, Line))

    # The twin and its guest.

    @property
    def guest(self) -> Scene:
        return self

    def ping(self) -> bool:
        return self.answers

    def state(self) -> PowerState:
        return self.power

    def start(self) -> None:
        self.did.append("start")
        self.power, self.answers = PowerState.RUNNING, True

    def wait_for_agent(self) -> float:
        return 1.0

    def open_network(self, hosts: tuple[str, ...], upstream: str) -> str:
        self.did.append(f"open {hosts[0]}")
        return "http://proxy"

    def close_network(self) -> tuple[str, ...]:
        self.did.append("close")
        return ("evil.example",)

    # The package manager.

    def begin(self) -> Mark:
        return MARK

    def sources(self) -> Sources:
        return Sources(("deb.example",))

    def by_hand(self) -> tuple[tuple[str, str], ...]:
        return (("APT_CONFIG", "/run/x"),)

    def collect(self, mark: Mark) -> Applied:
        assert mark == MARK
        return Applied((CHANGE,), ("/etc/nginx.conf.dpkg-dist",))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def made(plan: Plan, **state: object) -> Scene:
        found = Scene(plan, tmp_path, **state)  # type: ignore[arg-type]

        def choose(guest: object, setting: Setting) -> Scene:
            found.proxy = setting.proxy  # type: ignore[attr-defined]
            return found

        def open_shell(guest: object, environment: object, words: tuple[str, ...]) -> None:
            if found.fails is not None:
                raise found.fails
            found.did.append("shell " + " ".join(words))

        monkeypatch.setattr(by_hand, "twin_of", lambda ctx, ground, part: found)
        monkeypatch.setattr(by_hand, "choose", choose)
        monkeypatch.setattr(by_hand.hands, "open_shell", open_shell)
        monkeypatch.setattr(by_hand.hands, "close_shell", lambda guest: found.did.append("shell closed"))
        return found

    return made


def rehearsal(bundle: str = "") -> Plan:
    request = rehearsals.request(patch=PatchRequest(kind=PatchKind.BY_HAND, bundle=bundle))
    return rehearsals.plan(rehearsals.machine(), request)


def test_what_was_changed_by_hand_is_in_the_verdicts_memory(scene) -> None:
    here: Scene = scene(rehearsal())
    here.step(by_hand.OpenHands, "hands")
    assert here.did[0] == "open deb.example"
    assert "You are root in the TWIN of this machine" in here.did[1] and "Its package sources" in here.did[1]
    assert here.proxy == "http://proxy"  # type: ignore[attr-defined]
    here.step(by_hand.ByHand, "by-hand")
    assert here.did[2:] == ["shell closed", "close"]
    work = here.ground.work
    assert work.load("changes", tuple[PackageChange, ...]) == (CHANGE,)
    assert work.load("conffiles", tuple[str, ...]) == ("/etc/nginx.conf.dpkg-dist",)
    assert "1 packages changed by hand" in here.text and "denied: evil.example" in here.text
    assert [e.state.value for e in here.told if isinstance(e, StateChanged)] == ["PATCHED"]


def test_a_bundle_needs_no_network(scene) -> None:
    here: Scene = scene(rehearsal(bundle="june"))
    here.step(by_hand.OpenHands, "hands")
    assert here.did[0].startswith("shell") and "/files/bundle." in here.did[0]


def test_a_twin_that_was_switched_off_by_hand_is_asked_all_the_same(scene) -> None:
    here: Scene = scene(rehearsal())
    here.step(by_hand.OpenHands, "hands")
    here.power = PowerState.OFF
    here.step(by_hand.ByHand, "by-hand")
    assert here.did[2:] == ["start", "shell closed", "close"]


@pytest.mark.parametrize("why", [TwinFailed("No root shell could be opened."), Cancelled("stopped")])
def test_without_a_shell_a_rehearsal_by_hand_stops(scene, why: ApplianceError) -> None:
    here: Scene = scene(rehearsal(), fails=why)
    with pytest.raises(type(why)):
        here.step(by_hand.OpenHands, "hands")


def test_a_broken_twin_is_worked_on_as_it_is(scene) -> None:
    here: Scene = scene(repairs.plan(RepairKind.BY_HAND), answers=False)
    here.step(by_hand.OpenHands, "hands")
    assert "agent does not answer" in here.text and "Work with what its console shows." in here.text
    here.step(by_hand.ByHand, "by-hand")
    assert here.did == [] and not here.ground.work.saved("changes")


def test_a_repair_that_can_be_asked_has_shell_network_and_changes(scene) -> None:
    here: Scene = scene(repairs.plan(RepairKind.BY_HAND))
    here.step(by_hand.OpenHands, "hands")
    assert [did.split()[0] for did in here.did] == ["open", "shell"]
    here.answers = False
    here.step(by_hand.ByHand, "by-hand")
    assert "could not be asked what was changed" in here.text and not here.ground.work.saved("changes")
    here.answers = True
    here.step(by_hand.ByHand, "by-hand")
    assert here.ground.work.load("changes", tuple[PackageChange, ...]) == (CHANGE,)
    with pytest.raises(Cancelled):
        here.fails = Cancelled("stopped")
        here.step(by_hand.OpenHands, "hands")
