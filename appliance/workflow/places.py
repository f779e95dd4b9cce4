"""Where things are kept: the machine's state volume, the appliance's RAM, the stick's data partition."""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import (
    Cancelled,
    CommandFailed,
    DamagedData,
    HistoryUnread,
    NeedsRescue,
    OutOfSpace,
    Refused,
)
from appliance.host.files import mounts_under, write_atomic
from appliance.host.run import Host, write
from appliance.model.codec import from_json
from appliance.model.machine import Machine
from appliance.model.plan import Plan
from appliance.model.standing import DoneAct, PoolSample
from appliance.model.verdict import Verdict
from appliance.volumes.choose import choose_history
from appliance.volumes.file_room import FOLDER as COPIES
from appliance.volumes.state import NAME, History
from appliance.workflow import arrays
from appliance.workflow.descent import RunRecord
from appliance.workflow.journal import Journal, Record, peek
from appliance.workflow.refusals import why_not_found
from appliance.workflow.standing import history, note_pools, noted_pools
from appliance.workflow.workplace import RUNTIME

POOLS = "pools.jsonl"
OTHER_WAYS = (
    "Start the version of Twinboot that made it: its medium reads it.",
    "Or go back without: /root/TWINBOOT.txt on the system says how.",
)
LAST_ROOM = 1 << 20
"""Bytes of the history that no new run begins to take: plan, journal and report of some acts."""
_OF_A_RUN = re.compile(r"boot\Z|btrfs\Z|tb\d+\Z")


