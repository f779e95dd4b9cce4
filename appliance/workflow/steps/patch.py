"""Patching the running twin by its own package manager."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import Refused
from appliance.model.events import Line, StateChanged
from appliance.model.lineage import State
from appliance.model.plan import PatchKind, PatchRequest
from appliance.patching.base import Applied, PackageManager, Setting
from appliance.patching.choose import choose
from appliance.twin.twin import Twin
from appliance.workflow.network import site_proxy
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.twins import BUNDLE, WORK, twin_of
from appliance.workflow.stick import read_script
from appliance.workflow.workplace import Workplace

REMEMBERED = ("changes", "conffiles", "not-applied", "patch-failure")
"""What `save_applied` keeps for the verdict."""


@dataclass(frozen=True, slots=True)
class Patch(OnGround):
    """Opens the allow-listing proxy for as long as it takes, or shows the twin the bundle."""

    def do(self, ctx: Context) -> None:
        request = self.ground.whole.request.patch
        twin = twin_of(ctx, self.ground, WORK)
        guest = twin.guest
        script = b""
        if request.kind is PatchKind.SCRIPT:
            script = read_script(self.ground.work.data, request.script)
        closed = choose(guest, Setting(script=script, cancelled=ctx.cancel.is_set))
        if reasons := closed.why_not(request):
            raise Refused(reasons)
        silent: tuple[str, ...] = ()
        with reaching(twin, closed, request, ctx, site_proxy(self.ground.work.runtime)) as proxy:
            setting = Setting(
                proxy=proxy,
                bundle=BUNDLE if request.bundle else "",
                script=script,
                cancelled=ctx.cancel.is_set,
                clock=twin.clock,
            )
            manager = choose(guest, setting)
            if request.kind is not PatchKind.NOTHING:
                silent = manager.refresh(request, ctx.tell)
            applied = manager.apply(request, ctx.tell)
        save_applied(self.ground.work, applied, silent)
        ctx.tell(Line(source="patch", text=f"{len(applied.changes)} packages changed"))
        ctx.tell(StateChanged(state=State.PATCHED))

    def undo(self, ctx: Context) -> None:
        for name in REMEMBERED:
            self.ground.work.forget(name)


@contextlib.contextmanager
def reaching(
    twin: Twin, manager: PackageManager, request: PatchRequest, ctx: Context, site: str
) -> Iterator[str]:
    """The proxy's URL while the twin may reach its own package sources; empty where it may reach nothing."""
    proxy = open_sources(twin, manager, request, ctx, site)
    yield proxy
    if proxy:
        close_sources(twin, ctx)


def open_sources(twin: Twin, manager: PackageManager, request: PatchRequest, ctx: Context, site: str) -> str:
    """Let the twin reach its own package sources; the proxy's URL, empty where it may reach nothing.

    `site` is the site's own proxy as set in the appliance, "host:port"; it comes before the system's own.
    """
    if request.bundle or request.kind is PatchKind.NOTHING:
        return ""
    sources = manager.sources()
    for sentence in sources.unreachable:
        ctx.tell(Line(source="net", text=sentence))
    return twin.open_network(sources.hosts, site or sources.upstream)


def close_sources(twin: Twin, ctx: Context) -> None:
    """Let it reach nothing; what it asked for in vain is told."""
    for denied in twin.close_network():
        ctx.tell(Line(source="net", text=f"denied: {denied}"))


def save_applied(work: Workplace, applied: Applied, silent: tuple[str, ...]) -> None:
    """Keep what was done for the verdict."""
    work.save("changes", applied.changes)
    work.save("conffiles", applied.kept_conffiles)
    work.save("not-applied", (*applied.not_applied, *silent))
    work.save("patch-failure", applied.failure)
