"""Promotion, roll back, keep and retire on the machine's own /boot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.artifacts import find_artifacts
from appliance.boot.base import BootLoader
from appliance.boot.choose import choose_loader
from appliance.boot.efi import grub_path
from appliance.boot.flip import mounted_for, mounted_to_read, open_boot
from appliance.boot.place import Boot
from appliance.boot.shapes import Artifacts, BootState, StagedSystem
from appliance.errors import Refused
from appliance.host.files import mounted_readonly
from appliance.host.run import Host
from appliance.model.events import Line, StateChanged
from appliance.model.lineage import State
from appliance.model.plan import PlannedStep, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.core import read_from_a_copy, why_not_read
from appliance.workflow.steps.data_back import CheckData
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.hardware import look_before_trial
from appliance.workflow.steps.image import why_no_image
from appliance.workflow.steps.metal import why_not_kept, why_not_on_the_metal
from appliance.workflow.steps.volume_set import beneath

KEPT_FILES = "var/lib/twinboot/boot"
"""Inside the trial volume: the files its dpkg owns in /boot, or its unified image, as the twin left them."""


def boot_files_in(ground: Ground, root: Path) -> Path:
    """Where the trial volume mounted at `root` has them: a /boot inside the root volume is there itself."""
    return root / (KEPT_FILES if ground.system.own_boot is not None else "boot")


def artifacts_in(ground: Ground, root: Path) -> Artifacts:
    """What the trial volume mounted at `root` boots by."""
    images = root / KEPT_FILES if ground.system.loader.unified else None
    return find_artifacts(root, boot_files_in(ground, root), images)


@contextlib.contextmanager
def machine_boot(host: Host, ground: Ground) -> Iterator[Boot]:
    """The machine's own /boot, mounted for writing, for as long as one act needs it.

    Inside the root that is the origin: what is written to it is ours, and no sign that the old system ran.
    """
    place = ground.boot_place()
    with contextlib.ExitStack() as stack:
        if place.inside:
            stack.enter_context(ground.store(host).our_writes(ground.system.root.name))
        stack.enter_context(mounted_for(host, place))
        yield open_boot(host, place)


@contextlib.contextmanager
def machine_boot_to_read(host: Host, ground: Ground) -> Iterator[Boot]:
    """The same to look at: not one sector of it is written."""
    place = ground.boot_place()
    with mounted_to_read(host, place):
        yield open_boot(host, place)


def loader_of(ground: Ground, host: Host) -> BootLoader:
    return choose_loader(ground.machine, ground.system, host)


@contextlib.contextmanager
def trial_root(host: Host, ground: Ground) -> Iterator[Path]:
    """The trial volume, mounted to read from."""
    store, trial = ground.store(host), ground.snapshot(SnapshotRole.TRIAL)
    device, here = store.activate(trial), ground.work.scratch / "trial"
    try:
        with (
            mounted_readonly(host, device, ground.system.root.fstype, here, store.options(trial)) as root,
            beneath(host, ground, SnapshotRole.TRIAL, root),
        ):
            yield root
    finally:
        store.deactivate(trial)


def staged_system(ground: Ground, root: Path, *extra: str) -> StagedSystem:
    """What is staged: the trial volume at its device, with the files kept inside it."""
    system = ground.system
    return StagedSystem(
        run=ground.names.run,
        title=f"{system.os_name} {system.os_version}, patched in {ground.names.run}",
        root=ground.trial_called,
        old_root=ground.old_called,
        artifacts=artifacts_in(ground, root),
        machine_esp=system.esp.fsuuid if system.esp else "",
        efi_loader=grub_path(system.loader.efi_path),
        extra=extra,
    )


@dataclass(frozen=True, slots=True)
class CheckStill(OnGround):
    """No volume of the origin must have been written since the snapshot."""

    def do(self, ctx: Context) -> None:
        written = sum(changed.bytes for _, changed in self.ground.changed(ctx.host))
        if written:
            raise Refused(
                (f"The old system has run since (at least {written >> 10} KiB differ): rehearse again.",)
            )


@dataclass(frozen=True, slots=True)
class CheckMetal(OnGround):
    """Every driver of the real root stack is in the new initrd, the card with the machine's address keeps its
    driver and its name, and /boot has room."""

    def do(self, ctx: Context) -> None:
        with trial_root(ctx.host, self.ground) as root:
            wanted = staged_system(self.ground, root)
            reasons = why_not_on_the_metal(ctx.host, self.ground, root, wanted.artifacts)
            reasons += (*why_not_kept(self.ground, root), *why_not_read(self.ground))
            reasons += why_no_image(root, wanted.artifacts)
            hardware = look_before_trial(ctx.host, self.ground, root, wanted.artifacts.version)
            reasons += hardware.unreachable
            with machine_boot_to_read(ctx.host, self.ground) as boot:
                reasons += loader_of(self.ground, ctx.host).why_not(boot, wanted)
        if reasons:
            raise Refused(reasons)
        ctx.tell(Line(source="boot", text="the new initrd holds every driver of this machine's root disk"))
        for check in hardware.checks:
            ctx.tell(Line(source="boot", text=f"{check.name}: {check.outcome.value}, {check.after}"))


@dataclass(frozen=True, slots=True)
class TakeSafety(OnGround):
    """A dated snapshot of every data volume, before a trial may write to them (P16)."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        return all(store.exists(s) for s in self.ground.data_snapshots(SnapshotRole.SAFETY))

    def do(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for snapshot in self.ground.data_snapshots(SnapshotRole.SAFETY):
            store.create(snapshot)

    def undo(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        for snapshot in self.ground.data_snapshots(SnapshotRole.SAFETY):
            store.delete(snapshot)


@dataclass(frozen=True, slots=True)
class Show(OnGround):
    """The trial volumes come up with the machine from now on; before, the old system never saw it."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.store(ctx.host)
        return all(store.shown(trial) for trial in self.ground.whole_set(SnapshotRole.TRIAL))

    def do(self, ctx: Context) -> None:
        for trial in self.ground.whole_set(SnapshotRole.TRIAL):
            self.ground.store(ctx.host).show(trial)

    def undo(self, ctx: Context) -> None:
        for trial in self.ground.whole_set(SnapshotRole.TRIAL):
            self.ground.store(ctx.host).hide(trial)


@dataclass(frozen=True, slots=True)
class Hide(OnGround):
    """Rolled back, they stay down again: the old system shall not find its own UUIDs a second time.

    Where the loader's own default entry starts them, as it does from a keep on, they stay up: that entry is
    what the machine boots should the sector be lost. And so they do where GRUB itself lies in one.
    """

    def done(self, ctx: Context) -> bool:
        store, trials = self.ground.store(ctx.host), self.ground.whole_set(SnapshotRole.TRIAL)
        if not any(store.exists(trial) and store.shown(trial) for trial in trials):
            return True
        if read_from_a_copy(self.ground):
            return True
        boot = open_boot(ctx.host, self.ground.boot_place())
        own = loader_of(self.ground, ctx.host).view(boot).own
        return own is None or own.root == self.ground.trial_called

    def do(self, ctx: Context) -> None:
        for trial in self.ground.whole_set(SnapshotRole.TRIAL):
            self.ground.store(ctx.host).hide(trial)

    def undo(self, ctx: Context) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Stage(OnGround):
    """Everything under new names; the next boot stays what it was."""

    def done(self, ctx: Context) -> bool:
        with trial_root(ctx.host, self.ground) as root, machine_boot(ctx.host, self.ground) as boot:
            return loader_of(self.ground, ctx.host).staged(boot, staged_system(self.ground, root))

    def do(self, ctx: Context) -> None:
        with trial_root(ctx.host, self.ground) as root, machine_boot(ctx.host, self.ground) as boot:
            loader_of(self.ground, ctx.host).stage(boot, staged_system(self.ground, root))
        ctx.tell(StateChanged(state=State.STAGED))

    def undo(self, ctx: Context) -> None:
        with machine_boot(ctx.host, self.ground) as boot:
            loader_of(self.ground, ctx.host).restore(boot, self.ground.names.run)


@dataclass(frozen=True, slots=True)
class Flip(OnGround):
    """The loader's one deciding write, and reading it back as the loader does: the commit of its run."""

    act: Callable[[BootLoader, Boot, str], None]
    reached: Callable[[BootLoader, Boot, str], bool]
    made: Callable[[BootLoader, Boot, str], bool]
    state: State

    def done(self, ctx: Context) -> bool:
        return self._says(ctx, self.reached)

    def flipped(self, ctx: Context) -> bool:
        """The machine may have started since: a trial that was tried or kept is not taken from under it."""
        return self._says(ctx, self.made)

    def _says(self, ctx: Context, what: Callable[[BootLoader, Boot, str], bool]) -> bool:
        boot = open_boot(ctx.host, self.ground.boot_place())
        return what(loader_of(self.ground, ctx.host), boot, self.ground.names.run)

    def do(self, ctx: Context) -> None:
        with machine_boot(ctx.host, self.ground) as boot:
            self.act(loader_of(self.ground, ctx.host), boot, self.ground.names.run)
        self.ground.store(ctx.host).release()
        ctx.tell(StateChanged(state=self.state))

    def undo(self, ctx: Context) -> None:
        return None


def _arm(loader: BootLoader, boot: Boot, run: str) -> None:
    loader.arm(boot, run)


def _keep(loader: BootLoader, boot: Boot, run: str) -> None:
    loader.keep(boot, run)


def _roll_back(loader: BootLoader, boot: Boot, run: str) -> None:
    loader.roll_back(boot, run)


def _is_armed(loader: BootLoader, boot: Boot, run: str) -> bool:
    seen = loader.view(boot)
    return seen.run == run and seen.state is BootState.ARMED


def _was_armed(loader: BootLoader, boot: Boot, run: str) -> bool:
    seen = loader.view(boot)
    return seen.whose == run and seen.state in (
        BootState.ARMED,
        BootState.TRIAL,
        BootState.KEPT,
        BootState.SETTLING,
    )


def _keep_asked(loader: BootLoader, boot: Boot, run: str) -> bool:
    """The loader takes the one-shot back and leaves the wish: where the metal did not keep it, it is asked no
    more."""
    return _is_armed(loader, boot, run) and loader.view(boot).keep_asked


def _keep_was_asked(loader: BootLoader, boot: Boot, run: str) -> bool:
    seen = loader.view(boot)
    return seen.whose == run and (seen.keep_asked or seen.state in (BootState.KEPT, BootState.SETTLING))


def _is_rolled_back(loader: BootLoader, boot: Boot, run: str) -> bool:
    seen = loader.view(boot)
    return seen.run == run and seen.state is BootState.ROLLED_BACK


@dataclass(frozen=True, slots=True)
class Gate(OnGround):
    """A person's word; the runner does the waiting."""

    def do(self, ctx: Context) -> None:
        # Once more: the word may come days, and starts of the old system, after the first look.
        if self.ground.whole.request.verb is Verb.PROMOTE:
            CheckStill(self.plan, self.ground).do(ctx)
        if self.ground.whole.request.with_data:
            CheckData(self.plan, self.ground).do(ctx)
        ctx.tell(Line(source="run", text=f"approved: {self.plan.title}"))


def _flip(
    act: Callable[[BootLoader, Boot, str], None],
    reached: Callable[[BootLoader, Boot, str], bool],
    made: Callable[[BootLoader, Boot, str], bool],
    state: State,
) -> Callable[[PlannedStep, Ground], Step]:
    return lambda planned, ground: Flip(planned, ground, act, reached, made, state)


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "still": CheckStill,
    "metal": CheckMetal,
    "confirm": Gate,
    "safety": TakeSafety,
    "show": Show,
    "hide": Hide,
    "stage": Stage,
    "arm": _flip(_arm, _is_armed, _was_armed, State.ARMED),
    "keep": _flip(_keep, _keep_asked, _keep_was_asked, State.TRIAL),
    "rollback": _flip(_roll_back, _is_rolled_back, _is_rolled_back, State.FALLBACK),
}
