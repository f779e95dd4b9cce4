"""Where the machine stands, in figures and words a person reads. Pure but for the history's own files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from appliance.boot.confirm.limits import DEADLINE
from appliance.boot.entries import PANIC
from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import DamagedData
from appliance.model.codec import from_json, to_json
from appliance.model.machine import Machine
from appliance.model.standing import BootChoice, DoneAct, PoolRate, PoolSample, Standing
from appliance.workflow.journal import peek

DAY = 86400.0
RECENT = 7 * DAY
MOST_ACTS = 50
MOST_SAMPLES = 500
_ACT = re.compile(r"(?P<verb>[a-z]+)-(?P<number>\d+)\Z")
_OUTCOMES = {"done": "done", "failed": "failed", "refused": "refused", "waiting": "waiting"}

STATES = {
    BootState.ABSENT: "nothing of Twinboot is in /boot",
    BootState.STAGED: "{run} is staged; it decides nothing yet",
    BootState.ARMED: "{run} is armed: one try",
    BootState.TRIAL: "{run} had its try and was not kept",
    BootState.KEPT: "{run} is kept",
    BootState.ROLLED_BACK: "{run} was rolled back",
    BootState.SETTLING: "{run} is getting the first name back",
    BootState.PLAIN: "nothing of Twinboot decides",
    BootState.DAMAGED: "the sector of Twinboot is damaged; the loader's own default boots",
}


def stand(
    machine: Machine, view: LoaderView | None, history: tuple[DoneAct, ...], samples: Iterable[PoolSample]
) -> Standing:
    """Put it together; `view` is None where /boot could not be read."""
    back = falls_back(machine)
    if view is None:
        return Standing(history=history, pools=rates(machine, samples), falls_back=back)
    return Standing(
        falls_back=back,
        loader=STATES[view.state].format(run=view.whose or "a run"),
        choices=choices(view),
        history=history,
        pools=rates(machine, samples),
    )


def falls_back(machine: Machine) -> tuple[str, ...]:
    """Which failures of a trial this machine gets out of by itself: by the trial's entry and its unit."""
    by_hand = (
        f"its management controller ({machine.bmc}) can give that from afar"
        if machine.bmc
        else "no management controller was found, so somebody must stand at the machine for that"
    )
    encrypted = any(machine.encrypted_under(group) for group in machine.volume_groups)
    typed = (
        "Never without somebody at its console: its disk is encrypted, and every start, the old system's too,"
        " waits until the passphrase is typed. A trial's time begins only then.",
    )
    return (
        *(typed if encrypted else ()),
        f"By itself: a kernel that panics restarts after {PANIC} seconds; a system that fails a check, or has"
        f" not confirmed itself within {DEADLINE // 60} minutes (longer where it boots slowly), restarts into"
        " the old one.",
        "With one reset: a hang before any program of the new system runs. No watchdog guards that;"
        f" {by_hand}. After the reset the old system boots.",
    )


def choices(view: LoaderView) -> tuple[BootChoice, ...]:
    """What boots next first, then the fallback, then the others in the loader's own order."""
    seen: dict[tuple[str, str, str], Entry] = {}
    for entry in (view.next_boot, view.fallback, *view.entries, view.own, *view.menu):
        if entry is not None:
            seen.setdefault((entry.id, entry.root, entry.kernel), entry)
    return tuple(_choice(view, entry) for entry in seen.values())


def _choice(view: LoaderView, entry: Entry) -> BootChoice:
    ours = entry in view.entries
    broken = ours and any(path in view.missing for path in (entry.kernel, *entry.initrds))
    return BootChoice(
        title=entry.title,
        root=entry.root,
        kernel=entry.kernel.rpartition("/")[2].removeprefix("vmlinuz-"),
        state="BROKEN: a file is missing" if broken else _state(view, entry, ours),
        ours=ours,
        boots_next=entry == view.next_boot,
        fallback=entry == view.fallback,
    )


