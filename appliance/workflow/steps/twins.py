"""The two twins of a run, made from the plan alone: "work" is patched and sealed, "proof" boots the trial."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from appliance.checks.health import script
from appliance.errors import Refused
from appliance.host.files import Inside
from appliance.host.run import Host
from appliance.model.bundle import spare_debs
from appliance.model.events import Event, Line
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import RepairKind
from appliance.probe.lvm import read_groups
from appliance.probe.obstacles import SERIAL, console_of
from appliance.twin.hypervisor import Hypervisor
from appliance.twin.layout import plan_layout
from appliance.twin.setup import TwinSetup
from appliance.twin.tools import Tools
from appliance.twin.twin import Twin
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.lvm_group import every_pv
from appliance.workflow.bundle_check import manifest_of
from appliance.workflow.runner import Context
from appliance.workflow.steps.direct import started_directly
from appliance.workflow.steps.ground import Ground, standing_on
from appliance.workflow.steps.room import OFTEN, Room, watch
from appliance.workflow.stick import (
    BUNDLES,
    CHECKS,
    bundle_files,
    bundle_folder,
    checks,
    chosen_checks,
)

WORK, PROOF = "work", "proof"
UNDER = {
    WORK: (SnapshotRole.WORK, SnapshotRole.DATA_WORK),
    PROOF: (SnapshotRole.PROOF, SnapshotRole.DATA_PROOF),
}
"""What the volumes of the set, and those of data, are for that lie under a twin."""

HEALTH = Tools().file("health.sh")
BUNDLE = Tools().file("bundle")
LARGER = "Rehearse with the copy in a larger place (--store)."


def volumes_of(ground: Ground, part: str) -> tuple[Snapshot, ...]:
    """The throw-away volumes under the twin `part`, root first."""
    if part == WORK:
        system, scratch = ground.whole_set(SnapshotRole.WORK), ground.snapshot(SnapshotRole.SCRATCH)
        return (*system, *ground.data_snapshots(SnapshotRole.DATA_WORK), scratch)
    system, scratch = ground.whole_set(SnapshotRole.PROOF), ground.proof_scratch()
    return (*system, *ground.data_snapshots(SnapshotRole.DATA_PROOF), scratch)


def seen_by(host: Host, ground: Ground, part: str) -> tuple[Machine, InstalledSystem]:
    """Machine and system as the twin is to have them: for the proof, the trial volumes are it."""
    if part == WORK:
        return ground.machine, ground.system
    if not ground.system.root.vg:
        return ground.machine, standing_on(ground.system, ground.trials)
    groups = read_groups(host, every_pv(ground.machine), ground.work.runtime / "probe")
    machine = replace(ground.machine, volume_groups=tuple(group for group, _ in groups))
    return machine, standing_on(ground.system, ground.trials)


def scratch_bytes(host: Host, ground: Ground, part: str) -> int:
    """Virtual size of the scratch volume of the twin `part`, in bytes: it fills as the twin writes."""
    return plan_layout(*seen_by(host, ground, part)).scratch_bytes


def site(ground: Ground) -> str:
    """The folder of the site's own checks in the guest; empty where the stick has none."""
    there = set(checks(ground.work.data)) - set(ground.whole.request.skip_checks)
    return Tools().file(CHECKS) if there else ""


def twin_of(ctx: Context, ground: Ground, part: str) -> Twin:
    """The twin `part` of this run; the same object as long as the engine lives."""
    live = ground.live
    found = live.get(part)
    if isinstance(found, Twin):
        return found
    hypervisor = live.setdefault("hypervisor", Hypervisor())
    assert isinstance(hypervisor, Hypervisor)
    setup, direct = _setup(ctx.host, ground, part), started_directly(ctx.host, ground)
    twin = Twin(ctx.host, hypervisor.open(), setup, cancelled=ctx.cancel.is_set, direct=direct)
    live[part] = twin
    stop = _follow(twin, live, ctx.tell)
    root = ground.snapshot(UNDER[part][0])
    room = Room(ground.copies(ctx.host), root, hypervisor, twin.name, ctx)
    if ground.rehearses_only:
        watch(dataclasses.replace(room, more=LARGER), stop, OFTEN)
    else:
        watch(room, stop)
    return twin


def twin_at_work(live: Mapping[str, object]) -> Twin | None:
    """The twin of a run that is on, or was last; None before the first is built."""
    twins = [live[part] for part in (PROOF, WORK) if part in live]
    return next((twin for twin in twins if isinstance(twin, Twin)), None)


