"""The twin's life: built, booted as it was, patched, booted again, stopped."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.checks.collect import collect
from appliance.checks.verdict import checks_of
from appliance.errors import TwinFailed
from appliance.model.events import Line, StateChanged, VerdictReached
from appliance.model.lineage import State
from appliance.model.verdict import Facts, Outcome
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.twins import HEALTH, WORK, activate, deactivate, site, twin_of
from appliance.workflow.steps.verdict import SLOW_TWIN, limits_of, provisional
from appliance.workflow.ways import repair_by

REPAIR = (
    f"{repair_by('help')}. The original stays as it is.",
    "Look at the twin's console in the report: it says how far the boot came.",
)
"""What is next where the system as it is does not boot: a finding, not a dead end."""


@dataclass(frozen=True, slots=True)
class BuildTwin(OnGround):
    """The twin's disks, tools disk and variable store; our agent and the quiet list go into the snapshot."""

    def do(self, ctx: Context) -> None:
        activate(ctx.host, self.ground, WORK)
        twin = twin_of(ctx, self.ground, WORK)
        twin.prepare()
        self.ground.work.save(SLOW_TWIN, twin.slow)
        if twin.layout.left_out:
            left = ", ".join(twin.layout.left_out)
            ctx.tell(Line(source="run", text=f"not in the twin, since nothing mounts them: {left}"))

    def undo(self, ctx: Context) -> None:
        twin_of(ctx, self.ground, WORK).teardown()
        deactivate(ctx.host, self.ground, WORK)


@dataclass(frozen=True, slots=True)
class ControlBoot(OnGround):
    """The snapshot as it was, on the twin: what patching is compared against."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("control")

    def do(self, ctx: Context) -> None:
        twin = twin_of(ctx, self.ground, WORK)
        twin.start()
        try:
            twin.wait_for_agent()
        except TwinFailed as error:
            raise TwinFailed(error.what, next_actions=REPAIR) from error
        ctx.check_cancel()
        facts = collect(twin.guest, HEALTH, site=site(self.ground)).facts
        if not facts.target_reached:
            failed = ", ".join(facts.failed_units) or "no unit says why"
            raise TwinFailed(
                f"The system as it is does not reach {facts.target} on the twin ({failed}).",
                next_actions=REPAIR,
            )
        self.ground.work.save("control", facts)
        ctx.tell(Line(source="run", text=f"control boot: {facts.target} reached, {facts.boot_seconds:.0f} s"))

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget("control")


@dataclass(frozen=True, slots=True)
class PatchedBoot(OnGround):
    """Shut down cleanly, start again by its own firmware and loader, ask again."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("patched")

    def do(self, ctx: Context) -> None:
        twin = twin_of(ctx, self.ground, WORK)
        try:
            twin.reboot()
        except TwinFailed as error:
            ctx.tell(VerdictReached(verdict=provisional(self.ground, error.what)))
            raise
        ctx.check_cancel()
        facts = collect(twin.guest, HEALTH, site=site(self.ground)).facts
        self.ground.work.save("patched", facts)
        ctx.tell(Line(source="run", text=f"patched boot: kernel {facts.kernel}, {facts.boot_seconds:.0f} s"))

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget("patched")


@dataclass(frozen=True, slots=True)
class Compare(OnGround):
    """Only differences count; what was repaired is judged by its own health as well."""

    def do(self, ctx: Context) -> None:
        control: Facts | None = self.ground.work.load_or("control", Facts, None)
        patched: Facts = self.ground.work.load("patched", Facts)
        checks = checks_of(control, patched, limits_of(self.ground), repaired=self.ground.repairs)
        self.ground.work.save("checks", checks)
        for check in checks:
            if check.outcome is Outcome.WORSE:
                ctx.tell(Line(source="run", level="error", text=f"worse: {check.name}: {check.why}"))
        ctx.tell(VerdictReached(verdict=provisional(self.ground)))
        ctx.tell(StateChanged(state=State.TESTED))