def _state(view: LoaderView, entry: Entry, ours: bool) -> str:
    if entry.id.startswith("twinboot-trial-"):
        return {
            BootState.STAGED: "staged",
            BootState.ARMED: "TRIAL, one try" if view.once else "TRIAL, had its try",
            BootState.TRIAL: "TRIAL, had its try",
            BootState.KEPT: "kept",
        }.get(view.state, "not used")
    if ours:
        return "the old system" if entry.id == "twinboot-previous" else "ours"
    if entry == view.own:
        return "the loader's default"
    # Where each root has a /boot inside, the kept one's own grub.cfg says what starts.
    return "the kept system's own default" if entry == view.next_boot else "left alone"


def rates(machine: Machine, samples: Iterable[PoolSample], at: float | None = None) -> tuple[PoolRate, ...]:
    """How fast each thin pool fills, from what was noted at earlier acts and what it is at `at`."""
    found, known = [], tuple(samples)
    for now in pools(machine, time.time() if at is None else at):
        base = _basis(now, [s for s in known if s.pool == now.pool and s.size == now.size])
        if base is None:
            found.append(PoolRate(pool=now.pool, size=now.size, used=now.used))
            continue
        seconds = now.at - base.at
        per_day = (now.used - base.used) / seconds * DAY
        days = (now.size - now.used) / per_day if per_day > 0 else None
        found.append(
            PoolRate(pool=now.pool, size=now.size, used=now.used, per_day=per_day, seconds=seconds, days=days)
        )
    return tuple(found)


def _basis(now: PoolSample, earlier: list[PoolSample]) -> PoolSample | None:
    """The oldest of the last seven days, else the newest before; None where all are younger than a day."""
    old = sorted((s for s in earlier if now.at - s.at >= DAY), key=lambda s: s.at)
    recent = [s for s in old if now.at - s.at <= RECENT]
    return recent[0] if recent else old[-1] if old else None


def pools(machine: Machine, at: float) -> tuple[PoolSample, ...]:
    """Every thin pool as it was probed."""
    return tuple(
        PoolSample(at=at, pool=f"{g.name}/{lv.name}", size=lv.size, used=int(lv.size * lv.data_percent / 100))
        for g in machine.volume_groups
        for lv in g.lvs
        if lv.segtype == "thin-pool" and lv.data_percent > 0
    )


# The machine's own history, on its state volume.


def note_pools(file: Path, machine: Machine) -> None:
    """Append what the pools hold at this moment; a note that cannot be made never stops an act."""
    try:
        lines = b"".join(to_json(sample) + b"\n" for sample in pools(machine, time.time()))
        with file.open("ab") as out:
            out.write(lines)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        return


def noted_pools(file: Path) -> tuple[PoolSample, ...]:
    """The newest notes; a damaged line is left out, since it only makes an estimate less sure."""
    try:
        lines = file.read_bytes().splitlines()[-MOST_SAMPLES:]
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            sample: PoolSample = from_json(line, PoolSample, str(file))
        except DamagedData:
            continue
        found.append(sample)
    return tuple(found)


def history(runs: Path) -> tuple[DoneAct, ...]:
    """What was done to this machine, newest first; `runs` is the folder with a folder for every run."""
    acts = [act for folder in sorted(runs.glob("tb*/*")) if (act := _done(folder)) is not None]
    return tuple(sorted(acts, key=lambda act: -act.at)[:MOST_ACTS])


def _done(folder: Path) -> DoneAct | None:
    named = _ACT.match(folder.name)
    if named is None or not (folder / "journal.jsonl").is_file():
        return None
    try:
        records = peek(folder / "journal.jsonl")
    except (DamagedData, OSError):
        at = folder.stat().st_mtime
        return DoneAct(at=at, run=folder.parent.name, verb=named["verb"], outcome="damaged record")
    if not records:
        return None
    last = records[-1]
    return DoneAct(
        at=records[0].at,
        run=folder.parent.name,
        verb=named["verb"],
        outcome=_OUTCOMES.get(last.what, "going on"),
        detail=last.detail if last.what == "failed" else "",
    )
