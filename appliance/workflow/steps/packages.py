"""The last package transaction of the copy, finished or undone: in the twin where it boots, else off-line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import PatchFailed
from appliance.model.events import Line
from appliance.patching.apt_progress import AptProgress
from appliance.patching.apt_repair import Run, finish, finish_from_sources, undo, update
from appliance.patching.apt_setup import write_preferences
from appliance.patching.apt_undo import Transaction, not_undone, read_last, undo_words
from appliance.patching.base import Guest, PackageManager, Setting
from appliance.patching.choose import choose
from appliance.patching.job import Job
from appliance.twin.offline import opened
from appliance.twin.twin import Twin
from appliance.workflow.network import site_proxy
from appliance.workflow.repair import ANOTHER
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.patch import REMEMBERED, close_sources, save_applied
from appliance.workflow.steps.twins import WORK, twin_of

OFFLINE_LIMIT = 5400.0
"""Seconds, as for a patch in the twin."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the package manager is run. `twin` is None off-line, where nothing can be fetched.

    `site` is the site's proxy as set in the appliance, "host:port".
    """

    ctx: Context
    guest: Guest
    run: Run
    manager: PackageManager
    twin: Twin | None
    site: str


@dataclass(frozen=True, slots=True)
class PackageRepair(OnGround):
    """One act of the package manager; afterwards it must call every package whole."""

    def do(self, ctx: Context) -> None:
        ground, twin = self.ground, twin_of(ctx, self.ground, WORK)
        # "watch" is empty where the copy came up as it was: then the twin still runs.
        if not ground.work.load_or("watch", str, "not watched"):
            self._carry_out(ctx, twin.guest, in_twin(ctx, twin), twin)
            return
        twin.stop()
        with opened(ctx.host, twin, ground.system) as copy:
            self._carry_out(ctx, copy, offline(ctx, copy), None)

    def _carry_out(self, ctx: Context, guest: Guest, run: Run, twin: Twin | None) -> None:
        manager = choose(guest, Setting(cancelled=ctx.cancel.is_set))
        mark = manager.begin()
        write_preferences(guest, security=False)
        left = self.mend(Place(ctx, guest, run, manager, twin, site_proxy(self.ground.work.runtime)))
        applied = manager.collect(mark)
        if left:
            raise PatchFailed(
                f"The packages could not be put right: {' '.join(left[:5])}", next_actions=ANOTHER
            )
        save_applied(self.ground.work, applied, ())
        ctx.tell(Line(source="patch", text="the package manager calls every package fully installed"))

    def mend(self, here: Place) -> tuple[str, ...]:
        """Do it; sentences on what is not as it should be."""
        raise NotImplementedError

    def undo(self, ctx: Context) -> None:
        for name in REMEMBERED:
            self.ground.work.forget(name)


@dataclass(frozen=True, slots=True)
class FinishPackages(PackageRepair):
    """dpkg --configure -a and apt-get -f install; from the system's sources only what is not here."""

    def mend(self, here: Place) -> tuple[str, ...]:
        finish(here.run)
        if here.twin is not None and here.manager.audit():
            with reached(here) as setting:
                finish_from_sources(here.run, setting, here.manager.sources().hosts)
        return here.manager.audit()


@dataclass(frozen=True, slots=True)
class UndoPackages(PackageRepair):
    """The versions before, by apt's own history: downloaded packages first, the system's sources else."""

    def mend(self, here: Place) -> tuple[str, ...]:
        wanted = read_last(here.guest)
        here.ctx.tell(Line(source="patch", text=f"undoing {wanted.command or 'the last act'} of {wanted.at}"))
        for name in wanted.loaders:
            here.ctx.tell(Line(source="patch", level="warning", text=f"not undone: {name}, a boot loader's"))
        if here.twin is None:
            undo(here.run, Setting(), (), undo_words(here.guest, wanted, network=False))
        else:
            self._with_sources(here, wanted)
        return (*not_undone(wanted.changes, here.manager.installed()), *here.manager.audit())

    def _with_sources(self, here: Place, wanted: Transaction) -> None:
        hosts = here.manager.sources().hosts
        with reached(here) as setting:
            update(here.run, setting, hosts)
            undo(here.run, setting, hosts, undo_words(here.guest, wanted, network=True))


@contextlib.contextmanager
def reached(here: Place) -> Iterator[Setting]:
    """The twin may reach its own package sources within the block."""
    assert here.twin is not None
    sources = here.manager.sources()
    proxy = here.twin.open_network(sources.hosts, here.site or sources.upstream)
    try:
        yield Setting(proxy=proxy)
    finally:
        close_sources(here.twin, here.ctx)


def in_twin(ctx: Context, twin: Twin) -> Run:
    """Runs a program in the running twin; it can be cancelled, and its output comes line by line."""

    def run(argv: tuple[str, ...], what: str) -> int:
        setting = Setting(cancelled=ctx.cancel.is_set, step="packages", clock=twin.clock)
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