def _setup(host: Host, ground: Ground, part: str) -> TwinSetup:
    machine, system = seen_by(host, ground, part)
    store, request = ground.copies(host), ground.whole.request
    *_, scratch = volumes_of(ground, part)
    role, data = UNDER[part]
    volumes = {system.root.name: store.device(ground.snapshot(role))}
    # The twin calls a volume as the machine does that it stands for: the proof's by its trial's name.
    called = ground.trials if part == PROOF else {}
    volumes |= {called.get(v.lv, v.lv): store.device(s) for v, s in ground.beside(role)}
    volumes |= {s.origin: store.device(s) for s in ground.data_snapshots(data)}
    base = _as_it_was(ground)
    was = ((v, s) for v, s in ground.beside(base) if part == WORK)
    return TwinSetup(
        machine=machine,
        system=system,
        run=ground.names.run,
        part=part,
        volumes=volumes,
        scratch=store.device(scratch),
        root_part=store.options(ground.snapshot(role)),
        base=store.device(ground.snapshot(base)) if part == WORK else "",
        base_part=store.options(ground.snapshot(base)) if part == WORK else (),
        base_beside=tuple(Inside(store.device(s), v.fstype, v.target) for v, s in was),
        files=files_for(ground, part),
        emulate=request.emulate,
        memory=request.memory,
        asks_on_screen=console_of(system.command_line) != SERIAL,
        stand_ins={one.disk: one.by for one in ground.whole.stand_ins},
    )


def _as_it_was(ground: Ground) -> SnapshotRole:
    """What holds run-time state as the twin found it. A damaged file system is read where it was
    mended, before the twin has run."""
    mended = ground.whole.request.repair is RepairKind.FSCK
    return SnapshotRole.WORK if mended else SnapshotRole.BASE


def files_for(ground: Ground, part: str) -> Mapping[str, bytes | Path]:
    """What lies on the tools disk: the fact collector, the site's checks; for who is patched the bundle.

    Raises Refused where the bundle is not there, or does not read.
    """
    files: dict[str, bytes | Path] = {"health.sh": script()}
    files |= chosen_checks(ground.work.data, ground.whole.request.skip_checks)
    bundle = ground.whole.request.patch.bundle
    if bundle and part == WORK:
        folder = bundle_folder(ground.work.data, bundle)
        if not folder.is_dir():
            raise Refused((f"There is no folder {BUNDLES}/{folder.name} on the stick.",))
        files |= _bundle(ground, folder)
    return files


def _bundle(ground: Ground, folder: Path) -> Mapping[str, Path]:
    """The whole folder, or what of it the plan says is enough."""
    whole = ground.whole
    manifest = manifest_of(folder) if whole.own_part else None
    if manifest is None:
        return {"bundle": folder}
    spare = spare_debs(manifest, whole.machine, whole.system.id)
    parts = bundle_files(ground.work.data, folder.name, spare)
    return {f"bundle/{path}": file for path, file in parts.items()}


def _follow(twin: Twin, live: dict[str, object], tell: Callable[[Event], None]) -> threading.Event:
    """The twin's serial console goes into the event stream, line by line."""
    twin.folder.mkdir(parents=True, exist_ok=True)
    twin.console_log.touch()
    stop = threading.Event()
    live[f"stop {twin.name}"] = stop
    twin.follow_console(lambda text: tell(Line(source="vm", text=text)), stop)
    return stop


def activate(host: Host, ground: Ground, part: str) -> None:
    """Bring up every volume under the twin `part`, and the base it restores from."""
    store = ground.copies(host)
    if part == WORK:
        for base in ground.whole_set(SnapshotRole.BASE):
            store.activate(base)
    for snapshot in volumes_of(ground, part):
        store.activate(snapshot)


def deactivate(host: Host, ground: Ground, part: str) -> None:
    """Take them down again; nothing happens for those that are down or gone."""
    store = ground.copies(host)
    for snapshot in volumes_of(ground, part):
        store.deactivate(snapshot)
    if part == WORK:
        for base in ground.whole_set(SnapshotRole.BASE):
            store.deactivate(base)
    stop = ground.live.pop(f"stop twinboot-{ground.names.run}-{part}", None)
    if isinstance(stop, threading.Event):
        stop.set()
