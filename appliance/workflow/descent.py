"""The lineage as the disk tells it: LVM tags and names first, the loader's own view, then records."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from msgspec.structs import replace

from appliance.boot.shapes import BootState, LoaderView
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import LogicalVolume, Machine, Volume, VolumeGroup, root_called
from appliance.model.standing import Standing
from appliance.model.verdict import Result, Verdict
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.choose import why_no_store
from appliance.volumes.tags import read_tags

STATES = {
    BootState.STAGED: State.STAGED,
    BootState.ARMED: State.ARMED,
    BootState.TRIAL: State.TRIAL,
    BootState.KEPT: State.KEPT,
    BootState.SETTLING: State.KEPT,
}


REHEARSE = "Rehearse a patch on a twin of this machine (N)."
SHOWN = ("kept", "trial", "sealed", "work")
"""Which of a run's volumes stands for it in the tree: the first that is there."""


@dataclass(frozen=True)
class RunRecord:
    """What the state volume remembers of one run."""

    run: str
    verdict: Verdict | None = None
    failed: bool = False
    made: float = 0.0
    parent: str = ""
    retire_on: str = ""
    finding: str = ""
    rehearsed_only: bool = False
    unfound: tuple[str, ...] = ()


@dataclass(frozen=True)
class Descent:
    """Everything the status screen says: the tree and three sentences."""

    lineage: Lineage
    next_boot: str
    fallback: str
    next_step: str
    notices: tuple[str, ...] = field(default_factory=tuple)
    standing: Standing = field(default_factory=Standing)


def tag_value(lv: LogicalVolume, name: str) -> str:
    """The value of our tag `twinboot.NAME=value`, empty where there is none."""
    prefix = f"twinboot.{name}="
    return next((t.removeprefix(prefix) for t in lv.tags if t.startswith(prefix)), "")


def descend(machine: Machine, view: LoaderView | None, records: tuple[RunRecord, ...]) -> Descent:
    """Put the lineage together; `view` is None where /boot has nothing of ours or could not be read."""
    nodes = [_plain(system.root, view) for system in machine.systems if not system.root.group]
    for group in machine.groups:
        nodes += _group_nodes(machine, group, view, {r.run: r for r in records})
    known = {node.run for node in nodes}
    gone = [r for r in records if r.run not in known]
    nodes += [_failed(record) for record in gone if record.failed]
    nodes += [_thrown_away(record) for record in gone if record.rehearsed_only and not record.failed]
    # A run that failed left no volume behind, and stands where its number says all the same.
    in_order = sorted((n for n in nodes if n.run), key=lambda n: _number(n.run))
    lineage = Lineage(nodes=(*(n for n in nodes if not n.run), *in_order))
    return Descent(
        lineage,
        _next_sentence(view),
        _fallback_sentence(view),
        next_step(machine, lineage, view),
        (*_notices(view), *_data_notices(machine)),
    )


def _number(run: str) -> int:
    """10 of "tb10"; 0 where a tag was made by hand."""
    digits = run.removeprefix("tb")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _group_nodes(
    machine: Machine, group: VolumeGroup, view: LoaderView | None, records: dict[str, RunRecord]
) -> list[Node]:
    """Installed roots first, then one node a run, oldest first."""
    roots = {s.root.member: s.root for s in machine.systems if s.root.group == group.name}
    nodes = []
    for lv in group.lvs:
        if lv.name in roots and "twinboot" not in lv.tags:
            names = _names(group, lv.name) | {roots[lv.name].device}
            nodes.append(_marked(Node(volume=lv.name, state=None), names, view))
    runs: dict[str, dict[str, LogicalVolume]] = {}
    for lv in group.lvs:
        if run := tag_value(lv, "run"):
            runs.setdefault(run, {})[tag_value(lv, "role")] = lv
    for run, by_role in sorted(runs.items(), key=lambda item: _number(item[0])):
        volume = next((by_role[role] for role in SHOWN if role in by_role), None)
        if volume is not None:
            nodes.append(_run_node(run, volume, by_role, group, view, records.get(run)))
    if any(n.state is State.KEPT for n in nodes):
        nodes = [replace(n, state=State.FALLBACK) if n.state is None else n for n in nodes]
    return nodes


