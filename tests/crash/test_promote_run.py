"""Stage and arm through the runner, cut right behind the flip: what the trial did meanwhile is not undone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.place import Boot
from appliance.boot.shapes import BootState
from appliance.errors import CommandFailed, Refused
from appliance.model.plan import PlannedStep, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow.journal import Journal
from appliance.workflow.runner import Context, Outcome, Step, execute, recover
from appliance.workflow.steps import boot as boot_steps
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.crash.lab import wanted
from tests.crash.modeldisk import PowerCut
from tests.crash.test_cuts import (
    LOADER,
    NEW_ALWAYS,
    OLD_ALWAYS,
    TRIAL_ONCE,
    Act,
    boot_on,
    boots,
    installed,
    keep_on_the_metal,
    set_state,
)
from tests.unit.workflow.test_promote_plan import REHEARSED
from tests.unit.workflow.test_retirement import FOUND


class Promotion:
    """A machine whose /boot is a model; its run tb1 is tested, and shall be staged and armed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.boot, self.disk = boot_on(installed())
        names = replace(REHEARSED.names, trial="tb1-trial")  # as the loader's model calls it
        plan = replace(REHEARSED, names=names, request=Request(verb=Verb.PROMOTE, run="tb1"))
        self.ground = Ground(plan, Workplace(FOUND, "tb1", folder, folder / "run", folder / "data"))
        self.lvm = FakeLvm()
        self.lvm.add("root", 1 << 30, 4)
        for role in (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL):
            self.ground.store(self.lvm).create(self.ground.snapshot(role))

        @contextlib.contextmanager
        def mounted(host: object, ground: object) -> Iterator[Boot]:
            yield self.boot

        @contextlib.contextmanager
        def trial(host: object, ground: object) -> Iterator[Path]:
            yield folder

        for name, stand_in in (
            ("machine_boot", mounted),
            ("open_boot", lambda host, place: self.boot),
            ("loader_of", lambda ground, host: LOADER),
            ("trial_root", trial),
            ("staged_system", lambda ground, root: wanted(folder / "new")),
        ):
            monkeypatch.setattr(boot_steps, name, stand_in)

    def begin(self, *names: str) -> tuple[tuple[Step, ...], Journal, Context]:
        planned = (PlannedStep(id=n, title=n, commit=n in ("arm", "keep", "rollback")) for n in names)
        steps = tuple(boot_steps.STEPS[p.id](p, self.ground) for p in planned)
        journal = Journal.open(self.folder / f"{names[-1]}.jsonl")
        return steps, journal, Context(self.lvm, lambda event: None, threading.Event())

    @property
    def shown(self) -> bool:
        return self.ground.store(self.lvm).shown(self.ground.snapshot(SnapshotRole.TRIAL))

    def meanwhile(self, *acts: Act) -> None:
        """Power goes and comes back, and this happens before the appliance is started again."""
        self.boot, self.disk = boot_on(self.disk.live)
        for act in acts:
            act(self.boot)
        self.boot, self.disk = boot_on(self.disk.live)


@pytest.fixture
def promotion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promotion:
    return Promotion(tmp_path, monkeypatch)


def cut_behind_the_flip(here: Promotion, *names: str) -> None:
    def dark(store: object) -> None:
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr("appliance.volumes.lvm_thin.LvmThinStore.release", dark)
        execute(*here.begin(*names))


LIVED: dict[str, tuple[tuple[Act, ...], tuple[str, ...], BootState]] = {
    "at once": ((), TRIAL_ONCE, BootState.ARMED),
    "not kept": ((set_state(BootState.TRIAL),), OLD_ALWAYS, BootState.TRIAL),
    "kept": ((set_state(BootState.TRIAL), keep_on_the_metal), NEW_ALWAYS, BootState.KEPT),
}


@pytest.mark.parametrize("name", LIVED)
def test_a_promotion_cut_behind_its_flip_is_finished_whatever_the_trial_did(
    promotion: Promotion, name: str
) -> None:
    acts, then, state = LIVED[name]
    cut_behind_the_flip(promotion, "stage", "arm")
    promotion.meanwhile(*acts)
    assert recover(*promotion.begin("stage", "arm")) is Outcome.DONE
    assert boots(promotion.disk.live) == then
    assert LOADER.view(promotion.boot).state is state


def test_a_run_that_was_rolled_back_is_armed_again(promotion: Promotion) -> None:
    assert execute(*promotion.begin("stage", "arm")) is Outcome.DONE
    assert execute(*promotion.begin("rollback")) is Outcome.DONE
    (promotion.folder / "arm.jsonl").unlink()
    assert execute(*promotion.begin("stage", "arm")) is Outcome.DONE
    assert boots(promotion.disk.live) == TRIAL_ONCE


def test_a_keep_that_was_asked_and_failed_on_the_metal_can_be_asked_again(promotion: Promotion) -> None:
    assert execute(*promotion.begin("stage", "arm")) is Outcome.DONE
    promotion.meanwhile(set_state(BootState.TRIAL))
    assert execute(*promotion.begin("keep")) is Outcome.DONE
    assert boots(promotion.disk.live) == TRIAL_ONCE
    # GRUB starts the trial once more; the metal finds its gateway down and restarts into the old system.
    promotion.meanwhile(as_grub_leaves_it)
    assert boots(promotion.disk.live) == OLD_ALWAYS
    (promotion.folder / "keep.jsonl").unlink()
    assert execute(*promotion.begin("keep")) is Outcome.DONE
    assert boots(promotion.disk.live) == TRIAL_ONCE


