"""The proof boot: a throw-away snapshot of the trial volume, staged and armed by the code that promotes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from appliance.boot import confirm
from appliance.boot.confirm.limits import deadline, mkconfig
from appliance.boot.flip import mounted_for, open_boot
from appliance.checks.facts import parse
from appliance.errors import ApplianceError, Cancelled, TwinFailed
from appliance.host.files import mounted_readonly
from appliance.model.events import Line
from appliance.model.machine import mapper_path
from appliance.model.verdict import Facts
from appliance.patching.job import rest_after
from appliance.twin.hypervisor import PowerState
from appliance.twin.twin import Twin
from appliance.volumes.base import SnapshotRole
from appliance.workflow.runner import Context
from appliance.workflow.steps.boot import loader_of, staged_system, trial_root
from appliance.workflow.steps.direct import place_in_twin
from appliance.workflow.steps.ground import OnGround
from appliance.workflow.steps.twins import (
    PROOF,
    activate,
    deactivate,
    scratch_bytes,
    twin_of,
    volumes_of,
)

SPARE = 600.0
"""Seconds that the confirm unit gets over its own limits: it ends by itself, but for a twin that hangs."""

LEAST_REST = 5.0
"""Seconds between two looks for its word."""


@dataclass(frozen=True, slots=True)
class ProofBoot(OnGround):
    """Loader → our entry → staged kernel → edited fstab → confirm unit. What is proven here is what boots."""

    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("proof")

    def do(self, ctx: Context) -> None:
        self._lay_out(ctx)
        twin = twin_of(ctx, self.ground, PROOF)
        twin.prepare()
        why = ""
        try:
            self._stage(ctx, twin)
            twin.start()
            why = self._look(ctx, twin)
            twin.power_off()
        except Cancelled:
            raise
        except ApplianceError as error:
            why = error.what
        self.ground.work.save("proof", why)
        text = (
            f"proof boot FAILED: {why}" if why else "proof boot: the trial volume came up and was confirmed"
        )
        ctx.tell(Line(source="run", text=text, level="error" if why else "info"))

    def _lay_out(self, ctx: Context) -> None:
        ground = self.ground
        store = ground.store(ctx.host)
        for proof in ground.whole_set(SnapshotRole.PROOF):
            store.create(proof)
        for data in ground.data_snapshots(SnapshotRole.DATA_PROOF):
            store.create(data)
        store.create(ground.proof_scratch(), scratch_bytes(ctx.host, ground, PROOF))
        activate(ctx.host, ground, PROOF)

    def _laid_out(self, ctx: Context) -> bool:
        """Whether the trial volume is there: without it a proof twin cannot even be named."""
        return self.ground.store(ctx.host).exists(self.ground.snapshot(SnapshotRole.TRIAL))

    def _stage(self, ctx: Context, twin: Twin) -> None:
        """Into the twin's throw-away /boot, by the same code and from the same files as on the machine."""
        place = place_in_twin(self.ground, twin)
        loader = loader_of(self.ground, ctx.host)
        with trial_root(ctx.host, self.ground) as root:
            wanted = staged_system(self.ground, root, "twinboot.proof")
            with mounted_for(ctx.host, place):
                boot = open_boot(ctx.host, place, twin.variables)
                loader.stage(boot, wanted)
                loader.arm(boot, self.ground.names.run)

    def _look(self, ctx: Context, twin: Twin) -> str:
        """A sentence on what is wrong; empty when the trial came up and its confirm unit was content."""
        twin.wait_for_agent()
        run, guest = self.ground.names.run, twin.guest
        booted = guest.read_file("/proc/cmdline").decode(errors="replace").strip()
        if f"twinboot.trial={run}" not in booted.split():
            return f"the twin did not boot our entry but: {booted}"
        why = self._confirmed(ctx, twin)
        try:
            facts = parse(guest.read_file(confirm.FACTS))
        except ApplianceError as error:
            return why or error.what
        self.ground.work.save("proof-facts", facts)
        if not self.ground.is_trial_root(facts.root, facts.command_line):
            return f"the root is {facts.root}, not {self.ground.trial_called}"
        return why or self._mounted_elsewhere(facts)

    def _mounted_elsewhere(self, facts: Facts) -> str:
        """A sentence where a volume of the set beside the root is not the trial's; empty where all are."""
        where = {words[0]: words[-1] for mount in facts.mounts if (words := mount.split(" "))}
        for volume, trial in self.ground.beside(SnapshotRole.TRIAL):
            wanted = mapper_path(trial.vg, trial.lv)
            if where.get(volume.target) != wanted:
                return f"{volume.target} is {where.get(volume.target, 'not mounted')}, not {wanted}"
        return ""

    def _confirmed(self, ctx: Context, twin: Twin) -> str:
        """Wait for the word of the confirm unit; empty when it is good."""
        patched: Facts = self.ground.work.load("patched", Facts)
        limit = deadline(patched.boot_seconds) + mkconfig(patched.boot_seconds) + SPARE
        started = twin.clock()
        while (asked := twin.clock()) - started < limit:
            ctx.check_cancel()
            ended = twin.state() is PowerState.OFF
            if said := self._left_in_boot(ctx, twin) if ended else self._said(twin):
                return "" if said.startswith("verdict good") else f"the confirm unit said: {said}"
            if ended:
                return "the twin ended before its confirm unit had spoken"
            time.sleep(rest_after(twin.clock() - asked, LEAST_REST))
        return f"the confirm unit said nothing within {limit:.0f} s"

    def _said(self, twin: Twin) -> str:
        place = self.ground.boot_place()
        try:
            return twin.guest.read_file(f"{place.target}/{self._result}").decode(errors="replace").strip()
        except TwinFailed:
            return ""  # not there yet, or it is just restarting

    def _left_in_boot(self, ctx: Context, twin: Twin) -> str:
        """The same once the twin is off: one that gives its trial back restarts at once."""
        place = place_in_twin(self.ground, twin)
        with mounted_readonly(ctx.host, place.device, place.fstype, place.mount) as boot:
            file = boot / place.prefix.strip("/") / self._result
            return file.read_text(errors="replace").strip() if file.is_file() else ""

    @property
    def _result(self) -> str:
        return confirm.result(self.ground.names.run)

    def undo(self, ctx: Context) -> None:
        if PROOF in self.ground.live or self._laid_out(ctx):
            twin_of(ctx, self.ground, PROOF).teardown()
        deactivate(ctx.host, self.ground, PROOF)
        store = self.ground.store(ctx.host)
        for snapshot in volumes_of(self.ground, "proof"):
            store.delete(snapshot)
        for name in ("proof", "proof-facts"):
            self.ground.work.forget(name)
