"""A recorded run played back: the record's own events, at their own times, into the real console.

A record is what the engine leaves of a run: per act a folder with record.json and events.jsonl, as a folder
(`tb1/`, `tb1/rehearse-1/`), as its events.jsonl, or as the exported archive (.tar.gz).
"""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from appliance.errors import DamagedData, Refused
from appliance.model import events as e
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model import vm_messages as v
from appliance.model.lineage import Lineage, Node, State
from appliance.model.plan import Verb
from appliance.report.record import Record, read_events, read_record
from tests.tui.clock import Clock
from tests.tui.engine import FakeEngine
from tests.tui.fake_vm import FakeVm
from tests.tui.player import SENTENCES, hear

IDLE = 3.0  # real seconds: a longer wait of the recording is cut to this
AFTER = {Verb.PROMOTE: State.ARMED, Verb.KEEP: State.KEPT, Verb.ROLLBACK: State.SEALED}
ACTS = (
    *(m.MakePlan, m.Start, m.Approve, m.Cancel, m.Power, m.TakeOver),
    *(v.TakeKeyboard, v.SendKeys, v.ReadVgaText, v.TakeScreenshot, v.Pause, v.Resume),
    *(
        s.Export,
        s.GetPlanFiles,
        s.SavePlanFile,
        s.WriteWanted,
        s.GetNetwork,
        s.SetNetwork,
        s.SetProxy,
        s.Blink,
    ),
    *(s.OpenShell, s.GetSsh, s.SetSsh, s.GetKeyboard, s.SetKeyboard),
)
ONLY_A_RECORDING = "This is a recorded run: every page can be read, nothing can be started."


@dataclass(frozen=True)
class Act:
    """One act of a run: its record, everything its engine said, and the report as it was printed."""

    record: Record
    events: tuple[e.AnyEvent, ...]
    report: str


@contextmanager
def opened(path: Path) -> Iterator[tuple[Act, ...]]:
    """The acts recorded at `path`, oldest first. Raises DamagedData where there is no whole record."""
    if not path.is_file() or path.suffix in (".jsonl", ".json"):
        yield read_acts(path if path.is_dir() else path.parent)
        return
    with TemporaryDirectory() as scratch:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise DamagedData(f"{path} is not a recorded run: {error}.") from None
        yield read_acts(Path(scratch))


def read_acts(folder: Path) -> tuple[Act, ...]:
    """Every act under `folder`. Raises DamagedData naming what is missing."""
    found = sorted(p.parent for p in folder.rglob("events.jsonl"))
    if not found:
        raise DamagedData(f"{folder} holds no events.jsonl: it is not the record of a run.")
    acts = [_read_act(act) for act in found]
    return tuple(sorted(acts, key=lambda act: act.record.started))


def _read_act(folder: Path) -> Act:
    events = read_events(folder / "events.jsonl")
    if not events:
        raise DamagedData(f"{folder / 'events.jsonl'} holds no event.")
    text = folder / "report.txt"
    report = text.read_text(errors="replace") if text.is_file() else ""
    return Act(read_record(folder), events, report)


class Replay(FakeEngine):
    """Says what the recorded engine said, when it said it, `pace` times as fast; 0 is all at once."""

    def __init__(self, path: Path, acts: Sequence[Act], pace: float, clock: Clock) -> None:
        first = acts[0].record
        roots = tuple(Node(volume=system.root.lv, state=None) for system in first.machine.systems)
        super().__init__(path, first.machine, Lineage(nodes=roots))
        self.acts, self.pace, self.clock = acts, pace, clock
        self.vm = FakeVm(self)
        self.vm.power = "none"
        self.script |= {**dict.fromkeys(ACTS, _refuse), m.GetRecord: self.record}
        self._begin(first)

    def record(self, say: m.GetRecord) -> m.RecordOf:
        acts = [act for act in self.acts if act.record.run == say.run]
        verdict = next((act.record.verdict for act in acts if act.record.verdict is not None), None)
        return m.RecordOf(run=say.run, verdict=verdict, text=acts[-1].report if acts else "")

    async def play(self) -> None:
        for act in self.acts:
            self._begin(act.record)
            for event in act.events:
                await self._wait_for(event.at)
                self._take(act.record, event)

    async def _wait_for(self, at: float) -> None:
        """Until the recording reaches `at`; what would take longer than IDLE is cut short."""
        ahead = (at - self.clock.time()) / self.pace if self.pace else 0.0
        if ahead > 0:
            self.clock.set(self.clock.time(), limit=at)
            await asyncio.sleep(min(ahead, IDLE))
        self.clock.set(max(at, self.clock.time()), limit=max(at, self.clock.time()) + 3600)

    def _begin(self, record: Record) -> None:
        """The next act: the status is what a client that comes at its start would be told."""
        self.clock.set(record.started)
        verb = record.plan.request.verb.value
        view = m.RunView(
            run=record.run, verb=verb, title=record.title, plan=record.plan, started=record.started
        )
        self.machine = record.machine
        self._say(record, None, running=view)

    def _take(self, record: Record, event: e.AnyEvent) -> None:
        running = self.status.running
        assert running is not None
        match event:
            case e.RunStarted():
                running = replace(running, gate="", gate_sentence="")
            case e.Waiting():
                running = replace(running, gate=event.gate, gate_sentence=event.sentence)
            case e.RunFinished():
                running = replace(running, gate="", finished=True)
        self._say(record, self._state(record, event), running=running)
        if isinstance(event, e.RunFinished) and event.outcome != "done":
            self._forget(record)
        self.push(event)
        hear(self.vm, event)

    def _forget(self, record: Record) -> None:
        """A rehearsal that was stopped leaves nothing; any other act leaves what was there before."""
        if record.plan.request.makes_a_run:
            kept = tuple(n for n in self.status.lineage.nodes if n.run != record.run)
            self.status = replace(self.status, lineage=Lineage(nodes=kept))

    def _state(self, record: Record, event: e.AnyEvent) -> State | None:
        if isinstance(event, e.StateChanged):
            return event.state
        if isinstance(event, e.RunFinished) and event.outcome == "done":
            return AFTER.get(record.plan.request.verb)
        return None

    def _say(self, record: Record, state: State | None, running: m.RunView) -> None:
        """Machine, run and lineage as far as the events have told; an event without a state changes none."""
        status = replace(self.status, machine=self.machine, running=running)
        if state is not None:
            following, fallback, step = SENTENCES.get(state, ("", "", ""))
            others = tuple(n for n in status.lineage.nodes if n.run != record.run)
            node = Node(
                volume=record.plan.names.trial,
                state=state,
                run=record.run,
                parent=record.plan.system.root.lv,
                made=record.started,
                verdict=record.verdict.headline if record.verdict else "",
                boots_next=state in (State.ARMED, State.KEPT),
            )
            status = replace(
                status,
                lineage=Lineage(nodes=(*others, node)),
                next_boot=following.replace("tb1", record.run),
                fallback=fallback,
                next_step=step.replace("tb1", record.run),
            )
        self.status = status


def _refuse(say: m.AnySay) -> m.AnyReply:
    raise Refused((ONLY_A_RECORDING,))