def _run_node(
    run: str,
    volume: LogicalVolume,
    by_role: dict[str, LogicalVolume],
    group: VolumeGroup,
    view: LoaderView | None,
    record: RunRecord | None,
) -> Node:
    state = (
        State.SEALED
        if "trial" in by_role or "kept" in by_role
        else State.TESTED
        if "sealed" in by_role
        else State.SNAPPED
    )
    if record is not None and record.failed:
        state = State.FAILED
    if view is not None and view.whose == run:
        state = STATES.get(view.state, state)
    elif view is not None and root_called(group, volume.name) in _kept_before(view):
        state = State.KEPT
    base = by_role.get("base")
    node = Node(
        volume=volume.name,
        state=state,
        run=run,
        parent=base.origin if base else "",
        made=record.made if record else 0.0,
        verdict=record.verdict.headline if record and record.verdict else "",
        cost=int(volume.size * volume.data_percent / 100),
        retire_on=record.retire_on if record else "",
        finding=record.finding if record else "",
        unfound=record.unfound if record else (),
    )
    return _marked(node, _names(group, node.volume), view)


def _kept_before(view: LoaderView) -> frozenset[str]:
    """Roots that were kept before the run the sector names: its own previous system, GRUB's own default."""
    return frozenset(entry.root for entry in (view.fallback, view.own) if entry is not None)


def _plain(root: Volume, view: LoaderView | None) -> Node:
    """An installed root that is no logical volume: nothing of ours stands beside it."""
    names = frozenset({root.device, f"UUID={root.fsuuid}"})
    return _marked(Node(volume=root.name, state=None), names, view)


def _failed(record: RunRecord) -> Node:
    """A run of which only the record is left: it failed, and what it had made was removed."""
    return Node(
        volume=f"({record.run}: removed)",
        state=State.FAILED,
        run=record.run,
        made=record.made,
        verdict=record.verdict.headline if record.verdict else "",
        finding=record.finding,
    )


def _thrown_away(record: RunRecord) -> Node:
    """A run that was rehearsed only, at work or over: nothing of it stands on this machine."""
    return Node(
        volume=f"({record.run}: rehearsed only)",
        state=State.TESTED if record.verdict else State.SNAPPED,
        run=record.run,
        made=record.made,
        verdict=record.verdict.headline if record.verdict else "",
        rehearsed_only=True,
    )


def _names(group: VolumeGroup, lv: str) -> frozenset[str]:
    return frozenset({root_called(group, lv)})


def _marked(node: Node, names: frozenset[str], view: LoaderView | None) -> Node:
    """With what boots it, `names` being what an entry may call its root."""
    own = view.own.root if view is not None and view.own is not None else ""
    following = view.next_boot.root if view is not None and view.next_boot is not None else own
    fallback = view.fallback.root if view is not None and view.fallback is not None else ""
    boots_next = following in names or (view is None and node.state is None)
    return replace(node, boots_next=boots_next, fallback=fallback in names)


def _next_sentence(view: LoaderView | None) -> str:
    if view is None or view.next_boot is None:
        return "the installed system, as its own loader says"
    if view.state is BootState.ARMED:
        return f"{view.next_boot.title}, once, on trial"
    return f"{view.next_boot.title} ({view.next_boot.root})"


def _fallback_sentence(view: LoaderView | None) -> str:
    if view is None or view.fallback is None:
        return ""
    return f"{view.fallback.title} ({view.fallback.root})"


def _notices(view: LoaderView | None) -> tuple[str, ...]:
    if view is None:
        return ()
    notices = []
    if view.result:
        notices.append(f"The metal said of its trial {view.run}: {view.result.strip().splitlines()[-1]}")
    if view.state is BootState.TRIAL and not view.once:
        notices.append(f"The trial {view.run} was booted and not kept: the old system boots.")
    if view.sector_lost:
        notices.append(
            f"The sector of Twinboot in /boot is damaged. This machine boots {view.whose} all the same; its "
            "boot menu has no previous system. Roll back, or retire the old system (B): either mends it."
        )
    if view.missing:
        notices.append(f"Files of ours are missing in /boot: {', '.join(view.missing)}.")
    return tuple(notices)


