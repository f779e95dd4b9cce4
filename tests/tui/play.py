"""The real console on a recorded machine: `python -m tests.tui.play tests/fixtures/machines/thin-uefi.json`.

A FakeEngine in the same process replays a rehearsal, a promotion and what follows, in seconds instead of
minutes. For designers and for screenshots; nothing of the host is read or written.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model.codec import from_json
from appliance.model.lineage import State
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Verb
from appliance.model.verdict import Result
from tests.tui import story
from tests.tui.engine import FakeEngine
from tui import app as script
from tui import terminal

AFTER = {Verb.PROMOTE: State.ARMED, Verb.KEEP: State.KEPT, Verb.ROLLBACK: State.SEALED, Verb.RETIRE: None}
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
    State.KEPT: (
        "tb1",
        "Previous system (/dev/vg0/root)",
        "Retire the old system when it is not wanted (B).",
    ),
}


class Player(FakeEngine):
    """Plays whatever plan it is given, `pace` times as fast as its weights say."""

    def __init__(self, path: Path, machine: Machine, ending: str, pace: float) -> None:
        super().__init__(path, machine, story.lineage(None))
        self.ending, self.pace = ending, pace
        self.gate = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.runs = itertools.count(1)
        self.result = Result.FAIL if ending == "bad" else Result.PASS
        self.script = {
            m.MakePlan: self.make_plan,
            m.Start: self.begin,
            m.Approve: self.approve,
            m.Cancel: self.cancel,
            m.GetRecord: lambda say: m.RecordOf(run=say.run, verdict=self.verdict(), text="recorded"),
        }
        self.say_state(None)

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
        )

    def make_plan(self, say: m.MakePlan) -> m.Planned:
        reasons = [
            t.sentence
            for t in (*self.machine.trouble, *(t for s in self.machine.systems for t in s.trouble))
            if t.refuses
        ]
        if say.request.verb is Verb.REHEARSE and not self.machine.kvm and not say.request.emulate:
            reasons.append(
                "This machine offers no hardware virtualisation (KVM); switch it on in the firmware."
            )
        if say.request.verb is Verb.PROMOTE and self.result is Result.FAIL and not say.request.force_bad:
            reasons.append(
                "The verdict of tb1 is FAIL (service ledger). To promote it all the same: --force-bad."
            )
        if reasons:
            raise Refused(tuple(reasons))
        words = f"twinboot {say.request.verb.value} {say.request.run}".rstrip()
        return m.Planned(plan=story.plan(self.machine, say.request), command_line=words)

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
        self.push(
            e.Failed(
                at=time.time(),
                run=say.run,
                code="CANCEL-01",
                what="The run was cancelled.",
                safe="What it had made was removed.",
                next_actions=("Start again when ready.",),
            ),
            e.RunFinished(at=time.time(), run=say.run, outcome="failed"),
        )
        self.status = replace(self.status, running=None)
        return m.Accepted()

    async def play(self, plan: Plan) -> None:
        run, verb = plan.names.run, plan.request.verb
        title = f"{verb.value.capitalize()} {run}"
        view = m.RunView(run=run, verb=verb.value, title=title, plan=plan, started=time.time())
        self.status = replace(self.status, running=view)
        self.tell(
            e.RunStarted(run=run, title=title, steps=tuple((s.id, s.title, s.weight) for s in plan.steps))
        )
        for number, step in enumerate(plan.steps, 1):
            if step.gate:
                await self.wait(view, step.id, step.title)
                continue
            self.tell(
                e.StepStarted(run=run, step=step.id, title=step.title, number=number, total=len(plan.steps))
            )
            if self.ending == "fails" and step.id == "patch":
                await asyncio.sleep(1)
                self.tell(*story.failure(run))
                return
            await self.step(run, step.id, step.weight / self.pace)
            self.tell(e.StepFinished(run=run, step=step.id, seconds=step.weight / self.pace))
        self.status = replace(
            self.status, running=replace(view, finished=True), writes=self.status.writes + 7
        )
        state = State.SEALED if verb is Verb.REHEARSE else AFTER[verb]
        self.say_state(state)
        if verb is Verb.REHEARSE:
            self.tell(*story.ending(run, self.result, self.ending == "migrated"))
        else:
            self.tell(e.RunFinished(run=run, outcome="done"))

    async def wait(self, view: m.RunView, gate: str, sentence: str) -> None:
        self.gate.clear()
        self.status = replace(self.status, running=replace(view, gate=gate, gate_sentence=sentence))
        self.tell(e.Waiting(run=view.run, gate=gate, sentence=sentence))
        await self.gate.wait()
        self.status = replace(self.status, running=view)
        self.tell(
            e.RunStarted(
                run=view.run,
                title=view.title,
                steps=tuple((s.id, s.title, s.weight) for s in view.plan.steps),
            )
        )

    async def step(self, run: str, step: str, seconds: float) -> None:
        said = story._during(run, step, seconds)
        for event in said:
            self.tell(event)
            await asyncio.sleep(seconds / len(said))

    def tell(self, *events: e.AnyEvent) -> None:
        self.push(*(replace(event, at=time.time()) for event in events))


async def play(options: argparse.Namespace) -> None:
    from tui.console import Console

    recorded = from_json(Path(options.machine).read_bytes(), Machine, options.machine)
    with tempfile.TemporaryDirectory() as folder:
        engine = Player(Path(folder) / "engine.sock", recorded, options.ending, options.pace)
        await engine.start()
        if options.state:
            engine.say_state(State(options.state))
        name, mode = script.choose(options)
        await Console(name, mode, engine.path).run_async(mouse=False)
        await engine.stop()


def main() -> None:
    parser = script._parser()
    parser.add_argument("machine", help="a recorded machine, tests/fixtures/machines/*.json")
    parser.add_argument("--ending", choices=("good", "bad", "fails", "migrated"), default="good")
    parser.add_argument("--pace", type=float, default=20.0, help="how many times faster than a usual machine")
    parser.add_argument(
        "--state", choices=("SEALED", "ARMED", "KEPT"), default="", help="what is there already"
    )
    options = parser.parse_args()
    script.prepare(terminal.choose_mode(terminal.own_name(), os.environ.get("TERM", ""), "utf-8"))
    asyncio.run(play(options))


if __name__ == "__main__":
    main()
