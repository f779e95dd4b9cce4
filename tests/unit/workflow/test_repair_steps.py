"""The repair's own steps on a twin in memory: a failure is a finding, and nothing is taken for mended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import initrd_maker
from appliance.errors import BootConfigFailed, Cancelled, TwinFailed
from appliance.host.run import Command, Output
from appliance.model.events import Event, Line, VerdictReached
from appliance.model.plan import Plan, RepairKind
from appliance.model.verdict import Facts, Result
from appliance.twin.guest import GuestOutput
from appliance.workflow.repair import ANOTHER
from appliance.workflow.runner import Context
from appliance.workflow.steps import initrd, packages, repair
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.workplace import Workplace
from tests.unit.checks.test_compare import CONTROL
from tests.unit.workflow.test_repair_plan import broken, plan

DEAD = "The twin does not boot: its kernel panics (VFS: Unable to mount root fs)."
WELL = replace(CONTROL, kernel="6.1.0-9-amd64", kernel_errors=())


class FakeTwin:
    """`boots` says for each start what comes of it: facts, or a sentence on why nothing does."""

    guest = "the guest"
    boot_device, root_device = "/dev/mapper/twin-boot", "/dev/mapper/twin-root"

    def __init__(self, *boots: Facts | str) -> None:
        self.boots, self.did = list(boots), []

    def start(self) -> None:
        self.did.append("start")
        self.now = self.boots.pop(0)

    def stop(self) -> None:
        self.did.append("stop")

    def wait_for_agent(self) -> float:
        if isinstance(self.now, str):
            raise TwinFailed(self.now)
        return 1.0

    def open_network(self, hosts: tuple[str, ...], upstream: str) -> str:
        self.did.append(f"open {hosts}")
        return "http://proxy"

    def close_network(self) -> tuple[str, ...]:
        self.did.append("close")
        return ()


@dataclass
class Scene:
    """One repair in memory; `told` are its events."""

    ground: Ground
    twin: FakeTwin
    ctx: Context
    told: list[Event] = field(default_factory=list)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def do(self, kind: type[OnGround], step: str) -> None:
        planned = next(s for s in self.ground.whole.steps if s.id == step)
        kind(planned, self.ground).do(self.ctx)

    @property
    def text(self) -> str:
        return "\n".join(e.text for e in self.told if isinstance(e, Line))


def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Plan, *boots: Facts | str) -> Scene:
    twin, told, ran = FakeTwin(*boots), list[Event](), list[tuple[str, ...]]()

    class Host:
        def run(self, command: Command) -> Output:
            ran.append(command.argv)
            return Output(0, "")

    work = Workplace(broken(), "tb1", tmp_path / "tb1", tmp_path / "run", tmp_path / "data")
    for module in (repair, packages):
        monkeypatch.setattr(module, "twin_of", lambda ctx, ground, part: twin)
    monkeypatch.setattr(repair, "collect", lambda guest, path, site: type("C", (), {"facts": twin.now}))
    ctx = Context(Host(), told.append, threading.Event())
    return Scene(Ground(made, work), twin, ctx, told, ran)


def test_a_boot_that_fails_is_a_finding_and_the_twin_is_off_after_it(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD), DEAD)
    here.do(repair.Watch, "watch")
    assert here.twin.did == ["start", "stop"]
    assert here.ground.work.load("watch", str) == DEAD
    assert "finding: The twin does not boot" in here.text
    assert not here.ground.work.saved("control")


def test_emergency_mode_is_a_finding_too(tmp_path, monkeypatch) -> None:
    stuck = replace(WELL, target_reached=False, failed_units=("srv.mount",))
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD), stuck)
    here.do(repair.Watch, "watch")
    assert "srv.mount" in here.ground.work.load("watch", str)
    assert here.twin.did == ["start", "stop"] and not here.ground.work.saved("control")


def test_a_copy_that_boots_as_it_is_gives_the_control_and_stays_on(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.FINISH_PACKAGES), WELL)
    here.do(repair.Watch, "watch")
    assert here.twin.did == ["start"]
    assert here.ground.work.load("watch", str) == ""
    assert here.ground.work.load("control", Facts) == WELL


def test_whoever_works_by_hand_gets_the_twin_as_it_failed(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.BY_HAND), DEAD)
    here.do(repair.Watch, "watch")
    assert here.twin.did == ["start"]


def test_a_cancel_while_watching_is_no_finding(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD), WELL)

    def cancelled() -> float:
        raise Cancelled("stopped")

    monkeypatch.setattr(here.twin, "wait_for_agent", cancelled)
    with pytest.raises(Cancelled):
        here.do(repair.Watch, "watch")
    assert not here.ground.work.saved("watch")


def test_the_repaired_boot_is_what_the_later_steps_judge(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD), WELL)
    here.do(repair.RepairedBoot, "repaired")
    assert here.twin.did == ["stop", "start"]
    assert here.ground.work.load("patched", Facts) == WELL


@pytest.mark.parametrize("after", [DEAD, replace(WELL, target_reached=False)])
def test_a_repair_that_did_not_help_fails_names_the_others_and_has_a_verdict(
    tmp_path, monkeypatch, after: Facts | str
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD), after)
    with pytest.raises(TwinFailed, match="did not help") as said:
        here.do(repair.RepairedBoot, "repaired")
    assert "another repair (X on the console" in said.value.next_actions[0]
    assert not here.ground.work.saved("patched")
    (verdict,) = [e.verdict for e in here.told if isinstance(e, VerdictReached)]
    assert verdict.result is Result.FAIL and verdict.checks[0].name == "repaired boot"


def test_the_older_kernel_must_be_what_the_twin_booted(tmp_path, monkeypatch) -> None:
    made = plan(RepairKind.OLDER_KERNEL)
    here = scene(tmp_path, monkeypatch, made, WELL, replace(WELL, kernel="6.1.0-13-amd64"))
    here.do(repair.RepairedBoot, "repaired")
    with pytest.raises(TwinFailed, match=r"booted kernel 6\.1\.0-13-amd64, not 6\.1\.0-9-amd64"):
        here.do(repair.RepairedBoot, "repaired")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of mounts: one folder for each device, named by its last part."""

    @contextlib.contextmanager
    def mounted(host: object, device: str, fstype: str, at: Path) -> Iterator[Path]:
        place = tmp_path / "mounts" / Path(device).name
        place.mkdir(parents=True, exist_ok=True)
        yield place

    monkeypatch.setattr(repair, "mounted", mounted)
    return tmp_path / "mounts"


