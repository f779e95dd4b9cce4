"""A Player: an engine without a machine that plays any plan it is given, in seconds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from msgspec.structs import replace

from appliance import errors
from appliance.errors import ApplianceError, DamagedData, Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model import vm_messages as v
from appliance.model.command_line import command_line
from appliance.model.lineage import Lineage, State
from appliance.model.machine import Machine, VolumeGroup
from appliance.model.plan import Plan, Request, Verb
from appliance.model.verdict import Result
from appliance.workflow import elsewhere, rehearse
from appliance.workflow.descent import descend
from tests.tui import story
from tests.tui.engine import FakeEngine
from tests.tui.fake_vm import FakeVm
from tests.tui.offers import offer

AFTER = {
    Verb.PROMOTE: State.ARMED,
    Verb.KEEP: State.KEPT,
    Verb.ROLLBACK: State.SEALED,
    Verb.RETIRE: None,
    Verb.UNDO: None,
}
STICK = 16 << 30
"""Free bytes of the stick in the player."""
SPARE = 2048
"""MiB of memory that are free in the player's appliance."""
ENDINGS = ("good", "bad", "fails", "migrated")
SENTENCES = {
    None: (
        "the installed system, as its own loader says",
        "",
        "Rehearse a patch on a twin of this machine (N).",
    ),
    State.SEALED: ("the installed system", "", "tb1 was tested and can be promoted (P)."),
    State.ARMED: (
        "tb1, once, on trial",
        "Previous system (/dev/vg0/root)",
        "Restart: the machine tries tb1 once (Q).",
    ),
    State.TRIAL: (
        "the installed system",
        "Previous system (/dev/vg0/root)",
        "tb1 has booted once: keep it or roll back (B).",
    ),
    State.KEPT: (
        "tb1",
        "Previous system (/dev/vg0/root)",
        "Retire the old system when it is not wanted (B).",
    ),
}
ERRORS: dict[str, type[ApplianceError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ApplianceError) and not issubclass(kind, Refused)
}


def left_behind(machine: Machine) -> str:
    """The run whose volumes an interrupted job left on this machine, empty where there is none."""
    nodes = descend(machine, None, ()).lineage.nodes
    return next((n.run for n in nodes if n.run and n.state is State.SNAPPED), "")