def test_a_keep_cut_behind_its_flip_and_done_by_the_metal_is_finished(promotion: Promotion) -> None:
    assert execute(*promotion.begin("stage", "arm")) is Outcome.DONE
    promotion.meanwhile(set_state(BootState.TRIAL))
    cut_behind_the_flip(promotion, "keep")
    promotion.meanwhile(keep_on_the_metal)
    assert recover(*promotion.begin("keep")) is Outcome.DONE
    assert boots(promotion.disk.live) == NEW_ALWAYS


def as_grub_leaves_it(boot: Boot) -> None:
    """save_env of tb_once and tb_state: every other variable stays, tb_keep among them."""
    sector = boot.disk.read("twinboot/env") or b""
    assert b"tb_keep=1\n" in sector
    started = sector.replace(b"tb_once=1", b"tb_once=0").replace(b"tb_state=armed", b"tb_state=trial")
    boot.disk.write_sector("twinboot/env", started[:512])


def test_what_fails_behind_the_flip_is_finished_by_the_next_start(promotion: Promotion) -> None:
    def failing(store: object) -> None:
        raise CommandFailed("lvchange did not finish")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CommandFailed):
        patch.setattr("appliance.volumes.lvm_thin.LvmThinStore.release", failing)
        execute(*promotion.begin("stage", "arm"))
    assert boots(promotion.disk.live) == TRIAL_ONCE
    assert recover(*promotion.begin("stage", "arm")) is Outcome.DONE


def test_the_machine_sees_the_trial_volume_only_once_it_is_armed(promotion: Promotion) -> None:
    """Cut while it is staged: taken back whole. Armed: the flag stands, whatever is finished later."""
    assert not promotion.shown

    def dark(*_: object) -> None:
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr("appliance.boot.grub.Grub.stage", dark)
        execute(*promotion.begin("show", "stage", "arm"))
    assert promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS
    assert recover(*promotion.begin("show", "stage", "arm")) is Outcome.ROLLED_BACK
    assert not promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS
    (promotion.folder / "arm.jsonl").unlink()
    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    assert promotion.shown and boots(promotion.disk.live) == TRIAL_ONCE


BACK = ("rollback", "hide")


@pytest.mark.parametrize("acts", [(), (set_state(BootState.TRIAL),)], ids=["armed", "gave way"])
def test_a_run_that_was_rolled_back_is_hidden_from_the_old_system_and_shown_again_when_armed(
    promotion: Promotion, acts: tuple[Act, ...]
) -> None:
    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    promotion.meanwhile(*acts)
    assert promotion.shown
    assert execute(*promotion.begin(*BACK)) is Outcome.DONE
    assert not promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS
    (promotion.folder / "arm.jsonl").unlink()
    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    assert promotion.shown and boots(promotion.disk.live) == TRIAL_ONCE


@pytest.mark.parametrize("where", ["release", "hide"])
def test_a_roll_back_that_is_cut_behind_its_flip_hides_it_at_the_next_start(
    promotion: Promotion, where: str
) -> None:
    def dark(*_: object) -> None:
        raise PowerCut

    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(f"appliance.volumes.lvm_thin.LvmThinStore.{where}", dark)
        execute(*promotion.begin(*BACK))
    promotion.meanwhile()
    assert promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS
    assert recover(*promotion.begin(*BACK)) is Outcome.DONE
    assert not promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS


def test_a_roll_back_that_is_cut_before_its_flip_leaves_the_trial_volume_up(promotion: Promotion) -> None:
    """The machine still tries it: hidden, it could not come up."""

    def dark(*_: object) -> None:
        raise PowerCut

    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr("appliance.boot.grub.Grub.roll_back", dark)
        execute(*promotion.begin(*BACK))
    promotion.meanwhile()
    assert recover(*promotion.begin(*BACK)) is Outcome.ROLLED_BACK
    assert promotion.shown and boots(promotion.disk.live) == TRIAL_ONCE


def test_what_was_kept_while_the_roll_back_waited_stays_up(promotion: Promotion) -> None:
    """GRUB's own default entry starts it from then on, should the sector ever be lost."""
    assert execute(*promotion.begin("show", "stage", "arm")) is Outcome.DONE
    promotion.meanwhile(set_state(BootState.TRIAL), keep_on_the_metal)
    assert execute(*promotion.begin(*BACK)) is Outcome.DONE
    assert promotion.shown and boots(promotion.disk.live) == OLD_ALWAYS
    promotion.boot.disk.write_sector("twinboot/env", bytes(512))
    assert boots(promotion.disk.live) == NEW_ALWAYS


def test_what_the_old_system_wrote_while_the_promotion_waited_is_not_lost(promotion: Promotion) -> None:
    """It was looked at before the gate; an approval may come days and starts of the machine later."""
    promotion.lvm.write("root", 2)
    with pytest.raises(Refused, match="has run since"):
        execute(*promotion.begin("confirm", "stage", "arm"))
    assert boots(promotion.disk.live) == OLD_ALWAYS
    assert LOADER.view(promotion.boot).state is BootState.ABSENT