def _data_notices(machine: Machine) -> tuple[str, ...]:
    """What a roll back with data left: where the data of until then is, and that it stayed where it did."""
    notices = []
    for group in machine.groups:
        tagged = (read_tags(group.name, lv.name, lv.tags) for lv in group.lvs)
        ours = [found for found in tagged if found is not None]
        safe = {(s.run, s.origin): s for s in ours if s.role is SnapshotRole.SAFETY}
        for kept in (s for s in ours if s.role is SnapshotRole.UNDONE):
            notices.append(_data_notice(kept, safe.get((kept.run, kept.origin))))
    return tuple(notices)


def _data_notice(kept: Snapshot, safety: Snapshot | None) -> str:
    data, place = f"{kept.vg}/{kept.origin}", f"{kept.vg}/{kept.lv}"
    if safety is None:
        return f"{data} went back to what it was before {kept.run}; {place} keeps what it was until then."
    return (
        f"{data} was NOT put back when {kept.run} was rolled back, as it was written to since. "
        f"As before {kept.run}: {safety.vg}/{safety.lv}."
    )


def next_step(machine: Machine, lineage: Lineage, view: LoaderView | None, today: str = "") -> str:
    """The one sensible next step, as a sentence; `today` as ISO 8601 writes it, else the clock's."""
    newest = next((n for n in reversed(lineage.nodes) if n.run), None)
    if not machine.systems and machine.locked:
        return f"{machine.locked[0].name} is encrypted: unlock it to see what is inside (U)."
    if not machine.systems:
        return "No installed system was found: look at the log (L)."
    if newest is not None and newest.rehearsed_only:
        on = "its verdict says how to make room for one to promote (V)."
        if all(why_no_store(machine, system) for system in machine.systems):
            on = "nothing of this system can be promoted (yet); look at its verdict (V)."
        return f"{newest.run} was rehearsed only: {on}"
    if newest is None or newest.state in (State.FAILED, State.RETIRED):
        return _before_a_rehearsal(machine, newest)
    if view is not None and view.state is BootState.ROLLED_BACK and view.whose == newest.run:
        return f"{newest.run} was rolled back: rehearse again (N), or undo all Twinboot made here (B)."
    if newest.state in (State.SEALED, State.STAGED) and newest.unfound:
        return f"{newest.run} can not be promoted; rehearse again (N). {newest.unfound[0]}"
    if newest.state in (State.SEALED, State.STAGED):
        good = newest.verdict.startswith(Result.PASS.value)
        return f"{newest.run} was tested and can be promoted (P)." if good else "Look at the verdict (V)."
    if newest.state is State.ARMED:
        return "Reboot: the machine starts the trial once, and falls back by itself (Q)."
    if newest.state is State.TRIAL:
        return "The trial was not kept; look at what the metal said (B)."
    if newest.state is State.KEPT and _retiring(machine, view):
        return "The old system is being retired: that goes on by itself; leave this medium in until its end."
    if newest.state is State.KEPT:
        return _kept_so_far(newest, today or datetime.date.today().isoformat())
    return REHEARSE


def _before_a_rehearsal(machine: Machine, newest: Node | None) -> str:
    """What a rehearsal would be refused for comes first: nobody is sent into a refusal."""
    if newest is not None and newest.finding:
        return f"{newest.run} found that this system does not boot well: repair a copy of it (X)."
    against = [t.sentence for t in machine.trouble if t.refuses]
    each = [[t.sentence for t in system.trouble if t.refuses] for system in machine.systems]
    if all(each):
        against += each[0]
    return f"Before a rehearsal: {against[0]}" if against else REHEARSE


def _retiring(machine: Machine, view: LoaderView | None) -> bool:
    """Whether a retire was begun and has not come to its end: the loader or a let-go volume says so."""
    if view is not None and view.state is BootState.SETTLING:
        return True
    tagged = (read_tags(group.name, lv.name, lv.tags) for group in machine.groups for lv in group.lvs)
    return any(t is not None and t.role in (SnapshotRole.PREVIOUS, SnapshotRole.EMPTIED) for t in tagged)


def _kept_so_far(newest: Node, today: str) -> str:
    if newest.retire_on and newest.retire_on <= today:
        return f"The old system may go since {newest.retire_on}: retire it to get its space back (B)."
    until = f", from {newest.retire_on} on" if newest.retire_on else " when it is no longer wanted"
    return f"Everything is kept. Retire the old system{until} (B)."