class Player(FakeEngine):
    """Plays each step `pace` times as fast as its weight says; `error` is the code a run stops with."""

    def __init__(
        self, path: Path, machine: Machine, ending: str, pace: float, error: str = "", client: str = "tty1"
    ) -> None:
        super().__init__(path, machine, story.lineage(None))
        self.ending, self.pace, self.error = "fails" if error else ending, pace, error
        self.gate = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.number = 0  # of the step that is played
        self.result = Result.FAIL if ending == "bad" else Result.PASS
        self.script = {
            m.MakePlan: self.make_plan,
            m.Start: self.begin,
            m.Approve: self.approve,
            m.Cancel: self.cancel,
            m.GetRecord: lambda say: m.RecordOf(run=say.run, verdict=self.verdict(), text="recorded"),
        }
        offer(self)
        self.vm = FakeVm(self, client)
        self.vm.power = "none"
        self.script[v.SendKeys] = self.typed
        self.say_state(None)

    def typed(self, say: v.SendKeys) -> m.Accepted:
        """A terminal that echoes, with a prompt after each line: enough to see that one types."""
        self.vm.keys(say)
        self.vm.terminal.feed(say.keys.replace(b"\r", b"\r\nroot@ledger:~# "))
        return m.Accepted()

    def verdict(self) -> object:
        return story.verdict(self.result, migrated=self.ending == "migrated")

    def say_state(self, state: State | None) -> None:
        following, fallback, step = SENTENCES[state]
        self.status = replace(
            self.status,
            lineage=story.lineage(state, result=self.result),
            next_boot=following,
            fallback=fallback,
            next_step=step,
            standing=story.standing() if state is not None else story.untouched(self.machine),
        )

    def make_plan(self, say: m.MakePlan) -> m.Planned:
        words = command_line(replace(say.request, system=""))
        if say.request.verb is Verb.REHEARSE:
            return m.Planned(plan=self.rehearsal(say.request), command_line=words)
        if reasons := self.reasons(say.request):
            raise Refused(tuple(reasons))
        made = story.plan(self.machine, say.request)
        if say.request.verb is Verb.ROLLBACK and not any(
            n.state is State.ARMED for n in self.status.lineage.nodes
        ):
            made = replace(made, losses=story.losses(made.names.run, say.request.with_data))
        return m.Planned(plan=made, command_line=words)

    def rehearsal(self, request: Request) -> Plan:
        """The product's own plan. Every one is the first run: what is played after it tells of tb1."""
        there = elsewhere.offers(self.machine, STICK, SPARE, request.memory)
        try:
            return rehearse.build_plan(self.machine, request, Lineage(nodes=()), offers=there)
        except DamagedData:  # a machine made of another one's parts has no LVM metadata of its own
            if reasons := self.reasons(request):
                raise Refused(tuple(reasons)) from None
            made = story.plan(self.machine, request)
            return replace(made, steps=rehearse.planned_steps(request, made.system))

    def reasons(self, request: Request) -> list[str]:
        found = self.machine
        troubles = (*found.trouble, *(t for s in found.systems for t in s.trouble))
        reasons = [t.sentence for t in troubles if t.refuses]
        if request.makes_a_run and not found.kvm and not request.emulate:
            reasons.append(
                "This machine offers no hardware virtualisation (KVM); switch it on in the firmware."
            )
        if request.verb is Verb.PROMOTE and self.result is Result.FAIL and not request.force_bad:
            reasons.append(
                "The verdict of tb1 is FAIL (service ledger). To promote it all the same: --force-bad."
            )
        return reasons

    def begin(self, say: m.Start) -> m.Accepted:
        if say.dry:
            return m.Accepted(would=tuple(w.what for s in say.plan.steps for w in s.writes) or ("nothing",))
        self.task = asyncio.create_task(self.play(say.plan))
        return m.Accepted(run=say.plan.names.run)

    def approve(self, say: m.Approve) -> m.Accepted:
        self.gate.set()
        return m.Accepted()

    def cancel(self, say: m.Cancel) -> m.Accepted:
        if self.task is not None:
            self.task.cancel()
        stopped = errors.Cancelled("The run was cancelled.", safe="What it had made was removed.")
        self.tell(*self.failed(say.run, stopped))
        return m.Accepted()

    def failed(self, run: str, error: ApplianceError) -> tuple[e.AnyEvent, ...]:
        if self.status.running is not None:
            self.status = replace(self.status, running=replace(self.status.running, finished=True, gate=""))
        why = e.Failed(
            run=run, code=error.code, what=error.what, safe=error.safe, next_actions=error.next_actions
        )
        return (why, e.RunFinished(run=run, outcome="failed"))

    async def play(self, plan: Plan) -> None:
        run, verb = plan.names.run, plan.request.verb
        view = self._started(plan)
        for number, step in enumerate(plan.steps, 1):
            if step.gate:
                await self.wait(view, step.id, step.title)
                continue
            self.number = number
            self.tell(
                e.StepStarted(run=run, step=step.id, title=step.title, number=number, total=len(plan.steps))
            )
            if self.ending == "fails" and step.id in ("patch", "stage"):
                await asyncio.sleep(20 / self.pace)
                self._stop(run)
                return
            await self.step(plan, step.id, step.weight)
            self.tell(e.StepFinished(run=run, step=step.id, seconds=step.weight / self.pace))
        self.status = replace(
            self.status, running=replace(view, finished=True), writes=self.status.writes + 7
        )
        self.say_state(State.SEALED if plan.request.makes_a_run else AFTER[verb])
        if plan.request.makes_a_run:
            self.tell(*story.ending(run, self.result, self.ending == "migrated"))
        else:
            self.tell(e.RunFinished(run=run, outcome="done"))

    def _started(self, plan: Plan) -> m.RunView:
        run, verb = plan.names.run, plan.request.verb
        title = f"{verb.value.capitalize()} {run}"
        view = m.RunView(run=run, verb=verb.value, title=title, plan=plan, started=time.time())
        self.status = replace(self.status, running=view)
        self.tell(_run_started(view))
        return view

    def _stop(self, run: str) -> None:
        """The run stops as the story tells, or with the error that was asked for."""
        if not self.error:
            self.tell(*story.failure(run))
            return
        kind = ERRORS[self.error]
        self.tell(*self.failed(run, kind((kind.__doc__ or kind.__name__).splitlines()[0])))

    async def recover(self) -> None:
        """What an engine does first where a run was left half-done: remove what it had made."""
        run = left_behind(self.machine)
        if not run:
            return
        plan = story.plan(self.machine, Request(verb=Verb.REHEARSE), run)
        self.status = replace(self.status, lineage=descend(self.machine, None, ()).lineage)
        view = self._started(plan)
        for step in reversed(plan.steps[:5]):
            self.tell(e.Line(run=run, source="run", text=f"undo: {step.title}"))
            await asyncio.sleep(20 / self.pace)
        self.machine = without_run(self.machine, run)
        self.status = replace(self.status, machine=self.machine, running=replace(view, finished=True))
        self.say_state(None)
        self.tell(e.RunFinished(run=run, outcome="rolled back"))

    async def wait(self, view: m.RunView, gate: str, sentence: str) -> None:
        self.gate.clear()
        self.status = replace(self.status, running=replace(view, gate=gate, gate_sentence=sentence))
        self.tell(e.Waiting(run=view.run, gate=gate, sentence=sentence))
        await self.gate.wait()
        self.status = replace(self.status, running=view)
        self.tell(_run_started(view))

    async def step(self, plan: Plan, step: str, weight: float) -> None:
        said = story.during(plan, step)
        for event in said:
            self.tell(event)
            await asyncio.sleep(weight / self.pace / len(said))

    def tell(self, *events: e.AnyEvent) -> None:
        self.push(*(replace(event, at=time.time()) for event in events))
        for event in events:
            hear(self.vm, event)


def hear(vm: FakeVm, event: e.AnyEvent) -> None:
    """The VM's terminal from what the events tell of it."""
    if isinstance(event, e.RunFinished) and vm.power != "none":
        vm.power = "off"
    elif isinstance(event, e.Line) and event.source in ("vm", "patch"):
        vm.power = "running" if vm.power in ("none", "off") else vm.power
        vm.terminal.feed(event.text.encode() + b"\r\n")


def _run_started(view: m.RunView) -> e.RunStarted:
    steps = tuple((s.id, s.title, s.weight) for s in view.plan.steps)
    return e.RunStarted(run=view.run, title=view.title, steps=steps)


def without_run(machine: Machine, run: str) -> Machine:
    """The machine after the volumes of `run` were deleted."""

    def kept(group: VolumeGroup) -> VolumeGroup:
        return replace(group, lvs=tuple(lv for lv in group.lvs if f"twinboot.run={run}" not in lv.tags))

    return replace(machine, volume_groups=tuple(kept(g) for g in machine.volume_groups))
