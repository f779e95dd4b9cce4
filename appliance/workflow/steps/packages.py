"""Finishing the last package transaction of the copy: in the twin where it boots, off-line where not."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import PatchFailed
from appliance.model.events import Line
from appliance.patching.apt_progress import AptProgress
from appliance.patching.apt_repair import Run, finish, finish_from_sources
from appliance.patching.apt_setup import write_preferences
from appliance.patching.base import Guest, PackageManager, Setting
from appliance.patching.choose import choose
from appliance.patching.job import Job
from appliance.twin.offline import opened
from appliance.twin.twin import Twin
from appliance.workflow.repair import ANOTHER
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.patch import save_applied
from appliance.workflow.steps.twins import WORK, twin_of

OFFLINE_LIMIT = 5400.0
"""Seconds, as for a patch in the twin."""


@dataclass(frozen=True, slots=True)
class FinishPackages(OnGround):
    """dpkg --configure -a and apt-get -f install; afterwards the package manager must call itself whole."""

    def do(self, ctx: Context) -> None:
        ground, twin = self.ground, twin_of(ctx, self.ground, WORK)
        # "watch" is empty where the copy came up as it was: then the twin still runs.
        if not ground.work.load_or("watch", str, "not watched"):
            left = self._finish(ctx, twin.guest, in_twin(ctx, twin), twin)
        else:
            twin.stop()
            with opened(ctx.host, twin, ground.system) as copy:
                left = self._finish(ctx, copy, offline(ctx, copy), None)
        if left:
            raise PatchFailed(
                f"The packages could not be finished: {' '.join(left[:5])}", next_actions=ANOTHER
            )
        ctx.tell(Line(source="patch", text="the package manager calls every package fully installed"))

    def _finish(self, ctx: Context, guest: Guest, run: Run, twin: Twin | None) -> tuple[str, ...]:
        """What is still unfinished. Where the local files do not suffice, `twin` may reach its sources."""
        manager = choose(guest, Setting(cancelled=ctx.cancel.is_set))
        mark = manager.begin()
        write_preferences(guest, security=False)
        finish(run)
        if twin is not None and manager.audit():
            _finish_from_sources(ctx, twin, manager, run)
        left = manager.audit()
        save_applied(self.ground.work, manager.collect(mark), ())
        return left

    def undo(self, ctx: Context) -> None:
        for name in ("changes", "conffiles", "not-applied", "patch-failure"):
            self.ground.work.forget(name)


def _finish_from_sources(ctx: Context, twin: Twin, manager: PackageManager, run: Run) -> None:
    sources = manager.sources()
    proxy = twin.open_network(sources.hosts, sources.upstream)
    finish_from_sources(run, Setting(proxy=proxy), sources.hosts)
    for denied in twin.close_network():
        ctx.tell(Line(source="net", text=f"denied: {denied}"))


def in_twin(ctx: Context, twin: Twin) -> Run:
    """Runs a program in the running twin; it can be cancelled, and its output comes line by line."""

    def run(argv: tuple[str, ...], what: str) -> int:
        setting = Setting(cancelled=ctx.cancel.is_set, step="finish-packages")
        progress = AptProgress(ctx.tell, setting.step, 0, 0, setting.clock)
        return Job(twin.guest, setting).run(argv, progress.heard, what)

    return run


def offline(ctx: Context, copy: Guest) -> Run:
    """Runs a program in the mounted copy; a cancel waits for its end."""

    def run(argv: tuple[str, ...], what: str) -> int:
        ctx.check_cancel()
        ctx.tell(Line(source="patch", text=f"off-line: {what}"))
        said = copy.exec(argv, timeout=OFFLINE_LIMIT)
        for words in (said.stdout + said.stderr).decode(errors="replace").splitlines():
            ctx.tell(Line(source="patch", text=words))
        return said.status

    return run
