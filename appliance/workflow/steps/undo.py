"""Undo everything: out of /boot, then our volumes, then the history. Only what is ours is deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from appliance.boot.base import BootLoader
from appliance.boot.entries import FOLDER
from appliance.boot.flip import open_boot
from appliance.boot.place import Boot
from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import BootConfigFailed
from appliance.host.run import Host
from appliance.model.events import Line
from appliance.model.plan import PlannedStep
from appliance.volumes.choose import choose_history
from appliance.volumes.state import History
from appliance.workflow.runner import Context, Step
from appliance.workflow.steps.boot import loader_of, machine_boot
from appliance.workflow.steps.core import refuse_what_grub_reads
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.retire import delete_doomed, owned_by_installed, refuse_what_is_needed

MOST_RUNS = 1000
"""A loader that still shows something of ours after so many removals does not obey."""


def is_clear(boot: Boot, seen: LoaderView) -> bool:
    """Whether the loader finds nothing of ours any more, not even an empty folder."""
    found = bool(seen.runs) or seen.custom in ("ours", "edited") or seen.state is not BootState.ABSENT
    return not found and FOLDER not in boot.raw.names("")


def leave(loader: BootLoader, boot: Boot, owned: tuple[str, ...]) -> None:
    """Take every run out of /boot, the one the sector names first. Safe to repeat and half-done.

    Raises Refused where the next boot, for good, is a volume of ours; BootConfigFailed where something stays.
    """
    for _ in range(MOST_RUNS):
        seen = loader.view(boot)
        if is_clear(boot, seen):
            return
        if seen.state is BootState.ARMED:
            loader.disarm(boot, seen.run)
            seen = loader.view(boot)
        run = seen.run if seen.run in seen.runs or not seen.runs else seen.runs[-1]
        loader.restore(boot, run, owned)
    raise BootConfigFailed(f"Something of ours stays in /boot: {', '.join(seen.runs) or seen.state.value}.")


@dataclass(frozen=True, slots=True)
class LeaveBoot(OnGround):
    """From here on no entry leads to a volume of ours."""

    def done(self, ctx: Context) -> bool:
        boot = open_boot(ctx.host, self.ground.boot_place())
        return is_clear(boot, loader_of(self.ground, ctx.host).view(boot))

    def do(self, ctx: Context) -> None:
        ground = self.ground
        refuse_what_grub_reads(ground)
        owned = owned_by_installed(ctx.host, ground)
        with machine_boot(ctx.host, ground) as boot:
            leave(loader_of(ground, ctx.host), boot, owned)
        ground.store(ctx.host).release()


@dataclass(frozen=True, slots=True)
class DeleteOurs(OnGround):
    """Exactly the volumes the plan names, and of those only what carries our tag."""

    def done(self, ctx: Context) -> bool:
        return not {s.lv for s in self.ground.store(ctx.host).ours()} & set(self.ground.whole.doomed)

    def do(self, ctx: Context) -> None:
        refuse_what_is_needed(ctx, self.ground)
        delete_doomed(ctx, self.ground)


@dataclass(frozen=True, slots=True)
class DeleteHistory(OnGround):
    """The state volume, last. The record of this act goes on in memory, under the same path."""

    def done(self, ctx: Context) -> bool:
        return not _state(ctx.host, self.ground).exists()

    def do(self, ctx: Context) -> None:
        work = self.ground.work
        state, aside = work.runtime / "state", work.runtime / "undone"
        shutil.rmtree(aside, ignore_errors=True)
        acts = sorted(work.folder.glob("undo-*"))
        for act in acts:
            shutil.copytree(act, aside / act.name)
        volume = _state(ctx.host, self.ground)
        volume.unmount(state)
        for act in acts:  # before the volume goes: the journal must have its place for what comes next
            shutil.copytree(aside / act.name, act, dirs_exist_ok=True)
        volume.delete()
        ctx.tell(Line(source="run", text="nothing of Twinboot is left on this machine's disks"))


def _state(host: Host, ground: Ground) -> History:
    return choose_history(host, ground.machine, ground.names.vg)


STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "leave-boot": LeaveBoot,
    "delete-ours": DeleteOurs,
    "history": DeleteHistory,
}
