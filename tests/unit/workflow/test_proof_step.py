"""The proof boot's word: what the confirm unit said in the twin, or why it said nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.boot import confirm
from appliance.boot.confirm import limits
from appliance.checks.facts import parse
from appliance.errors import Cancelled, TwinFailed
from appliance.model.verdict import Facts
from appliance.twin.hypervisor import PowerState
from appliance.workflow.runner import Context
from appliance.workflow.steps import proof
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.unit.workflow import test_rehearse_plan as rehearsals

BOOT = 10.0
LIMIT = limits.DEADLINE + limits.MKCONFIG + proof.SPARE
RESULT = "/boot/twinboot/tb1/result"
TRIAL = "BOOT_IMAGE=/vmlinuz root=/dev/mapper/vg0-root--tb1 twinboot.trial=tb1 twinboot.proof"


def facts(root: str = "/dev/mapper/vg0-root--tb1") -> bytes:
    lines = ("schema\t1", "target\tgraphical.target", "reached\tyes\t9", "kernel\t6.1", f"cmdline\t{TRIAL}")
    return "\n".join((*lines, f"root\t{root}", "end\n")).encode()


@dataclass
class Scene:
    """A proof twin in memory: the guest's `files`, those that come `later`, and what `boot` holds."""

    folder: Path
    files: dict[str, str]
    later: dict[str, str] = field(default_factory=dict)
    boot: dict[str, str] = field(default_factory=dict)
    power: PowerState = PowerState.RUNNING
    now: float = 0.0
    cost: float = 0.02
    rests: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        work = Workplace(rehearsals.machine(), "tb1", self.folder / "tb1", self.folder / "run", self.folder)
        plan = rehearsals.plan(rehearsals.machine())
        self.ground = Ground(plan, work)
        self.cancelled = threading.Event()
        self.ctx = Context(object(), lambda _: None, self.cancelled)  # type: ignore[arg-type]
        work.save("patched", parse(facts().replace(b"reached\tyes\t9", b"reached\tyes\t%d" % (BOOT * 1e6))))
        self.step = proof.ProofBoot(next(s for s in plan.steps if s.id == "proof"), self.ground)

    def look(self) -> str:
        return self.step._look(self.ctx, self)  # type: ignore[arg-type]

    # The twin and its guest.

    boot_device = "/dev/mapper/twinboot-tb1-proof-boot"

    @property
    def guest(self) -> Scene:
        return self

    def wait_for_agent(self) -> float:
        return 1.0

    def state(self) -> PowerState:
        return self.power

    def clock(self) -> float:
        return self.now

    def read_file(self, path: str) -> bytes:
        self.now += self.cost
        if path not in self.files:
            raise TwinFailed(f"{path} is not there.")
        return self.files[path].encode()

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds
        self.files |= self.later


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path, {"/proc/cmdline": f"{TRIAL}\n", confirm.FACTS: facts().decode()})
    monkeypatch.setattr(proof.time, "sleep", made.sleep)

    @contextlib.contextmanager
    def mounted(_host: object, device: str, _fstype: str, _at: Path) -> Iterator[Path]:
        assert device == made.boot_device and made.power is PowerState.OFF
        for name, text in made.boot.items():
            (tmp_path / "boot" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "boot" / name).write_text(text)
        yield tmp_path / "boot"

    monkeypatch.setattr(proof, "mounted_readonly", mounted)
    return made


def test_confirmed_it_is_good_and_what_it_saw_is_kept(scene: Scene) -> None:
    scene.later[RESULT] = "verdict good\nkept yes\n"
    assert scene.look() == ""
    assert scene.ground.work.load("proof-facts", Facts).root == "/dev/mapper/vg0-root--tb1"


def test_another_entry_is_said_at_once(scene: Scene) -> None:
    scene.files["/proc/cmdline"] = "BOOT_IMAGE=/vmlinuz root=/dev/mapper/vg0-root\n"
    assert scene.look().startswith("the twin did not boot our entry but: BOOT_IMAGE=/vmlinuz")
    assert scene.rests == []


def test_another_root_is_not_what_was_promised(scene: Scene) -> None:
    scene.files[RESULT] = "verdict good\n"
    scene.files[confirm.FACTS] = facts("/dev/mapper/vg0-root").decode()
    assert scene.look() == "the root is /dev/mapper/vg0-root, not /dev/mapper/vg0-root--tb1"


def test_what_it_saw_must_be_readable(scene: Scene) -> None:
    scene.files[RESULT] = "verdict good\n"
    del scene.files[confirm.FACTS]
    assert scene.look() == f"{confirm.FACTS} is not there."


def test_its_reasons_are_told(scene: Scene) -> None:
    scene.files[RESULT] = "verdict bad\nkept no\nwhy ledger.service does not run\n"
    said = scene.look()
    assert said.startswith("the confirm unit said: verdict bad") and "ledger.service does not run" in said


def test_its_reasons_are_told_although_it_restarted_between_two_looks(scene: Scene) -> None:
    scene.power = PowerState.OFF
    scene.boot["twinboot/tb1/result"] = "verdict bad\nkept no\nwhy ledger.service does not run\n"
    assert "ledger.service does not run" in scene.look()


def test_one_that_ends_without_a_word_is_not_waited_for(scene: Scene) -> None:
    scene.power = PowerState.OFF
    (scene.folder / "boot").mkdir()
    assert scene.look() == "the twin ended before its confirm unit had spoken"
    assert scene.rests == []


def test_one_that_hangs_is_waited_for_as_long_as_its_own_limits_and_no_longer(scene: Scene) -> None:
    assert scene.look() == f"the confirm unit said nothing within {LIMIT:.0f} s"
    assert LIMIT <= scene.now < LIMIT + 20


@pytest.mark.parametrize(("cost", "rest"), [(0.02, 5.0), (1.0, 9.0), (30.0, 15.0)])
def test_a_slow_twin_is_asked_seldom(scene: Scene, cost: float, rest: float) -> None:
    scene.cost = cost
    scene.look()
    assert set(scene.rests) == {rest}


def test_it_can_be_cancelled_while_it_waits(scene: Scene) -> None:
    scene.cancelled.set()
    with pytest.raises(Cancelled):
        scene.look()


def test_a_system_that_boots_slowly_gets_more() -> None:
    assert (limits.deadline(10), limits.mkconfig(10)) == (600, 900)
    assert (limits.deadline(400), limits.mkconfig(400)) == (2400, 2400)
