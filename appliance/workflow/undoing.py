"""Undo everything, as one readable page: what is refused, and the three deletions. Pure."""

from __future__ import annotations

from appliance.boot.shapes import BootState, LoaderView
from appliance.errors import Refused
from appliance.model.lineage import Lineage
from appliance.model.machine import (
    SUBVOLUME,
    InstalledSystem,
    LogicalVolume,
    Machine,
    VolumeGroup,
    root_called,
)
from appliance.model.plan import Plan, PlannedStep, Request, Write, fingerprint
from appliance.volumes.base import SnapshotRole
from appliance.volumes.state import NAME, SIZE
from appliance.volumes.tags import OURS, read_tags
from appliance.workflow import default_root
from appliance.workflow.naming import choose_names, next_run

OLD_BOOTS = "the machine boots as it did before"
GOES_ON = f"{OLD_BOOTS}; the next start of the appliance goes on deleting"
PUT_BACK = "grub.cfg and kernels are put back where a keep had begun; nothing else that was there is touched"


def group_of(machine: Machine) -> VolumeGroup:
    """The volume group with volumes of ours. Raises Refused where there is none, or more than one."""
    found = [g for g in machine.groups if any(OURS in lv.tags for lv in g.lvs)]
    if not found:
        raise Refused(("There is nothing of Twinboot on this machine's disks.",))
    if len(found) > 1:
        names = ", ".join(g.name for g in found)
        raise Refused((f"Twinboot has volumes in more than one volume group ({names}): retire run by run.",))
    return found[0]


def system_of(machine: Machine, group: VolumeGroup) -> InstalledSystem:
    """The installed system that stays. Raises Refused where the group holds none but ours."""
    for system in machine.systems:
        lv = group.lv(system.root.member) if system.root.group == group.name else None
        if lv is not None and OURS not in lv.tags:
            return system
    raise Refused(
        (
            f"The only system in {group.name} is one that Twinboot made: retire its old system, which gives"
            " the volume its first name back.",
        )
    )


def doomed(group: VolumeGroup) -> tuple[LogicalVolume, ...]:
    """Every volume of ours but the one that holds the history, which goes last."""
    return tuple(lv for lv, role in _roles(group) if role is not SnapshotRole.STATE)


def build_plan(machine: Machine, request: Request, lineage: Lineage, view: LoaderView | None) -> Plan:
    """Everything of ours goes, nothing else. Raises Refused with every reason at once."""
    group = group_of(machine)
    system, going = system_of(machine, group), doomed(group)
    reasons = why_not(group, view, inside=system.boot_inside)
    warned = warnings(group, view)
    if reasons:
        raise Refused(reasons, warned)
    runs = sorted({n.run for n in lineage.nodes if n.run}, key=lambda run: int(run.removeprefix("tb") or 0))
    return Plan(
        request=request,
        names=choose_names(system, runs[-1] if runs else next_run(machine, group.name, lineage)),
        machine=machine.identity,
        fingerprint=fingerprint(machine),
        system=system,
        steps=planned_steps(
            group, going, view, default_root.planned(machine, system, system.root.member, OLD_BOOTS)
        ),
        warnings=warned,
        doomed=tuple(lv.name for lv in going),
    )


def why_not(group: VolumeGroup, view: LoaderView | None, *, inside: bool = False) -> tuple[str, ...]:
    """Sentences on why the machine would not be what it was: it boots, for good, from a volume of ours.

    `inside`: /boot is a folder of the old root, which can not be retired.
    """
    if view is None:
        return ()
    if view.state in (BootState.KEPT, BootState.SETTLING):
        way = "roll it back" if inside else "roll it back, or retire the old system"
        return (f"{view.whose} is kept, so this machine boots from it: {way}.",)
    decided = view.state in (BootState.ARMED, BootState.TRIAL, BootState.ROLLED_BACK)
    after = view.fallback if decided else view.own
    for lv in group.lvs:
        if OURS in lv.tags and after is not None and after.root == root_called(group, lv.name):
            return (
                f"{group.name}/{lv.name} is the system this machine goes back to: retire the old one first.",
            )
    return ()


def warnings(group: VolumeGroup, view: LoaderView | None) -> tuple[str, ...]:
    """What must be read before confirming."""
    found = ["There is no way back from this: volumes, verdicts and history of Twinboot are gone afterwards."]
    if view is not None and view.state is BootState.ARMED:
        found.append(f"{view.whose} is armed: it is disarmed first, the next boot is the old system.")
    data = [lv.name for lv, role in _roles(group) if role in (SnapshotRole.SAFETY, SnapshotRole.UNDONE)]
    if data:
        found.append(f"Snapshots of data go as well: {', '.join(data)}. The data stays as it is now.")
    return tuple(found)


def _roles(group: VolumeGroup) -> tuple[tuple[LogicalVolume, SnapshotRole], ...]:
    tagged = ((lv, read_tags(group.name, lv.name, lv.tags)) for lv in group.lvs)
    return tuple((lv, tags.role) for lv, tags in tagged if tags is not None)


def _size(lv: LogicalVolume) -> str:
    return lv.segtype if lv.segtype == SUBVOLUME else f"{lv.size >> 20} MiB"


def planned_steps(
    group: VolumeGroup,
    going: tuple[LogicalVolume, ...],
    view: LoaderView | None,
    default: tuple[PlannedStep, ...] = (),
) -> tuple[PlannedStep, ...]:
    """Out of /boot first: from then on nothing leads to the volumes, and a cut start goes on deleting."""
    boot = Write(what=f"remove /boot/twinboot and custom.cfg; {PUT_BACK}", if_cut=OLD_BOOTS)
    deletions = tuple(
        Write(what=f"delete {group.name}/{lv.name} ({_size(lv)})", if_cut=GOES_ON) for lv in going
    )
    history = Write(what=f"delete {group.name}/{NAME} ({SIZE >> 20} MiB): the history", if_cut=GOES_ON)
    kept = group.lv(NAME) is not None
    return (
        PlannedStep(id="confirm", title="Delete everything of Twinboot from this machine?", gate=True),
        *default,
        PlannedStep(
            id="leave-boot",
            title="Take everything of ours out of /boot",
            weight=10,
            commit=True,
            writes=(boot,) if view is not None and (view.runs or view.custom in ("ours", "edited")) else (),
        ),
        PlannedStep(id="delete-ours", title=f"Delete {len(going)} volumes", weight=10, writes=deletions),
        PlannedStep(id="history", title="Delete the history", weight=5, writes=(history,) if kept else ()),
    )
