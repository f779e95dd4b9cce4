"""Repairing a copy: watch it fail, one attempt on it, and its boot after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.boot import pin
from appliance.boot.artifacts import kernels_with_modules
from appliance.checks.collect import collect
from appliance.errors import ApplianceError, BootConfigFailed, Cancelled, TwinFailed
from appliance.host.files import mounted
from appliance.host.run import write
from appliance.model.events import Line, StateChanged, VerdictReached
from appliance.model.lineage import State
from appliance.model.plan import PlannedStep, RepairKind
from appliance.model.verdict import Facts
from appliance.twin.offline import opened
from appliance.workflow.repair import ANOTHER, older_kernel
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.fsck import CheckFileSystem
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.initrd import make_initrd
from appliance.workflow.steps.packages import FinishPackages, UndoPackages
from appliance.workflow.steps.twins import HEALTH, WORK, site, twin_of
from appliance.workflow.steps.verdict import provisional


@dataclass(frozen=True, slots=True)
class Watch(OnGround):
    """The copy as it is, on the twin. That it fails is the finding, not an error: the run goes on."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("watch")

    def do(self, ctx: Context) -> None:
        ground, twin = self.ground, twin_of(ctx, self.ground, WORK)
        twin.start()
        try:
            twin.wait_for_agent()
            facts = collect(twin.guest, HEALTH, site=site(ground)).facts
            why = why_unwell(facts)
            if not why:
                ground.work.save("control", facts)
        except Cancelled:
            raise
        except ApplianceError as error:
            why = error.what
        ground.work.save("watch", why)
        said = f"finding: {why}" if why else "it boots to its default target in the twin as it is"
        ctx.tell(Line(source="run", level="warning" if why else "info", text=said))
        if why and ground.whole.request.repair is not RepairKind.BY_HAND:
            twin.stop()

    def undo(self, ctx: Context) -> None:
        for name in ("watch", "control"):
            self.ground.work.forget(name)


def why_unwell(facts: Facts) -> str:
    """A sentence where the boot did not come to its default target; empty where it did."""
    if facts.target_reached:
        return ""
    failed = ", ".join(facts.failed_units) or "no unit says why"
    return f"It does not reach {facts.target} on the twin ({failed})."


@dataclass(frozen=True, slots=True)
class RebuildInitrd(OnGround):
    """By the copy's own initramfs-tools or dracut, off-line, for the kernel it boots by default."""

    def do(self, ctx: Context) -> None:
        twin = twin_of(ctx, self.ground, WORK)
        twin.stop()
        with opened(ctx.host, twin, self.ground.system) as copy:
            versions = kernels_with_modules(copy.root, copy.root / "boot")
            if not versions:
                raise BootConfigFailed(
                    "The copy has no kernel with modules of its own in /boot.", next_actions=ANOTHER
                )
            version = pin.pinned(copy.root) or versions[0]
            known = {kernel.version: kernel.initrd for kernel in self.ground.system.kernels}
            image = known.get(version) or f"initrd.img-{version}"
            # What is damaged is not kept: the twin's /boot is thrown away, the machine's is not touched.
            (copy.root / "boot" / image).unlink(missing_ok=True)
            ctx.tell(Line(source="boot", text=f"building the initrd of kernel {version} anew"))
            try:
                names = make_initrd(ctx, copy, version, image)
            except BootConfigFailed as error:
                raise BootConfigFailed(error.what, next_actions=ANOTHER) from error
        ctx.tell(Line(source="boot", text=f"the new initrd reads whole: {len(names)} files"))


@dataclass(frozen=True, slots=True)
class ChooseOlderKernel(OnGround):
    """The twin's next boot takes it, and the copy names it as its default from then on."""

    def do(self, ctx: Context) -> None:
        ground, twin = self.ground, twin_of(ctx, self.ground, WORK)
        twin.stop()
        version = older_kernel(ground.system)
        boot, here = ground.system.own_boot, ground.work.scratch
        assert boot is not None  # refused while planning
        with mounted(ctx.host, twin.boot_device, boot.fstype, here / "twin-boot") as place:
            folder = place / (ground.system.loader.folder or "grub")
            config = (folder / "grub.cfg").read_text(errors="replace")
            choice = pin.choice_of(config, ground.system.loader.boot_prefix, version)
            ctx.host.run(
                write("grub-editenv", str(folder / "grubenv"), "set", f"next_entry={choice}", timeout=60)
            )
        with mounted(ctx.host, twin.root_device, ground.system.root.fstype, here / "copy") as root:
            pin.place(root, version, choice)
        ground.work.save("not-applied", (pin.sentence(version),))
        ctx.tell(Line(source="boot", text=f"the copy boots kernel {version} from here on"))

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget("not-applied")


@dataclass(frozen=True, slots=True)
class RepairedBoot(OnGround):
    """The copy after the attempt, by its own firmware and loader, asked the same facts as any twin."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("patched")

    def do(self, ctx: Context) -> None:
        ground, twin = self.ground, twin_of(ctx, self.ground, WORK)
        twin.stop()
        twin.start()
        try:
            twin.wait_for_agent()
            ctx.check_cancel()
            facts = collect(twin.guest, HEALTH, site=site(ground)).facts
            if why := self._why_not_repaired(facts):
                raise TwinFailed(why)
        except TwinFailed as error:
            ctx.tell(VerdictReached(verdict=provisional(ground, error.what)))
            raise TwinFailed(f"This repair did not help. {error.what}", next_actions=ANOTHER) from error
        ground.work.save("patched", facts)
        ctx.tell(Line(source="run", text=f"repaired boot: kernel {facts.kernel}, {facts.boot_seconds:.0f} s"))
        ctx.tell(StateChanged(state=State.PATCHED))

    def _why_not_repaired(self, facts: Facts) -> str:
        wanted = ""
        if self.ground.whole.request.repair is RepairKind.OLDER_KERNEL:
            wanted = older_kernel(self.ground.system)
        if wanted and facts.kernel != wanted:
            return f"The twin booted kernel {facts.kernel}, not {wanted}."
        return why_unwell(facts)

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget("patched")


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "watch": Watch,
    "fsck": CheckFileSystem,
    "initrd": RebuildInitrd,
    "older-kernel": ChooseOlderKernel,
    "finish-packages": FinishPackages,
    "undo-packages": UndoPackages,
    "repaired": RepairedBoot,
}
