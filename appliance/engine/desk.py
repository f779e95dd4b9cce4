"""Answers every request: reads the machine, makes plans, starts and steers the one run."""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable

from appliance.engine.bus import Bus
from appliance.engine.packages import PackageDesk
from appliance.engine.runs import Runs
from appliance.engine.services import Services
from appliance.errors import Busy, Refused, StalePlan, WrongPassphrase
from appliance.host.passphrases import Passphrases
from appliance.host.run import Host, write
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.command_line import command_line
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request, Verb
from appliance.probe import beneath
from appliance.probe.machine import probe
from appliance.workflow import catalogue
from appliance.workflow.descent import Descent
from appliance.workflow.places import Places
from appliance.workflow.wanted import write_wanted

STILL_TRUE = 120.0
"""Seconds a reading may serve for a plan and its start: only this engine touches the disks meanwhile."""


PASSPHRASE = 512
"""Bytes that cryptsetup takes of what somebody types (cryptsetup(8), NOTES ON PASSPHRASE PROCESSING)."""

DISKS_WAIT = 20.0
"""Seconds that planning an act waits for a run to leave the disks."""


class Desk:
    """One caller at a time touches the machine; a run holds it meanwhile and status uses what is known."""

    def __init__(self, host: Host, bus: Bus, runs: Runs, places: Places, writes: Callable[[], int]) -> None:
        self.host = host
        self.bus = bus
        self.runs = runs
        self.places = places
        self.writes = writes
        self.services = Services(host, bus, places)
        runs.deliver = self.services.to_stick
        self.packages = PackageDesk(host, runs)
        self.version = importlib.metadata.version("twinboot")
        self.passphrases = Passphrases()
        self._machine: Machine | None = None
        self._descent: Descent | None = None
        self._planned: Plan | None = None
        self._read_at = 0.0
        self._changed = False
        self._lock = threading.Lock()

    def handle(self, say: m.AnySay, operator: str) -> m.AnyReply:
        """Answer one request. Raises ApplianceError, which the server turns into a Refusal."""
        match say:
            case m.Inspect():
                return m.Found(machine=self.machine(0.0 if say.fresh else float("inf")))
            case m.Unlock():
                return m.Found(machine=self.unlock(say.uuid, say.passphrase))
            case m.GetStatus():
                return self.status(operator)
            case m.MakePlan():
                plan = self.plan(say.request)
                return m.Planned(plan=plan, command_line=command_line(say.request))
            case m.Start():
                return self.start(say.plan, say.dry)
            case m.Approve():
                self.runs.approve(say.run, say.gate, say.typed)
            case m.Cancel():
                self.runs.cancel(say.run)
            case m.GetRecord():
                return self.record(say.run)
            case m.Power():
                self.power(say.act)
            case s.GetPackages():
                return self.packages.look(say, self.machine())
            case s.WriteWanted():
                lineage, stick = self.descent().lineage, self.services.exporter.stick()
                return write_wanted(stick, self.machine(), lineage, say, self.packages.setup)
            case _:
                return self.services.handle(say, self.machine)
        return m.Accepted()

    @property
    def busy(self) -> bool:
        going = self.runs.going
        return going is not None and going.busy

    @property
    def _at_work(self) -> bool:
        """Whether a run is at its steps; at its end it still holds the disks for a moment."""
        going = self.runs.going
        return going is not None and going.busy and not going.journal.finished

    def machine(self, max_age: float = float("inf")) -> Machine:
        """The machine as last read; read again when older than `max_age` seconds or changed by a run.

        A probe and a run never touch the disks at once: while a run or its twin is at work the last reading
        serves.
        """
        with self._lock:
            stale = self._changed or time.monotonic() - self._read_at > max_age
            going = self.runs.going
            if self._machine is not None and (not stale or (going is not None and going.at_hand)):
                return self._machine
            if self.runs.disks.acquire(blocking=self._machine is None):
                try:
                    self._machine = probe(self.host, passphrases=self.passphrases)
                    beneath.lift(self.host, self._machine, self.passphrases)
                finally:
                    self.runs.disks.release()
                self._read_at = time.monotonic()
                self._changed = False
                self._descent = None
            assert self._machine is not None  # the first reading waits for its turn
            return self._machine

    def unlock(self, uuid: str, passphrase: bytes) -> Machine:
        """The machine, read again with what opens that device. Raises WrongPassphrase, Refused, Busy.

        What an earlier start left inside it is finished or undone before anything new begins.
        """
        one = next((one for one in self.machine().locked if one.uuid == uuid), None)
        if one is None:
            raise Refused((f"This machine has no locked device with the UUID {uuid}.",))
        if not passphrase or len(passphrase) > PASSPHRASE:
            raise WrongPassphrase(f"A passphrase has 1 to {PASSPHRASE} characters.")
        going = self.runs.going
        if going is not None and (going.busy or going.gate):
            raise Busy(f"The run {going.plan.names.run} is not finished: unlock when it is over.")
        beneath.prove(self.host, one, passphrase)
        self.passphrases.keep(uuid, passphrase)
        machine = self.machine(0.0)
        if all(left.uuid != uuid for left in machine.locked):
            self.runs.look_after(machine, self.forget)
            return machine
        if self.passphrases.of(uuid) is None:
            raise WrongPassphrase(f"The passphrase does not open {one.name}.")
        self.passphrases.forget(uuid)
        raise Refused((f"{one.name} could not be looked into: the log says why.",))

    def descent(self) -> Descent:
        machine = self.machine()
        with self._lock:
            if self._descent is None:
                self._descent = catalogue.descent(self.host, machine, self.places)
            return self._descent

    def forget(self) -> None:
        """What a run changed must be read again."""
        with self._lock:
            self._changed = True
            self._descent = None

    def status(self, operator: str) -> m.Status:
        last_seq = self.bus.last_seq  # what comes while the machine is read is not in it
        descent = self.descent()
        return m.Status(
            machine=self._machine,
            lineage=descent.lineage,
            operator=operator,
            running=self.runs.view(),
            writes=self.writes(),
            next_boot=descent.next_boot,
            fallback=descent.fallback,
            next_step=descent.next_step,
            last_seq=last_seq,
            outdated=self._changed and not self._at_work,
            notices=descent.notices,
            standing=descent.standing,
        )

    def _machine_to_plan_on(self) -> Machine:
        """A reading that found no system does not serve: somebody in a shell may have been at the volumes."""
        known = self._machine
        if known is None or not known.systems:
            return self.machine(0.0)
        found = self.machine(STILL_TRUE)
        return found if found.systems else self.machine(0.0)

    def plan(self, request: Request) -> Plan:
        """Raises Refused with every reason against it, Busy while a run is at work on the disks."""
        self._planned = self._plan(request)
        return self._planned

    def _plan(self, request: Request) -> Plan:
        """Nobody is refused for what was read a while ago: somebody may have put it right since."""
        read_at = self._read_at
        machine = self._machine_to_plan_on()
        try:
            return self._plan_on(machine, request)
        except Refused:
            if self._read_at != read_at:
                raise  # it was read for this very plan
            machine = self.machine(0.0)
            if self._read_at == read_at:
                raise  # a run has the disks
        return self._plan_on(machine, request)

    def _plan_on(self, machine: Machine, request: Request) -> Plan:
        descent = self.descent()
        if request.verb in (Verb.REHEARSE, Verb.REPAIR):
            sizes = self.packages.sizes(request.system, machine)
            return catalogue.build_plan(
                machine,
                request,
                descent,
                self.host,
                self.places,
                sizes,
                lambda system: self.packages.setup(system, machine),
                lambda system: self.packages.initrd(system, machine),
            )
        going = self.runs.going
        twin = going is not None and going.at_hand  # its volumes are in use while a person works in it
        if twin or not self.runs.disks.acquire(timeout=DISKS_WAIT):
            raise Busy("A run is at work on the disks, which planning this has to read.")
        try:
            return catalogue.build_plan(machine, request, descent, self.host, self.places)
        finally:
            self.runs.disks.release()

    def start(self, plan: Plan, dry: bool) -> m.Accepted:
        """Raises StalePlan where the machine is no longer what the plan was made for, Refused where what a
        plan kept in a file needs from outside is gone: the bundle, the script, the cable."""
        machine = self._machine_to_plan_on()
        if reasons := catalogue.why_stale(plan, machine, self.descent().lineage):
            raise StalePlan(reasons)
        if plan.request.makes_a_run and plan != self._planned:
            self._plan(plan.request)
        if dry:
            return m.Accepted(would=tuple(w.what for s in plan.steps for w in s.writes))
        return m.Accepted(run=self.runs.start(plan, machine, self.forget))

    def record(self, run: str) -> m.RecordOf:
        return catalogue.record(self.host, self.machine(), self.places, run)

    def power(self, act: str) -> None:
        if act not in ("reboot", "poweroff", "firmware"):
            raise Refused((f"The machine can be told to reboot, poweroff or firmware, not {act}.",))
        if self.busy:
            raise Refused(("A run is going on: cancel it first.",))
        if act == "firmware":
            catalogue.ask_for_setup(self.host)
            act = "reboot"
        # As `systemctl poweroff` does in the end (systemctl(1)): by itself it would first ask systemd-logind,
        # which the appliance does not run, and complain on every screen.
        how = ("--job-mode=replace-irreversibly", "--no-block")
        self.host.run(write("systemctl", "start", f"{act}.target", *how, timeout=30))
