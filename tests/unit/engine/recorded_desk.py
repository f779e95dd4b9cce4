"""A desk on a recorded machine: real plans and lineage over the engine's own server, nothing under it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from appliance.engine.bus import Bus
from appliance.errors import ExportFailed, WrongPassphrase
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import Result, Verdict
from appliance.workflow import rehearse
from appliance.workflow.descent import descend
from tests.fixtures.machines.derive import load


class RecordedDesk:
    """The desk without a machine under it: real plans and lineage, steps that only say they are done."""

    version = "test"

    def __init__(self, bus: Bus, machine: Machine) -> None:
        self.bus, self.machine = bus, machine
        self.started: list[Plan] = []
        self.saved: list[s.SavePlanFile] = []
        self.asked: list[m.AnySay] = []
        self.approved: list[tuple[str, str]] = []
        self.verdict = Verdict(result=Result.PASS, checks=())
        self.gate = ""
        self.go_on = threading.Event()
        self.cancelled: list[str] = []
        self.at_start: Callable[[], None] | None = None  # the run then waits to be cancelled

    def handle(self, say: m.AnySay, operator: str) -> m.AnyReply:
        found = descend(self.machine, None, ())
        self.asked.append(say)
        match say:
            case m.Inspect():
                return m.Found(machine=self.machine)
            case m.Unlock():
                if say.passphrase != b"correct horse":
                    raise WrongPassphrase("The passphrase does not open /dev/vda4.")
                self.machine = load("thin-bios")
                return m.Found(machine=self.machine)
            case m.GetStatus():
                return m.Status(
                    machine=self.machine,
                    lineage=found.lineage,
                    operator=operator,
                    next_boot=found.next_boot,
                    next_step=found.next_step,
                    last_seq=self.bus.last_seq,
                    running=self._waiting(),
                )
            case m.MakePlan():
                return m.Planned(plan=rehearse.build_plan(self.machine, say.request, found.lineage))
            case m.Start():
                if say.dry:
                    return m.Accepted(would=tuple(w.what for s in say.plan.steps for w in s.writes))
                self.started.append(say.plan)
                if self.at_start is not None:
                    self.at_start()
                threading.Thread(target=self._play, args=(say.plan,)).start()
                return m.Accepted(run=say.plan.names.run)
            case m.Approve():
                self.approved.append((say.gate, say.typed))
                self.go_on.set()
            case m.Cancel():
                self.cancelled.append(say.run)
                self.go_on.set()
            case s.GetPlanFiles():
                request = Request(verb=Verb.REHEARSE)
                here = s.PlanFile(name="june.json", serial="any", request=request, command_line="twinboot")
                other = s.PlanFile(name="x.json", request=request, why_not="The plan x.json is for OTHER.")
                return s.PlanFiles(folder="/stick/plans", stick=True, files=(here, other))
            case s.WriteWanted():
                unknown = ("The source x wants a name.",)
                return s.WantedWritten(path="/stick/x.json", installed=3, sources=2, keys=1, unknown=unknown)
            case s.SavePlanFile():
                self.saved.append(say)
                return s.PlanSaved(path="/stick/june.json", sha256="ab", argument="twinboot.plan=june.json")
            case s.GetNetwork() | s.SetNetwork() | s.SetProxy():
                port = s.Port(name="eno1", mac="52:54:00:00:00:01", cable=True, addresses=("192.0.2.10/24",))
                return s.Network(links=(port,))
            case s.GetSsh() | s.SetSsh():
                on = isinstance(say, s.SetSsh) and say.on
                return s.SshState(on=on, user="root", password="a-b-c", addresses=("192.0.2.10",))
            case s.GetKeyboard() | s.SetKeyboard():
                return s.KeyboardIs(code=say.code if isinstance(say, s.SetKeyboard) else "us")
            case s.Export():
                if say.run == "tb9":
                    raise ExportFailed("There is no stick.")
                return s.Exported(where=say.to, file="x.tar.gz", size=2048, files=3, masked=(("token", 2),))
            case m.GetRecord():
                return m.RecordOf(run=say.run, verdict=None, text=f"the record of {say.run}")
        return m.Accepted()

    def _play(self, plan: Plan) -> None:
        self.bus.run = plan.names.run
        steps = tuple((s.id, s.title, s.weight) for s in plan.steps)
        self.bus.publish(e.RunStarted(title="Rehearsal", steps=steps))
        if self.at_start is not None:
            self.go_on.wait(30)
        for number, step in enumerate(plan.steps, 1):
            if step.gate:
                self.gate = step.id
                self.bus.publish(e.Waiting(gate=step.id, sentence=step.title))
                self.go_on.wait(30)
                self.gate = ""
            self.bus.publish(e.StepStarted(step=step.id, title=step.title, number=number, total=len(steps)))
            self.bus.publish(e.StepFinished(step=step.id, seconds=step.weight))
        self.bus.publish(e.VerdictReached(verdict=self.verdict))
        self.bus.publish(e.RunFinished(outcome="done"))

    def _waiting(self) -> m.RunView | None:
        if not self.gate:
            return None
        plan = self.started[-1]
        return m.RunView(
            run=plan.names.run,
            verb="rehearse",
            title="Rehearsal",
            plan=plan,
            gate=self.gate,
            gate_sentence="?",
        )
