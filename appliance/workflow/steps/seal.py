"""Seal: the twin's volume is frozen by its own agent and snapshotted while it runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.boot import confirm, fstab
from appliance.boot.artifacts import find_artifacts
from appliance.boot.confirm.limits import deadline, mkconfig
from appliance.boot.flip import open_boot
from appliance.boot.grub import forget_copied
from appliance.checks.expected import gateways, render
from appliance.checks.health import script
from appliance.checks.history import failed_before
from appliance.errors import PatchFailed
from appliance.host.files import mounted, mounted_readonly
from appliance.host.run import Host
from appliance.model.events import Line, Progress, StateChanged
from appliance.model.lineage import State
from appliance.model.machine import mapper_path
from appliance.model.verdict import CheckResult, Facts
from appliance.patching.base import Setting
from appliance.patching.choose import choose
from appliance.probe.bls import ENTRIES
from appliance.probe.unified import FOLDER as IMAGES
from appliance.twin.twin import Twin
from appliance.volumes.base import SnapshotRole
from appliance.volumes.copied import Copied
from appliance.workflow.runner import Context
from appliance.workflow.steps.boot import KEPT_FILES, boot_files_in, loader_of
from appliance.workflow.steps.data import written_since
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.initrd import fit_for_the_metal
from appliance.workflow.steps.twins import WORK, twin_of
from appliance.workflow.steps.volume_set import beneath, twins_beneath
from appliance.workflow.ways import repair_by

MIB = 1 << 20
FINISH = (f"{repair_by('finish-packages')}: half done before.",)
OTHER_PATCHES = ("Look at the package manager's output in the report.", "Rehearse other patches.")


@dataclass(frozen=True, slots=True)
class Seal(OnGround):
    """No package lock, nothing half-installed, our hand proven removed; freeze, snapshot, thaw."""

    def done(self, ctx: Context) -> bool:
        store = self.ground.copies(ctx.host)
        return all(store.exists(sealed) for sealed in self.ground.whole_set(SnapshotRole.SEALED))

    def do(self, ctx: Context) -> None:
        ground = self.ground
        twin = twin_of(ctx, ground, WORK)
        guest = twin.guest
        if unclean := choose(guest, Setting()).audit():
            raise PatchFailed(
                f"The twin's system cannot be sealed: {' '.join(unclean)}",
                next_actions=(*(FINISH if self._was_unfinished() else ()), *OTHER_PATCHES),
            )
        if why := why_not_sealed(ground):
            raise PatchFailed(why, next_actions=OTHER_PATCHES)
        twin.clean_before_seal()
        store, work = ground.copies(ctx.host), ground.whole_set(SnapshotRole.WORK)
        pairs = tuple(zip(work, ground.whole_set(SnapshotRole.SEALED), strict=True))

        def seal() -> None:
            """All of the set in one freeze: none of its volumes is older than another."""
            for each, sealed in pairs:
                store.seal(each, sealed, twin.pull_plug)

        held = twin.while_frozen(seal)
        label = "frozen" if held else "crash-consistent"
        ground.work.save("seal", label)
        ctx.tell(Line(source="run", text=f"sealed while the twin ran: {label}"))

    def _was_unfinished(self) -> bool:
        """Whether packages were half done before anything was patched."""
        control: Facts | None = self.ground.work.load_or("control", Facts, None)
        return control is not None and bool(control.half_configured)

    def undo(self, ctx: Context) -> None:
        for sealed in self.ground.whole_set(SnapshotRole.SEALED):
            self.ground.copies(ctx.host).delete(sealed)
        self.ground.work.forget("seal")


@dataclass(frozen=True, slots=True)
class StopTwin(OnGround):
    """Power the twin off, keep the boot files it wrote, take its disks down, look at the data volumes."""

    def do(self, ctx: Context) -> None:
        ground = self.ground
        twin = twin_of(ctx, ground, WORK)
        twin.power_off()
        self._keep_boot_files(ctx, twin)
        # As long as the twin's disks stand, the kernel gives nobody else the volumes under them.
        twin.teardown()
        ground.work.save("data-writes", written_since(ctx, ground))

    def _keep_boot_files(self, ctx: Context, twin: Twin) -> None:
        """Copy what the sealed system owns in the twin's /boot out of it, before that is thrown away.

        The sealed volume may be the very one under the twin's disk, which nobody else can mount meanwhile.
        """
        ground = self.ground
        here, boot, esp = ground.work.scratch, ground.system.own_boot, ground.system.esp
        apart = (twin.boot_device, boot) if boot is not None else None
        if ground.system.loader.unified and esp is not None:
            apart = (twin.esp_device, esp)
        if apart is None:
            return  # they lie in the root volume, and are sealed with it
        fstype = ground.system.root.fstype
        part = ground.copies(ctx.host).options(ground.snapshot(SnapshotRole.WORK))
        device, place = apart
        with (
            mounted_readonly(ctx.host, twin.root_device, fstype, here / "twin-root", part) as root,
            twins_beneath(ctx.host, ground, twin, root),
            mounted_readonly(ctx.host, device, place.fstype, here / "twin-boot") as files,
        ):
            if boot is None:
                copy_image(root, files / IMAGES, boot_files(ground))
            else:
                copy_boot_files(root, files, boot_files(ground))

    def undo(self, ctx: Context) -> None:
        shutil.rmtree(boot_files(self.ground), ignore_errors=True)


def why_not_sealed(ground: Ground) -> str:
    """A sentence where what was booted and tested last is not what would be sealed; else empty."""
    patched: Facts | None = ground.work.load_or("patched", Facts, None)
    if patched is None or ground.is_worked_on(patched.root):
        return ""
    return f"The patch made {patched.root} the root of the next start, which is not what is rehearsed."


def boot_files(ground: Ground) -> Path:
    """Where the patched system's boot files wait in memory for their trial volume."""
    return ground.work.scratch / "boot-files"


