"""Work by hand: a root shell on the twin's console, a person who works there, and what they changed."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from appliance.errors import ApplianceError, Cancelled, TwinFailed
from appliance.model.events import Line, StateChanged
from appliance.model.lineage import State
from appliance.model.plan import PatchKind
from appliance.patching import hands
from appliance.patching.base import Mark, Setting
from appliance.patching.choose import choose
from appliance.twin.hypervisor import PowerState
from appliance.twin.twin import Twin
from appliance.workflow.network import site_proxy
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.patch import REMEMBERED, close_sources, open_sources, save_applied
from appliance.workflow.steps.twins import BUNDLE, WORK, twin_of

MARK = "by-hand-mark"
DONE = "When you are done: Ctrl+] gives the keyboard back, then G goes on. Do not restart it yourself."


@dataclass(frozen=True, slots=True)
class OpenHands(OnGround):
    """Remember the packages, open the way to their sources as for any patch, and the shell.

    In a repair the twin may be too broken for either: then its console is there as it is.
    """

    def do(self, ctx: Context) -> None:
        twin = twin_of(ctx, self.ground, WORK)
        try:
            self._open(ctx, twin)
        except Cancelled:
            raise
        except ApplianceError as error:
            if self.ground.whole.request.repair is None:
                raise
            text = f"{error.what} Work with what its console shows."
            ctx.tell(Line(source="run", level="warn", text=text))
            return
        text = "a root shell is open on the twin's serial console, until you approve"
        ctx.tell(Line(source="run", text=text))

    def _open(self, ctx: Context, twin: Twin) -> None:
        guest = twin.guest
        if not guest.ping():
            raise TwinFailed("The twin's agent does not answer: no root shell can be opened in it.")
        request = replace(self.ground.whole.request.patch, kind=PatchKind.BY_HAND)
        closed = choose(guest, Setting())
        self.ground.work.save(MARK, closed.begin())
        proxy = open_sources(twin, closed, request, ctx, site_proxy(self.ground.work.runtime))
        bundle = BUNDLE if request.bundle else ""
        manager = choose(guest, Setting(proxy=proxy, bundle=bundle))
        hands.open_shell(guest, manager.by_hand(), _words(bundle))

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget(MARK)


def _words(bundle: str) -> tuple[str, ...]:
    sources = f"Patches lie in {bundle}." if bundle else "Its package sources can be reached, nothing else."
    return (
        "",
        "You are root in the TWIN of this machine. The machine itself is not in reach.",
        sources,
        "Packages of the boot loader stay as they are.",
        DONE,
        "",
    )


@dataclass(frozen=True, slots=True)
class ByHand(OnGround):
    """After the approval: end the shell and read back from the package database what was changed."""

    def do(self, ctx: Context) -> None:
        work = self.ground.work
        ctx.tell(Line(source="run", text=f"approved: {self.plan.title}"))
        if not work.saved(MARK):
            return  # a repair of a twin that could not be asked
        twin = twin_of(ctx, self.ground, WORK)
        repairing = self.ground.whole.request.repair is not None
        if repairing and not twin.guest.ping():
            ctx.tell(Line(source="run", level="warn", text="the twin could not be asked what was changed"))
            return
        if twin.state() is PowerState.OFF:
            ctx.tell(Line(source="run", text="the twin was switched off by hand: it is started to be asked"))
            twin.start()
            twin.wait_for_agent()
        hands.close_shell(twin.guest)
        close_sources(twin, ctx)
        applied = choose(twin.guest, Setting()).collect(work.load(MARK, Mark))
        save_applied(work, applied, ())
        ctx.tell(Line(source="patch", text=f"{len(applied.changes)} packages changed by hand"))
        if not repairing:
            ctx.tell(StateChanged(state=State.PATCHED))

    def undo(self, ctx: Context) -> None:
        for name in REMEMBERED:
            self.ground.work.forget(name)
