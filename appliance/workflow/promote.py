"""Promotion, roll back, keep and retire, each as one readable page of what is refused and what is written."""

from __future__ import annotations

from appliance.boot.base import BootLoader
from appliance.boot.shapes import BootState, LoaderView, LoaderWords
from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import SUBVOLUME, Machine, VolumeGroup
from appliance.model.plan import Plan, PlannedStep, Request, Verb, Write, fingerprint
from appliance.model.verdict import Verdict
from appliance.volumes.base import SnapshotRole
from appliance.volumes.choose import traits
from appliance.volumes.tags import read_tags
from appliance.workflow import data_back, default_root
from appliance.workflow.let_in import let_in
from appliance.workflow.refusals import refusals
from appliance.workflow.retirement import Retirement, first_names, plan_retirement
from appliance.workflow.stand_in import stood_in
from appliance.workflow.wording import wording

NOTHING_LOST = "the machine boots as it did before"
GOES_ON = "the machine boots as it did before; the next start of the appliance goes on deleting"
OLD_GOES_ON = "the old system boots; the next start of the appliance goes on"
KEPT_BOOTS = "the kept system boots; the next start of the appliance goes on"
TAKEN_BACK = "going back with the data takes that back; what is there now is kept in a snapshot."
INTO_THE_ROOT = (
    "/boot lies in the old root volume {device}: /boot/twinboot and /boot/{folder}/custom.cfg are written "
    "into it, and the trial mounts it to write down what came of it. Nothing else in it is changed."
)
STAYS = (
    "GRUB's own files lie in the old root volume {device}, so that can not be retired once {run} is kept "
    "(yet): it stays beside the kept system, as the way back."
)
"""Where /boot is a folder of the root."""

NOT_TAKEN_BACK = "going back takes that back only with the data; a dated safety snapshot is kept for that."


def build_plan(
    machine: Machine,
    request: Request,
    lineage: Lineage,
    rehearsed: Plan,
    verdict: Verdict | None,
    view: LoaderView | None,
    loader: BootLoader,
    on_disk: tuple[str, ...],
) -> Plan:
    """The plan for an act on an earlier run. Raises Refused with every reason at once.

    `rehearsed` is the run's own plan, `on_disk` what the volumes themselves say against the act: that the old
    system has run since the snapshot, that the data can not go back.
    """
    node = lineage.node(request.run)
    group = machine.group(rehearsed.names.vg)
    if group is None:
        raise Refused((f"The volume group {rehearsed.names.vg} of {request.run} was not found.",))
    going = plan_retirement(group, rehearsed.names, view)
    warned = warnings(request, verdict, rehearsed, group, going)
    warned = (*let_in(request.verb, machine.encrypted_under(group)), *warned)
    reasons = refusals(machine, request, node, rehearsed, verdict, view, on_disk)
    if reasons:
        raise Refused(reasons, warned)
    match request.verb:
        case Verb.PROMOTE:
            steps = promote_steps(rehearsed, loader)
        case Verb.ROLLBACK:
            steps = rollback_steps(machine, rehearsed, request, view, loader.words)
        case Verb.KEEP:
            steps = keep_steps(rehearsed, request.retire_on, loader.words)
        case _:
            steps = retire_steps(machine, rehearsed, group, going, loader)
    return Plan(
        request=request,
        names=rehearsed.names,
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=rehearsed.system,
        steps=steps,
        warnings=warned,
        doomed=going.doomed if request.verb is Verb.RETIRE else (),
    )


def warnings(
    request: Request, verdict: Verdict | None, rehearsed: Plan, group: VolumeGroup, going: Retirement
) -> tuple[str, ...]:
    """What must be read before confirming: migrations above all, and what a way back costs."""
    inside = rehearsed.system.boot_inside
    words = {"device": rehearsed.system.root.device, "run": request.run}
    if request.verb is Verb.KEEP:
        return (STAYS.format(**words) if inside else _held_by_the_old(rehearsed, group),)
    if request.verb is Verb.RETIRE:
        return ("There is no way back from this: what is deleted is gone.", *_data_that_goes(group, going))
    if request.verb not in (Verb.PROMOTE, Verb.ROLLBACK) or verdict is None:
        return ()
    found = [
        f"The patch wrote to {w.target} ({', '.join(w.paths[:5]) or f'{w.bytes} bytes'}): "
        + (TAKEN_BACK if request.with_data else NOT_TAKEN_BACK)
        for w in verdict.data_writes
    ]
    found += _not_applied(verdict.not_applied)
    if request.verb is Verb.PROMOTE:
        found += stood_in(rehearsed)
    if inside and request.verb is Verb.PROMOTE:
        folder = rehearsed.system.loader.folder or "grub"
        found += [INTO_THE_ROOT.format(folder=folder, **words), STAYS.format(**words)]
    if traits(rehearsed.system).shares_blocks and request.verb is Verb.PROMOTE:
        found.append(
            f"Until {request.run} is retired, old and new system share one volume by a snapshot of LVM: what "
            "either of them writes is slower until then."
        )
    if rehearsed.request.verb is Verb.REPAIR and request.verb is Verb.PROMOTE:
        found.append(
            "The previous system is the broken one: should the trial not be kept, this machine boots what "
            "had to be repaired. Stay near it, with this medium."
        )
    if rehearsed.request.verb is Verb.REPAIR and request.verb is Verb.ROLLBACK:
        found.append("The previous system is the one that had to be repaired.")
    return tuple(found)