@dataclass(frozen=True, slots=True)
class MakeTrial(OnGround):
    """A writable snapshot of each sealed one, with the metal's edits: fstab, confirm unit, its boot files."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("metal-edits")

    def do(self, ctx: Context) -> None:
        ground = self.ground
        store = ground.store(ctx.host, lambda how: self._copied(ctx, how))
        trial = ground.snapshot(SnapshotRole.TRIAL)
        for each in ground.whole_set(SnapshotRole.TRIAL):
            store.create(each)
        # Before the trial volume is mounted: where all are in one file system it is not read beside that.
        failed = self._failed_before(ctx)
        device, fstype, here = store.activate(trial), ground.system.root.fstype, ground.work.scratch
        with (
            mounted(ctx.host, device, fstype, here / "trial", store.options(trial)) as root,
            beneath(ctx.host, ground, SnapshotRole.TRIAL, root, writable=True),
        ):
            edits = self._boot_files(ctx.host, root)
            if not ground.system.loader.unified:  # an image is not made anew: what it lacks is refused
                fit_for_the_metal(ctx, ground, root, boot_files_in(ground, root))
            first = root / confirm.home(ground.names.run) / confirm.FIRST_FSTAB
            fstab.point(root, self._devices(), first)
            edits += self._install_confirm(root, failed)
            edits += ("etc/fstab", str(first.relative_to(root)), *self._name_new_root(ctx, root))
        store.deactivate(trial)
        shutil.rmtree(boot_files(ground), ignore_errors=True)
        ground.work.save("metal-edits", edits)
        ctx.tell(StateChanged(state=State.SEALED))

    def _copied(self, ctx: Context, how: Copied) -> None:
        """Where the storage can not share blocks the sealed state is copied, which takes its time."""
        ctx.check_cancel()
        done, total, rate = (value / MIB for value in (how.done, how.total, how.rate))
        ctx.tell(Progress(step=self.plan.id, done=done, total=total, unit="MiB", left=how.left, rate=rate))

    def _devices(self) -> dict[str, str]:
        """Where each volume of the set is from now on, by its place in the system."""
        beside = self.ground.beside(SnapshotRole.TRIAL)
        return {"/": self.ground.trial_called} | {v.target: mapper_path(s.vg, s.lv) for v, s in beside}

    def _boot_files(self, host: Host, root: Path) -> tuple[str, ...]:
        if self.ground.system.boot_inside:
            return forget_copied(host, root / "boot", self.ground.boot_place().folder)
        if self.ground.system.own_boot is None and not self.ground.system.loader.unified:
            return ()
        shutil.copytree(boot_files(self.ground), root / KEPT_FILES, dirs_exist_ok=True)
        return (f"{KEPT_FILES}/",)

    def _name_new_root(self, ctx: Context, root: Path) -> tuple[str, ...]:
        """The loader's own tools in the trial volume name the new root from keep on."""
        ground = self.ground
        loader, boot = loader_of(ground, ctx.host), open_boot(ctx.host, ground.boot_place())
        return loader.name_root(boot, root, confirm.home(ground.names.run), ground.trial_called)

    def _failed_before(self, ctx: Context) -> tuple[str, ...]:
        """Units that failed on this metal before any patch: they are not held against the trial."""
        ground = self.ground
        store, base = ground.store(ctx.host), ground.snapshot(SnapshotRole.BASE)
        device, fstype = store.activate(base), ground.system.root.fstype
        here = ground.work.scratch / "base"
        with (
            mounted_readonly(ctx.host, device, fstype, here, store.options(base)) as root,
            beneath(ctx.host, ground, SnapshotRole.BASE, root),
        ):
            found = failed_before(ctx.host, root)
        store.deactivate(base)
        return found

    def _install_confirm(self, root: Path, excused: tuple[str, ...]) -> tuple[str, ...]:
        ground, place = self.ground, self.ground.boot_place()
        patched: Facts = ground.work.load("patched", Facts)
        checks = ground.work.load("checks", tuple[CheckResult, ...])
        trial = confirm.Trial(
            run=ground.names.run,
            root=ground.trial_called,
            old_root=ground.old_called,
            folder=place.folder,
            prefix=place.prefix,
            loader=ground.system.loader.kind.value,
            boot=place.target,
            sector=place.sector,
            deadline=deadline(patched.boot_seconds),
            mkconfig=mkconfig(patched.boot_seconds),
            manual=not ground.whole.request.auto_keep,
            default=ground.system.starts_unnamed,
            old_fs=place.fsuuid if place.inside else "",
        )
        expected = render(patched, checks, gateways(root), excused)
        return confirm.install(root, trial, script(*confirm.parts()), expected)

    def undo(self, ctx: Context) -> None:
        for trial in self.ground.whole_set(SnapshotRole.TRIAL):
            self.ground.store(ctx.host).delete(trial)
        self.ground.work.forget("metal-edits")


def copy_boot_files(root: Path, boot: Path, target: Path) -> None:
    """Copy every file of `boot` that the system mounted at `root` owns there, and the entries of its kernels,
    into the new folder `target`."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    found = find_artifacts(root, boot)
    for file in found.files:
        shutil.copy2(file.source, target / file.name)
    for file in found.entries:
        (target / ENTRIES).mkdir(parents=True, exist_ok=True)
        shutil.copy2(file.source, target / ENTRIES / file.name)


def copy_image(root: Path, images: Path, target: Path) -> None:
    """Copy what the system mounted at `root` has made of its kernel in `images` into the new folder
    `target`."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (file,) = find_artifacts(root, root / "boot", images).loaded
    shutil.copy2(file.source, target / file.name)