def test_the_older_kernel_is_the_twins_next_boot_and_the_copys_default(
    tmp_path, monkeypatch, folders: Path
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.OLDER_KERNEL))
    grub = folders / "twin-boot/grub"
    grub.mkdir(parents=True)
    (folders / "twin-root/etc/default").mkdir(parents=True)
    debian = (Path(__file__).parents[1] / "boot/debian12-grub.cfg").read_text()
    (grub / "grub.cfg").write_text(debian.replace("6.1.0-12-amd64", "6.1.0-9-amd64"))
    here.do(repair.ChooseOlderKernel, "older-kernel")
    (said,) = here.ran
    assert said[:3] == ("grub-editenv", str(grub / "grubenv"), "set")
    choice = said[3].removeprefix("next_entry=")
    assert "gnulinux-6.1.0-9-amd64-advanced" in choice
    pinned = folders / "twin-root/etc/default/grub.d/twinboot-kernel.cfg"
    assert f'GRUB_DEFAULT="{choice}"' in pinned.read_text()
    (left,) = here.ground.work.load("not-applied", tuple[str, ...])
    assert "stays at 6.1.0-9-amd64" in left


class Copy:
    """An off-line copy whose initrd maker does as told."""

    def __init__(self, root: Path, maker: str, status: int = 0, writes: bool = True) -> None:
        self.root, self.status, self.writes = root, status, writes
        self.ran: list[tuple[str, ...]] = []
        (root / "boot").mkdir(parents=True)
        (root / "boot/initrd.img-6.1").write_bytes(b"damaged")
        if maker:
            (root / maker).parent.mkdir(parents=True)
            (root / maker).touch()

    def exec(self, argv: tuple[str, ...], *, timeout: float) -> GuestOutput:
        self.ran.append(argv)
        assert not (self.root / "boot/initrd.img-6.1").exists(), "what is damaged is gone before"
        if self.writes:
            (self.root / "boot/initrd.img-6.1").write_bytes(b"whole")
        return GuestOutput(self.status, b"No space left\n", b"")


TOOLS, DRACUT = "usr/sbin/update-initramfs", "usr/bin/dracut"


def offline(monkeypatch: pytest.MonkeyPatch, copy: Copy) -> None:
    monkeypatch.setattr(repair, "opened", lambda host, twin, system: contextlib.nullcontext(copy))
    monkeypatch.setattr(repair, "kernels_with_modules", lambda root, boot: ("6.1", "6.0"))
    monkeypatch.setattr(initrd, "initrd_names", lambda host, path: ("init", "bin/sh"))


@pytest.mark.parametrize(
    ("program", "maker"), [(TOOLS, initrd_maker.INITRAMFS_TOOLS), (DRACUT, initrd_maker.DRACUT)]
)
def test_the_initrd_of_the_newest_kernel_is_built_by_the_copy_itself(
    tmp_path, monkeypatch, program: str, maker: initrd_maker.InitrdMaker
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD))
    copy = Copy(tmp_path / "copy", program)
    offline(monkeypatch, copy)
    here.do(repair.RebuildInitrd, "initrd")
    assert here.twin.did == ["stop"]
    assert copy.ran == [maker.argv("6.1", "initrd.img-6.1")]
    assert "reads whole: 2 files" in here.text


@pytest.mark.parametrize("program", [TOOLS, DRACUT])
@pytest.mark.parametrize(("status", "writes"), [(1, True), (1, False), (0, False)])
def test_an_initrd_that_was_not_built_is_no_repair(
    tmp_path, monkeypatch, program: str, status: int, writes: bool
) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD))
    offline(monkeypatch, Copy(tmp_path / "copy", program, status, writes))
    with pytest.raises(BootConfigFailed, match="No space left") as said:
        here.do(repair.RebuildInitrd, "initrd")
    assert said.value.next_actions == ANOTHER


def test_a_copy_without_either_program_says_so(tmp_path, monkeypatch) -> None:
    here = scene(tmp_path, monkeypatch, plan(RepairKind.INITRD))
    copy = Copy(tmp_path / "copy", "")
    offline(monkeypatch, copy)
    with pytest.raises(BootConfigFailed, match="neither initramfs-tools nor dracut") as said:
        here.do(repair.RebuildInitrd, "initrd")
    assert said.value.next_actions == ANOTHER and not copy.ran