def _not_applied(sentences: tuple[str, ...]) -> list[str]:
    """Of more than two of a kind the first: a machine without a network has one for every package source."""
    kinds: dict[str, list[str]] = {}
    for sentence in sentences:
        kinds.setdefault(sentence.partition(":")[0], []).append(f"Not applied: {sentence}")
    return [
        said
        for alike in kinds.values()
        for said in (alike if len(alike) <= 2 else (f"{alike[0]} (the verdict has {len(alike) - 1} more)",))
    ]


def _held_by_the_old(rehearsed: Plan, group: VolumeGroup) -> str:
    root = rehearsed.system.root
    old = (group.lv(v.lv) for v in rehearsed.system.volume_set)
    used = sum(int(lv.size * lv.data_percent / 100) for lv in old if lv is not None)
    said = wording(rehearsed.system).held
    return said.format(old=f"{group.name}/{root.member}", device=root.device, mib=used >> 20)


def _data_that_goes(group: VolumeGroup, going: Retirement) -> tuple[str, ...]:
    """What a roll back with data put away may be nowhere else."""
    named = (lv for lv in group.lvs if lv.name in going.doomed)
    tagged = ((lv.name, read_tags(group.name, lv.name, lv.tags)) for lv in named)
    kept = [name for name, tags in tagged if tags is not None and tags.role is SnapshotRole.UNDONE]
    return (f"Data that a roll back put away goes as well: {', '.join(kept)}.",) if kept else ()


def promote_steps(rehearsed: Plan, loader: BootLoader) -> tuple[PlannedStep, ...]:
    run = rehearsed.names.run
    safety = tuple(
        Write(what=f"add {lv}, a dated safety snapshot of {origin}", if_cut=NOTHING_LOST)
        for origin, lv in rehearsed.names.data_safety
    )
    *staged, armed = loader.writes(run)
    return (
        PlannedStep(id="still", title="Check that the old system has not run since", weight=10),
        PlannedStep(id="metal", title="Will it boot on the metal?", weight=20),
        PlannedStep(id="confirm", title=f"Boot this machine from {run} at its next start?", gate=True),
        PlannedStep(id="safety", title="Safety snapshots of data volumes", weight=5, writes=safety),
        *_show(rehearsed),
        PlannedStep(id="stage", title="Stage kernel, initrd and entry", weight=30, writes=tuple(staged)),
        PlannedStep(
            id="arm", title=f"Arm the trial: {loader.words.flip}", weight=5, commit=True, writes=(armed,)
        ),
    )


def _show(rehearsed: Plan) -> tuple[PlannedStep, ...]:
    if not traits(rehearsed.system).hidden:
        return ()
    names, show = rehearsed.names, wording(rehearsed.system).show
    flags = tuple(
        Write(what=show.format(group=names.vg, trial=trial), if_cut=NOTHING_LOST) for trial in names.trials
    )
    title = "Let the machine's own start find the trial volume"
    return (PlannedStep(id="show", title=title, weight=5, writes=flags),)


def rollback_steps(
    machine: Machine, rehearsed: Plan, request: Request, view: LoaderView | None, words: LoaderWords
) -> tuple[PlannedStep, ...]:
    """The system alone, or the system and then its data."""
    what = f"{words.place}: the previous system"
    system = rehearsed.system
    default = default_root.planned(machine, system, system.root.member, OLD_GOES_ON)
    if request.with_data:
        already = view is not None and view.state is BootState.ROLLED_BACK
        flip = () if already else (Write(what=what, if_cut=data_back.EITHER),)
        return (
            *data_back.planned_steps(rehearsed.system, rehearsed.names, flip),
            *default,
            *_hide(rehearsed, view),
        )
    write = Write(what=what, if_cut="either system boots")
    return (
        PlannedStep(id="confirm", title="Boot the old system from the next start on?", gate=True),
        PlannedStep(id="rollback", title=f"Roll back: {words.flip}", weight=5, commit=True, writes=(write,)),
        *default,
        *_hide(rehearsed, view),
    )


