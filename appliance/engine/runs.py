"""The one run that may go on at a time: started, approved, cancelled, recovered in a thread of the engine."""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.engine.bus import Bus
from appliance.errors import ApplianceError, Busy, Refused
from appliance.host.files import write_atomic
from appliance.host.run import Host
from appliance.model.codec import from_json, to_json
from appliance.model.events import AnyEvent, Failed, Line, RunFinished, RunStarted
from appliance.model.machine import Machine
from appliance.model.messages import RunView
from appliance.model.plan import Plan
from appliance.model.spares import with_spare
from appliance.twin.twin import Twin
from appliance.workflow import catalogue
from appliance.workflow.journal import Journal
from appliance.workflow.places import Places
from appliance.workflow.runner import Context, Outcome, Step, Stop, committed, execute, recover, roll_back
from appliance.workflow.selection import why_not_into
from appliance.workflow.steps.twins import twin_at_work
from appliance.workflow.workplace import Workplace

RECOVERY_WAIT = 120.0
"""Seconds that a start waits for it."""
How = Callable[[Sequence[Step], Journal, Context], Outcome]


def _nothing() -> None:
    return None


def _nowhere(_: Machine, __: str) -> None:
    return None


@dataclass(slots=True)
class Going:
    """A run in progress or waiting at a gate."""

    plan: Plan
    work: Workplace
    steps: tuple[Step, ...]
    journal: Journal
    folder: Path
    started: float = field(default_factory=time.time)
    cancel: Stop = field(default_factory=Stop)
    thread: threading.Thread | None = None
    changed: Callable[[], None] = _nothing
    live: dict[str, object] = field(default_factory=dict)
    store: EventFile | None = None

    @property
    def twin(self) -> Twin | None:
        """The run's twin, on or off; None where it has none yet, or its acts need none."""
        return twin_at_work(self.live)

    @property
    def paused(self) -> bool:
        twin = self.twin
        return twin is not None and twin.pausing.paused

    @property
    def at_hand(self) -> bool:
        """Whether it waits while its twin stands there for a person to work in."""
        return bool(self.gate) and self.twin is not None

    @property
    def gate(self) -> str:
        last = self.journal.records[-1] if self.journal.records else None
        return last.step if last is not None and last.what == "waiting" else ""

    @property
    def busy(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


class Runs:
    """Owns the run: one at a time, its journal and events on the machine's state volume.

    `disks` is held while a run is at work, and by whoever probes the machine: a probe shows volumes through
    devices of its own, which would keep a run from mounting what is under them. Until `recovered` is set
    nothing is started, or it would be taken for what an earlier start left. `deliver` takes away the record
    of a run that is kept in memory alone, as soon as it is written.
    """

    def __init__(self, host: Host, bus: Bus, places: Places) -> None:
        self.host = host
        self.bus = bus
        self.places = places
        self.going: Going | None = None
        self.deliver: Callable[[Machine, str], None] = _nowhere
        self.disks = threading.Lock()
        self.recovered = threading.Event()
        self.recovered.set()
        self._lock = threading.Lock()

    def view(self) -> RunView | None:
        going = self.going
        if going is None:
            return None
        gate = going.gate
        sentence = next((s.plan.title for s in going.steps if s.plan.id == gate), "")
        return RunView(
            run=going.plan.names.run,
            verb=going.plan.request.verb.value,
            title=catalogue.title(going.plan),
            plan=going.plan,
            gate=gate,
            gate_sentence=sentence,
            started=going.started,
            finished=going.journal.finished and not going.busy,
            paused=going.paused,
        )

    def start(self, plan: Plan, machine: Machine, changed: Callable[[], None] = _nothing) -> str:
        """Begin `plan`, once recovery is over. Raises Busy while another run goes on or waits."""
        if not self.recovered.wait(RECOVERY_WAIT):
            raise Busy("The appliance looks after what an earlier start left first: try again in a moment.")
        with self._lock:
            if self.going is not None and (self.going.busy or self.going.gate):
                raise Busy(f"The run {self.going.plan.names.run} is not finished.")
            if reasons := why_not_into(machine, plan.system, plan.request):
                raise Refused(reasons)
            machine = with_spare(machine, plan.system, plan.request.into)
            folder = self.places.open_run(self.host, machine, plan)
            write_atomic(folder / "plan.json", to_json(plan))
            self.going = self._load(plan, machine, folder)
            self.going.changed = changed
            self.going.journal.add("plan", detail=plan.digest)
            self._launch(self.going, execute)
        return plan.names.run

    def _load(self, plan: Plan, machine: Machine, folder: Path) -> Going:
        work = Workplace(machine, plan.names.run, folder.parent, self.places.runtime, self.places.data)
        live: dict[str, object] = {}
        steps, journal = catalogue.steps(plan, work, live), Journal.open(folder / "journal.jsonl")
        return Going(plan, work, steps, journal, folder, live=live)

    def approve(self, run: str, gate: str, typed: str) -> None:
        """Record the approval, then go on. Raises Refused when what was typed does not confirm."""
        with self._lock:
            going = self.named(run)
            if going.gate != gate:
                raise Refused((f"The run {run} does not wait at {gate or 'a gate'}.",))
            wanted = catalogue.confirmation(going.plan, gate)
            if wanted and typed.strip().upper() != wanted.upper():
                raise Refused((f'What was typed does not match: "{wanted}" was asked for.',))
            if going.paused:
                raise Refused((f"The run {run} is paused: resume it first.",))
            going.journal.add("approved", gate)
            self._launch(going, execute)

    def cancel(self, run: str) -> None:
        """Stop at the next safe point and remove what was made; at a gate, refuse the rest."""
        with self._lock:
            going = self.named(run)
            if going.busy:
                going.cancel.set()
                return
            if going.journal.finished:
                raise Refused((f"The run {run} is over: there is nothing left to cancel.",))
            self._launch(going, _refuse)

    def recover_unfinished(self, machine: Machine) -> None:
        """At every start, before any menu: finish or undo the jobs earlier appliance boots left behind.

        One whose plan or journal does not read keeps none of the others from it. After them the first such
        error is raised, and further ones stand in the log.
        """
        self.places.unmount_leftovers(self.host)
        unread: list[ApplianceError] = []
        for folder in self.places.unfinished(self.host, machine):
            path = folder / "plan.json"
            try:
                plan: Plan = from_json(path.read_bytes(), Plan, str(path))
                there = with_spare(machine, plan.system, plan.request.into)
                self.going = self._load(plan, there, folder)
            except ApplianceError as error:
                unread.append(error)
                continue
            self._launch(self.going, recover)
            self.join()
        if not (self.going is not None and self.going.gate) and self.places.remove_copies():
            self.bus.publish(Line(source="log", text="removed from the stick: the copy of a run cut short"))
        for more in unread[1:]:
            self.bus.publish(Line(source="log", level="error", text=f"{more.code} {more.what}"))
        if unread:
            raise unread[0]

    def look_after(self, machine: Machine, changed: Callable[[], None] = _nothing) -> None:
        """The same in a thread of its own, for a history that was not readable before: nothing is started
        until it is over. `changed` is called then."""
        self.recovered.clear()

        def work() -> None:
            try:
                self.recover_unfinished(machine)
            except ApplianceError as error:
                self.bus.publish(Line(source="log", level="error", text=f"{error.code} {error.what}"))
            finally:
                changed()
                self.recovered.set()

        threading.Thread(target=work, name="look-after", daemon=True).start()

    def join(self) -> None:
        if self.going is not None and self.going.thread is not None:
            self.going.thread.join()

    def named(self, run: str) -> Going:
        """The run that goes on or went last. Raises Refused where it is another."""
        if self.going is None or self.going.plan.names.run != run:
            raise Refused((f"There is no run {run} going on.",))
        return self.going

    def _finish(self, going: Going, outcome: str) -> None:
        """Write the record first, so that who hears of the end can read it."""
        report = catalogue.write_report(going.plan, going.work, going.folder, outcome)
        if going.plan.request.rehearse_only:
            self.deliver(going.work.machine, going.plan.names.run)
        going.changed()
        self.bus.publish(RunFinished(outcome=outcome, report=report))

    def _keep_boot_files(self, going: Going, when: str) -> None:
        catalogue.save_boot_files(self.host, going.plan, going.work, going.folder / f"boot-{when}")

    def _launch(self, going: Going, how: How) -> None:
        if going.thread is not None:
            going.thread.join()  # it has stopped at its gate; its last lines may not be written yet
        going.thread = threading.Thread(target=self._work, args=(going, how), name=going.plan.names.run)
        going.thread.start()

    def _work(self, going: Going, how: How) -> None:
        bus = self.bus
        bus.run = going.plan.names.run
        if going.store is None:
            going.store = EventFile(going.folder / "events.jsonl")
            bus.follow(bus.last_seq, going.store.add)
        steps = tuple((s.plan.id, s.plan.title, s.plan.weight) for s in going.steps)
        bus.publish(RunStarted(title=catalogue.title(going.plan), steps=steps))
        context = Context(self.host, bus.publish, going.cancel)
        try:
            with self.disks:
                self._keep_boot_files(going, "before")
                outcome: Outcome = how(going.steps, going.journal, context)
                if outcome is not Outcome.WAITING:
                    self._keep_boot_files(going, "after")
            if outcome is not Outcome.WAITING:
                self._finish(going, outcome.value)
        except ApplianceError as error:
            bus.publish(
                Failed(code=error.code, what=error.what, safe=error.safe, next_actions=error.next_actions)
            )
            self._finish(going, "failed")
        except Exception:  # noqa: BLE001  whoever follows the run must hear of its end
            trace = traceback.format_exc()
            bus.publish(Line(source="log", level="error", text=trace))
            bus.publish(
                Failed(
                    code="BUG-01",
                    what=f"The run met a fault of its own: {trace.strip().splitlines()[-1]}",
                    safe="Its journal stands: the next start of the appliance finishes or removes the rest.",
                    next_actions=("Export the log and report this.", "Restart the appliance."),
                )
            )
            self._finish(going, "failed")
        finally:
            if not going.gate and going.store is not None:
                # Events at a gate belong to the record as well: a person may be at work in the twin.
                bus.leave(going.store.add)
                going.store = None
            going.changed()


def _refuse(steps: Sequence[Step], journal: Journal, ctx: Context) -> Outcome:
    if committed(steps, journal, ctx):
        raise Refused(("This is past its point of no return: the next start of the appliance finishes it.",))
    outcome = roll_back(steps, journal, ctx)
    journal.add("refused")
    return outcome


class EventFile:
    """Appends events to the run's record; a full volume loses events, never the run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, event: AnyEvent) -> None:
        try:
            if shutil.disk_usage(self.path.parent).free < 4 * 1024 * 1024:
                return
            with self.path.open("ab") as out:
                out.write(to_json(event) + b"\n")
        except OSError:
            return