@dataclass(frozen=True, slots=True)
class Places:
    """On the state volume each run has a folder, in it one folder for every act (rehearse-1, promote-1 …).

    A run that is rehearsed only has its own in memory: it writes nothing to the machine.
    """

    runtime: Path = RUNTIME
    data: Path = RUNTIME / "data"

    @property
    def state(self) -> Path:
        return self.runtime / "state"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def in_memory(self) -> Path:
        return self.runtime / "memory/runs"

    def folder(self, run: str) -> Path:
        """Where the run is kept, whether it is there or not."""
        there = self.in_memory / run
        return there if there.is_dir() else self.runs / run

    def volume(self, host: Host, machine: Machine, vg: str) -> History:
        return choose_history(host, machine, vg)

    def keeper(self, machine: Machine) -> str:
        """The group that holds a history of ours, empty where none does."""
        return next((g.name for g in machine.groups if g.lv(NAME) is not None), "")

    def mount(self, host: Host, machine: Machine) -> bool:
        """Bring the history up where the machine has one; false where it has none."""
        vg = self.keeper(machine)
        if not vg:
            return False
        try:
            arrays.bring_up(host, machine, vg)
        except (Refused, CommandFailed) as error:
            raise HistoryUnread(
                f"The machine's history, {vg}/{NAME}, cannot be read: {error.what}"
            ) from error
        self.volume(host, machine, vg).mount(self.state)
        return True

    def _ensure(self, host: Host, machine: Machine, vg: str) -> None:
        """The history, made where there is none yet, and up."""
        arrays.bring_up(host, machine, vg)
        volume = self.volume(host, machine, vg)
        volume.ensure()
        volume.mount(self.state)

    def open_run(self, host: Host, machine: Machine, plan: Plan) -> Path:
        """Make sure of the state volume and return a fresh folder for this act of the run.

        Raises OutOfSpace where a new run would take the room that a way back needs.
        """
        if plan.request.rehearse_only:
            return _fresh_act(self.in_memory, plan)
        self._ensure(host, machine, plan.names.vg)
        if plan.request.makes_a_run and (free := shutil.disk_usage(self.state).free) < LAST_ROOM:
            raise OutOfSpace(
                f"The machine's history, {plan.names.vg}/{NAME}, has {free >> 10} KiB free; what is left "
                "of it is for roll back, keep and retire.",
                next_actions=("Export the records of this machine.", "Undo everything, then rehearse again."),
            )
        act = _fresh_act(self.runs, plan)
        note_pools(self.state / POOLS, machine)
        return act

    def past(self, host: Host, machine: Machine) -> tuple[tuple[DoneAct, ...], tuple[PoolSample, ...]]:
        """What was done to this machine, newest first, and how full its pools were at those times."""
        done = history(self.in_memory)
        if not self.mount(host, machine):
            return done, ()
        return (*done, *history(self.runs)), noted_pools(self.state / POOLS)

    def unfinished(self, host: Host, machine: Machine) -> tuple[Path, ...]:
        """Acts whose journal has no end, or is damaged so that nobody can tell; oldest first."""
        journals = [p for kept in self._kept(host, machine) for p in kept.glob("*/*/journal.jsonl")]
        acts = [p.parent for p in sorted(journals, key=lambda p: p.stat().st_mtime)]
        return tuple(a for a in acts if (a / "plan.json").exists() and _may_go_on(a / "journal.jsonl"))

    def _kept(self, host: Host, machine: Machine) -> tuple[Path, ...]:
        """The folders that have a folder for every run."""
        on_disk = (self.runs,) if self.mount(host, machine) else ()
        return tuple(kept for kept in (self.in_memory, *on_disk) if kept.is_dir())

    def remove_copies(self) -> bool:
        """What a run that was rehearsed only left on the stick when the power went; whether there was any.

        Only while no such run goes on.
        """
        left = self.data / COPIES
        if not left.is_dir():
            return False
        shutil.rmtree(left, ignore_errors=True)
        return True

    def unmount_leftovers(self, host: Host) -> None:
        """What a killed engine left mounted for a run would keep its volumes in use."""
        for at in mounts_under(self.runtime):
            if _OF_A_RUN.match(at.relative_to(self.runtime).parts[0]):
                # Killed between freeze and thaw: it would stay frozen, and every later write to it hang.
                host.run(write("fsfreeze", "--unfreeze", str(at), timeout=60, ok=frozenset({0, 1})))
                host.run(write("umount", str(at), timeout=120))

    def records(self, host: Host, machine: Machine) -> tuple[RunRecord, ...]:
        """What is remembered of every run."""
        kept = self._kept(host, machine)
        return tuple(
            self._record(machine, run) for each in kept for run in sorted(each.iterdir()) if run.is_dir()
        )

    def _record(self, machine: Machine, folder: Path) -> RunRecord:
        """What can be read of it: one damaged file must not hide what the machine boots."""
        journals = [act / "journal.jsonl" for act in _makings(folder) if (act / "journal.jsonl").exists()]
        told: tuple[Record, ...] = ()
        verdict: Verdict | None = None
        with contextlib.suppress(DamagedData):
            told = peek(journals[-1]) if journals else ()
        with contextlib.suppress(DamagedData):
            verdict = self.verdict(folder.name)
        retire = folder / "retire-on"
        return RunRecord(
            run=folder.name,
            verdict=verdict,
            failed=bool(told) and told[-1].what in ("failed", "refused"),
            made=folder.stat().st_mtime,
            retire_on=retire.read_text().strip() if retire.exists() else "",
            finding=_finding(told),
            rehearsed_only=folder.parent == self.in_memory,
            unfound=self._unfound(machine, folder.name),
        )

    def _unfound(self, machine: Machine, run: str) -> tuple[str, ...]:
        try:
            return why_not_found(machine, self.plan(run))
        except NeedsRescue:
            return ()

    def verdict(self, run: str) -> Verdict | None:
        path = self.folder(run) / "verdict.json"
        if not path.exists():
            return None
        verdict: Verdict = from_json(path.read_bytes(), Verdict, str(path))
        return verdict

    def plan(self, run: str) -> Plan:
        """The plan that made the run, a rehearsal or a repair. Raises NeedsRescue where there is none."""
        found = [act / "plan.json" for act in _makings(self.folder(run)) if (act / "plan.json").exists()]
        if not found:
            raise NeedsRescue(f"The machine's history has no rehearsal {run}.")
        try:
            plan: Plan = from_json(found[-1].read_bytes(), Plan, str(found[-1]))
        except DamagedData as error:
            raise NeedsRescue(error.what, next_actions=OTHER_WAYS) from None
        return plan

    def unattended_begun(self, host: Host, machine: Machine, digest: str) -> bool:
        if (self.in_memory.parent / "unattended" / digest).exists():
            return True
        return self.mount(host, machine) and (self.state / "unattended" / digest).exists()

    def begin_unattended(self, host: Host, machine: Machine, plan: Plan, digest: str) -> None:
        """Remember, before anything runs, that this plan file ran here: for this start of the appliance alone
        where nothing may be written to the machine."""
        place = self.in_memory.parent
        if not plan.request.rehearse_only:
            self._ensure(host, machine, plan.names.vg)
            place = self.state
        (place / "unattended").mkdir(parents=True, exist_ok=True)
        write_atomic(place / "unattended" / digest, plan.names.run.encode() + b"\n")


def _fresh_act(runs: Path, plan: Plan) -> Path:
    folder, verb = runs / plan.names.run, plan.request.verb.value
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + sum(1 for p in folder.iterdir() if p.name.startswith(f"{verb}-"))
    act = folder / f"{verb}-{number}"
    act.mkdir()
    return act


def _may_go_on(journal: Path) -> bool:
    try:
        return not Journal.open(journal).finished
    except NeedsRescue:
        return True


def _finding(told: tuple[Record, ...]) -> str:
    """Why the system as it is does not boot well: what the control boot or a repaired boot failed of.

    Empty where the run came further, or failed of something else.
    """
    begun = [record.step for record in told if record.what == "begin"]
    last = told[-1] if told else None
    if last is None or last.what != "failed" or not begun or begun[-1] not in ("control", "repaired"):
        return ""
    code, _, sentence = last.detail.partition(" ")
    return "" if code == Cancelled.code else sentence


def _makings(folder: Path) -> list[Path]:
    """The acts that made a run: one rehearsal or one repair; oldest first."""
    return sorted(act for verb in ("rehearse", "repair") for act in folder.glob(f"{verb}-*"))