def _hide(rehearsed: Plan, view: LoaderView | None) -> tuple[PlannedStep, ...]:
    """Nothing once it was kept: then the loader's own default entry starts it."""
    names = rehearsed.names
    if not traits(rehearsed.system).hidden or view is None or view.own is None:
        return ()
    if view.own.root == rehearsed.system.root.root_called(names.trial):
        return ()
    hide = wording(rehearsed.system).hide
    title = "Let the machine's own start leave the trial volume down"
    flags = tuple(
        Write(what=hide.format(group=names.vg, trial=trial), if_cut=OLD_GOES_ON) for trial in names.trials
    )
    return (PlannedStep(id="hide", title=title, weight=5, writes=flags),)


def keep_steps(rehearsed: Plan, retire_on: str, words: LoaderWords) -> tuple[PlannedStep, ...]:
    run = rehearsed.names.run
    write = Write(what=f"{words.place}: boot it once more and keep it", if_cut=NOTHING_LOST)
    date = PlannedStep(id="remind", title=f"Note that the old system may go on {retire_on}")
    return (
        PlannedStep(id="confirm", title=f"Keep {run} for good?", gate=True),
        *((date,) if retire_on else ()),
        PlannedStep(
            id="keep",
            title=f"Ask the metal to keep it: {words.flip}",
            weight=5,
            commit=True,
            writes=(write,),
        ),
    )


def retire_steps(
    machine: Machine, rehearsed: Plan, group: VolumeGroup, going: Retirement, loader: BootLoader
) -> tuple[PlannedStep, ...]:
    """A kept run's old system goes and its name comes back; any other run goes itself."""
    names, words = rehearsed.names, loader.words
    deletions = tuple(_deletion(group, name, going) for name in going.doomed)
    delete = PlannedStep(
        id="delete", title=f"Delete {len(deletions)} volumes", weight=10, commit=True, writes=deletions
    )
    if not going.first_name:
        installed = rehearsed.system.root.member
        unstaged = Write(what=f"remove /boot/twinboot/{names.run}", if_cut=NOTHING_LOST)
        return (
            PlannedStep(id="confirm", title=f"Delete the volumes of {names.run}?", gate=True),
            *default_root.planned(machine, rehearsed.system, installed, NOTHING_LOST),
            PlannedStep(
                id="unstage", title="Take its boot files away", weight=10, commit=True, writes=(unstaged,)
            ),
            delete,
        )
    first, kept = going.first_name, names.trial
    let_go = tuple(
        Write(what=f"tag {group.name}/{old} as one that may be deleted", if_cut=GOES_ON)
        for old in first_names(names).values()
        if old in going.doomed or old == first
    )
    return (
        PlannedStep(id="confirm", title=f"Delete the old system and call {kept} {first} again?", gate=True),
        *default_root.planned(machine, rehearsed.system, kept, KEPT_BOOTS),
        PlannedStep(id="let-go", title="Let the old system go", weight=5, commit=True, writes=let_go),
        delete,
        _one_write(
            "by-uuid",
            "Boot by UUID while the volume is renamed",
            f"{words.place}: boot the kept system by its UUID",
        ),
        _one_write(
            "name-back",
            *_name_back(rehearsed, group, going),
            *(
                f"{group.name}/{trial}: by UUID in fstab while it is renamed to {old}"
                for trial, old in first_names(names).items()
                if trial != kept
            ),
        ),
        _one_write(
            "by-name",
            "Boot by name again, and remove everything of ours from /boot",
            f"{words.config} {first}; {words.ours}",
        ),
    )


def _name_back(rehearsed: Plan, group: VolumeGroup, going: Retirement) -> tuple[str, str]:
    """Title and write."""
    first, kept = going.first_name, rehearsed.names.trial
    if traits(rehearsed.system).beside:
        return (
            f"Give {kept} the place of {first} in the partition table",
            f"{group.name}/{kept}: our unit goes; the table's entry of {first} leads to it",
        )
    how = f"merged into {first}" if going.merges else f"renamed to {first}"
    return (
        f"Merge {kept} into {first}" if going.merges else f"Rename {kept} to {first}",
        f"{group.name}/{kept}: fstab names {first}, our unit goes; {how}",
    )


def _deletion(group: VolumeGroup, name: str, going: Retirement) -> Write:
    emptied = going.merges and name == going.first_name
    what = f"{group.name}/{name} ({_size(group, name)})"
    return Write(what=f"empty {what}, for the kept system" if emptied else f"delete {what}", if_cut=GOES_ON)


def _one_write(step: str, title: str, *what: str) -> PlannedStep:
    writes = tuple(Write(what=each, if_cut=KEPT_BOOTS) for each in what)
    return PlannedStep(id=step, title=title, weight=10, writes=writes)


def _size(group: VolumeGroup, name: str) -> str:
    lv = group.lv(name)
    if lv is not None and lv.segtype == SUBVOLUME:
        return SUBVOLUME
    return f"{lv.size >> 20} MiB" if lv is not None else "gone"
