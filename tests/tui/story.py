"""Recorded machines, plans, verdicts and runs the console is tested and played with."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec.structs import replace

from appliance.boot.grub import Grub
from appliance.boot.shapes import BootState
from appliance.model import events as e
from appliance.model import verdict as v
from appliance.model.codec import from_json
from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Machine, Storage, VolumeGroup
from appliance.model.plan import (
    Loss,
    Names,
    PatchKind,
    Plan,
    PlannedStep,
    Request,
    Verb,
    Write,
    fingerprint,
)
from appliance.model.service_messages import MOST_PACKAGES, PackageList, PackageRow
from appliance.model.standing import BootChoice, DoneAct, PoolRate, Standing
from appliance.workflow import promote
from appliance.workflow import standing as stands
from appliance.workflow.retirement import Retirement

MACHINES = Path(__file__).parent.parent / "fixtures" / "machines"


def machine(name: str = "thin-uefi") -> Machine:
    path = MACHINES / f"{name}.json"
    return from_json(path.read_bytes(), Machine, str(path))


REHEARSAL = (
    ("space", "Check space", 5),
    ("evidence", "Take fingerprints of origin, /boot and ESP", 15),
    ("snapshot", "Take the snapshot", 10),
    ("twin", "Build the twin's disk", 15),
    ("control", "Control boot", 150),
    ("patch", "Install pending security updates", 120),
    ("patched", "Patched boot", 150),
    ("checks", "Compare the two boots", 5),
    ("seal", "Freeze the twin and seal its volume", 20),
    ("proof", "Proof boot of the trial volume", 180),
    ("verdict", "Sort changed files, reach the verdict", 30),
    ("unchanged", "Prove that the origin is unchanged", 15),
)


def names(run: str) -> Names:
    return Names(
        run=run,
        vg="vg0",
        base=f"{run}-base",
        work=f"{run}-work",
        sealed=f"{run}-sealed",
        trial=f"{run}-trial",
        proof=f"{run}-proof",
        scratch=f"{run}-scratch",
        proof_scratch=f"{run}-pscratch",
        data_work=(("srv", f"{run}-srv"),),
        data_safety=(("srv", f"srv-{run}-safety"),),
        data_undone=(("srv", f"srv-{run}-undone"),),
        domain=f"twin-{run}",
        boot_folder=f"twinboot/{run}",
    )


def steps_of(found: Machine, request: Request) -> tuple[PlannedStep, ...]:
    """The real plan's own steps for an act on a run; those of a run that is rehearsed are told in short."""
    match request.verb:
        case Verb.REHEARSE:
            by_hand = request.patch.kind is PatchKind.BY_HAND
            return tuple(
                PlannedStep(id="by-hand", title="Work in the twin, then approve to go on", gate=True)
                if by_hand and step == "patch"
                else PlannedStep(id=step, title=title, weight=weight)
                for step, title, weight in REHEARSAL
            )
        case Verb.REPAIR:
            assert request.repair is not None
            others = {
                "control": ("watch", "Boot the copy as it is, to see how it fails"),
                "patch": (request.repair.value, "The attempt"),
                "patched": ("repaired", "Repaired boot"),
            }
            named = ((*others.get(step, (step, title)), weight) for step, title, weight in REHEARSAL)
            return tuple(
                PlannedStep(id=step, title=title, weight=weight, gate=step == "by-hand")
                for step, title, weight in named
                if request.watch or step != "watch"
            )
        case Verb.UNDO:
            confirm = PlannedStep(id="confirm", title="Undo everything?", gate=True)
            flip = Write(what="one sector of /boot/twinboot/env: undo", if_cut="either system boots")
            return (confirm, PlannedStep(id="undo", title="undo", commit=True, writes=(flip,)))
    rehearsed = plan(found, Request(verb=Verb.REHEARSE), request.run)
    loader = Grub(check=lambda text: None)
    match request.verb:
        case Verb.PROMOTE:
            return promote.promote_steps(rehearsed, loader)
        case Verb.ROLLBACK:
            return promote.rollback_steps(found, rehearsed, request, None, loader.words)
        case Verb.KEEP:
            return promote.keep_steps(rehearsed, request.retire_on, loader.words)
    group, going = made_by(found, rehearsed.names)
    return promote.retire_steps(found, rehearsed, group, going, loader)


def made_by(found: Machine, names: Names) -> tuple[VolumeGroup, Retirement]:
    """The volume group with what a sealed run has made in it, and all of that to go."""
    group = found.vg(names.vg)
    origin = group.lv(found.systems[0].root.lv) if group else None
    assert group is not None and origin is not None
    doomed = (names.base, names.sealed, names.trial)
    made = tuple(replace(origin, name=name) for name in doomed)
    return replace(group, lvs=(*group.lvs, *made)), Retirement(doomed)


def losses(run: str, with_data: bool) -> tuple[Loss, ...]:
    """What was written since the trial began, to the system and to /srv."""
    return (
        Loss(where=f"the system (vg0/{run}-trial)", bytes=5 << 20, paths=("+/home/ann/letter",)),
        Loss(
            where="/srv",
            bytes=70 << 20,
            paths=("+/srv/ledger/data.v2", "+/srv/pg/PG_VERSION"),
            databases=("/srv/pg",),
            safety=f"vg0/srv-{run}-safety",
            undone=f"vg0/srv-{run}-undone" if with_data else "",
        ),
    )


def plan(found: Machine, request: Request, run: str = "tb1") -> Plan:
    chosen = request if request.run or request.makes_a_run else replace(request, run=run)
    return Plan(
        request=chosen,
        names=names(chosen.run or run),
        machine=found.identity,
        fingerprint=fingerprint(found),
        system=found.systems[0],
        steps=steps_of(found, chosen),
        expected_bytes=1_500_000_000 if request.makes_a_run else 0,
        free_bytes=3_600_000_000 if request.makes_a_run else 0,
        pool="vg0/pool" if request.makes_a_run else "",
    )


PACKAGES = (
    PackageRow(name="openssl", version="3.0.11-1~deb12u2", newer="3.0.15-1~deb12u1", security=True),
    PackageRow(name="ledger", version="1.0", newer="1.1"),
    PackageRow(name="adduser", version="3.134"),
    PackageRow(name="nginx", version="1.22.1-9", held=True),
    *(PackageRow(name=f"libmodule-{n:03}-perl", version=f"1.{n:03}-1") for n in range(300)),
)


def packages(find: str = "") -> PackageList:
    """What is installed, as the engine tells it."""
    found = [row for row in PACKAGES if all(word in row.name for word in find.split())]
    return PackageList(
        rows=tuple(found[:MOST_PACKAGES]),
        found=len(found),
        installed=len(PACKAGES),
        newer=2,
        security=1,
        lists_at=1_795_000_000.0,
    )


CONFIGS = (
    v.ConfigDiff(
        path="/etc/nginx/nginx.conf",
        act="kept",
        text="--- /etc/nginx/nginx.conf before\n+++ /etc/nginx/nginx.conf.dpkg-dist after\n"
        "@@ -1,2 +1,2 @@\n user www-data;\n-worker_processes 9;\n+worker_processes auto;\n",
    ),
    v.ConfigDiff(
        path="/etc/ledger/ledger.conf",
        act="changed",
        text="--- /etc/ledger/ledger.conf before\n+++ /etc/ledger/ledger.conf after\n"
        "@@ -1,3 +1,4 @@\n port = 7000\n-format = 1\n+format = 2\n+compress = yes\n password = [masked]\n",
        hidden=2,
    ),
    v.ConfigDiff(path="/etc/shadow", act="changed", text="", note="not shown: it holds secrets"),
)


def verdict(result: v.Result = v.Result.PASS, migrated: bool = False) -> v.Verdict:
    same, worse, untested = v.Outcome.SAME, v.Outcome.WORSE, v.Outcome.NOT_TESTED
    services = ("ssh", "nginx", "cron", "ledger", "rsyslog", "dbus", "chrony", "getty@tty1", "smartd")
    checks = [
        v.CheckResult(
            name="reaches multi-user.target", outcome=same, before="31 s", after="33 s", limit="120 s"
        ),
        v.CheckResult(name="failed units", outcome=same, before="0", after="0", limit="not more"),
        v.CheckResult(name="listening sockets", outcome=same, before="5", after="5"),
        *[
            v.CheckResult(name=f"service {s}", outcome=same, before="active", after="active")
            for s in services[:-2]
        ],
        v.CheckResult(
            name="service getty@tty1",
            outcome=untested,
            before="inactive",
            after="inactive",
            why="It ran in neither boot of the twin.",
            fix="The trial on the machine tests it.",
        ),
        v.CheckResult(
            name="service smartd",
            outcome=untested,
            before="failed",
            after="failed",
            why="The twin's disk has no SMART.",
            fix="The trial on the machine tests it.",
        ),
    ]
    if result is v.Result.FAIL:
        checks = [
            replace(
                c,
                outcome=worse,
                after="failed",
                why="ledger.service: main process exited, status 1.",
                fix="Rehearse again without ledger 1.2, or with a repaired package.",
            )
            if c.name == "service ledger"
            else c
            for c in checks
        ]
    return v.Verdict(
        result=result,
        checks=tuple(checks),
        packages=(
            v.PackageChange(name="ledger", before="1.0", after="1.1"),
            v.PackageChange(name="libc6", before="2.36-9+deb12u8", after="2.36-9+deb12u9", security=True),
            v.PackageChange(
                name="linux-image-6.1.0-51-amd64",
                before="",
                after="6.1.129-1",
                security=True,
                new_kernel=True,
            ),
            v.PackageChange(
                name="openssl", before="3.0.15-1~deb12u1", after="3.0.16-1~deb12u1", security=True
            ),
        ),
        files=(
            v.FileChange(
                path="/etc/ledger/ledger.conf", act="changed", kind=v.ChangeKind.PACKAGE, by="ledger"
            ),
            v.FileChange(path="/usr/bin/ledger", act="changed", kind=v.ChangeKind.PACKAGE, by="ledger"),
            v.FileChange(path="/var/lib/ledger/seen", act="added", kind=v.ChangeKind.UNEXPLAINED),
            v.FileChange(path="/var/log/apt/history.log", act="changed", kind=v.ChangeKind.EXPECTED),
        ),
        data_writes=(v.DataWrite(target="/srv", bytes=3_400_000, paths=("/srv/ledger/data.v2",)),)
        if migrated
        else (),
        kept_conffiles=("/etc/nginx/nginx.conf.dpkg-dist",),
        configs=CONFIGS,
        not_applied=("boot loader: grub-efi-amd64 2.06-13+deb12u2 is held in a rehearsal",),
        accel="KVM",
        seal="frozen",
        proof_boot=True,
    )


def lineage(state: State | None = State.SEALED, *, result: v.Result = v.Result.PASS) -> Lineage:
    root = Node(volume="root", state=None, boots_next=state in (None, State.SEALED, State.TRIAL))
    if state is None:
        return Lineage(nodes=(root,))
    kept = state is State.KEPT
    trial = Node(
        volume="tb1-trial",
        state=state,
        run="tb1",
        parent="root",
        made=time.time() - 3600,
        verdict=verdict(result).headline,
        cost=1_288_490_188,
        boots_next=state in (State.ARMED, State.KEPT),
    )
    return Lineage(nodes=(replace(root, state=State.FALLBACK, fallback=True) if kept else root, trial))


FALLS_BACK = (
    "By itself: a kernel that panics restarts after 30 seconds; a system that fails a check, or has not"
    " confirmed itself within 10 minutes (longer where it boots slowly), restarts into the old one.",
    "With one reset: a hang before any program of the new system runs. No watchdog guards that; no management"
    " controller was found, so somebody must stand at the machine for that. After the reset the old system"
    " boots.",
)


def untouched(machine: Machine) -> Standing:
    """A machine that nothing was done to yet: its own kernels, the newest first, and what the probe says."""
    own = [(system, kernel) for system in machine.systems[:1] for kernel in system.kernels]
    return Standing(
        falls_back=stands.falls_back(machine),
        loader=stands.STATES[BootState.ABSENT],
        choices=tuple(
            BootChoice(
                title=f"{system.os_name}, with Linux {kernel.version}" if number else system.os_name,
                root=system.root.device,
                kernel=kernel.version,
                state="left alone" if number else "the loader's default",
                boots_next=not number,
            )
            for number, (system, kernel) in enumerate(own)
        ),
        pools=stands.rates(machine, ()),
    )


def standing() -> Standing:
    """A machine that has tb1 armed, was promoted once before, and has a pool that fills."""
    now = time.time()
    return Standing(
        falls_back=FALLS_BACK,
        loader="tb1 is armed: one try",
        choices=(
            BootChoice(
                title="Trial of tb1: Debian GNU/Linux 12, patched in tb1",
                root="/dev/mapper/vg0-tb1--trial",
                kernel="6.1.0-51-amd64",
                state="TRIAL, one try",
                ours=True,
                boots_next=True,
            ),
            BootChoice(
                title="Previous system, as before tb1",
                root="/dev/mapper/vg0-root",
                kernel="6.1.0-49-amd64",
                state="the old system",
                ours=True,
                fallback=True,
            ),
            BootChoice(
                title="Debian GNU/Linux",
                root="/dev/mapper/vg0-root",
                kernel="6.1.0-49-amd64",
                state="the loader's default",
            ),
        ),
        history=(
            DoneAct(at=now - 600, run="tb1", verb="promote", outcome="done"),
            DoneAct(at=now - 9000, run="tb1", verb="promote", outcome="failed", detail="BOOT-01 no room"),
            DoneAct(at=now - 90_000, run="tb1", verb="rehearse", outcome="done"),
        ),
        pools=(
            PoolRate(
                pool="vg0/pool",
                size=20 << 30,
                used=8 << 30,
                per_day=0.5 * 2**30,
                seconds=6 * 86400.0,
                days=24.0,
            ),
        ),
    )


VM_LINES = (
    "[    0.000000] Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)",
    "[    3.214001] device-mapper: ioctl: 4.47.0-ioctl initialised",
    "\x1b[0;32m[  OK  ]\x1b[0m Started \x1b[0;1;39mnginx.service\x1b[0m - A high performance web server.",
    "Get:41 bookworm-security main amd64 linux-image-6.1.0-51-amd64",
    "Preparing to unpack .../libc6_2.36-9+deb12u9_amd64.deb ...",
    "Setting up libc6:amd64 (2.36-9+deb12u9) ...",
    "update-initramfs: Generating /boot/initrd.img-6.1.0-51-amd64",
)


USED = {
    Storage.LVM_THIN: {"pool used": 15},
    Storage.LVM_THICK: {"snapshot used": 5, "scratch used": 31},
    Storage.BTRFS: {"copy used": 22},
    Storage.PARTITION: {"copy used": 22},
}
"""Percent of what the twin writes to, as each kind of storage says it."""


def rehearsal_events(plan_of_run: Plan, until: str = "") -> list[e.AnyEvent]:
    """What the engine says during a rehearsal, up to the step `until`; the sender adds `at`."""
    run = plan_of_run.names.run
    title = f"Rehearsal {run}: security updates"
    said: list[e.AnyEvent] = [
        e.RunStarted(run=run, title=title, steps=tuple((s.id, s.title, s.weight) for s in plan_of_run.steps))
    ]
    for number, step in enumerate(plan_of_run.steps, 1):
        if step.id == until:
            return said
        if step.gate:
            said.append(e.Waiting(run=run, gate=step.id, sentence=step.title))
            return said
        said.append(
            e.StepStarted(
                run=run, step=step.id, title=step.title, number=number, total=len(plan_of_run.steps)
            )
        )
        said += during(plan_of_run, step.id)
        said.append(e.StepFinished(run=run, step=step.id, seconds=step.weight / 10))
    return said


def during(plan_of_run: Plan, step: str) -> list[e.AnyEvent]:
    """What the engine says while that step goes on."""
    run, used = plan_of_run.names.run, USED[plan_of_run.system.root.storage]
    said: list[e.AnyEvent] = [e.Line(run=run, source="disk", text=f"{step}: reading")]
    if step in ("control", "patched", "proof"):
        said += [e.Line(run=run, source="vm", text=text) for text in VM_LINES[:3]]
        said.append(e.Gauge(run=run, name="VM processors", text="62 % of 2", fraction=0.62))
        said.append(e.Gauge(run=run, name="VM memory", text="1.1 of 2.0 GiB", fraction=0.55))
    if step == "patch":
        for done in (0, 45, 87, 189):
            said.append(e.Progress(run=run, step=step, done=done, total=189, unit="packages", left=-1))
            said.append(e.Line(run=run, source="patch", text=f"unpack package {done} of 189"))
        said += [e.Line(run=run, source="vm", text=text) for text in VM_LINES[3:]]
        said += [e.Gauge(run=run, name=n, text=f"{x} %", fraction=x / 100) for n, x in used.items()]
    return said


def ending(run: str, result: v.Result = v.Result.PASS, migrated: bool = False) -> list[e.AnyEvent]:
    return [
        e.VerdictReached(run=run, verdict=verdict(result, migrated)),
        e.StateChanged(run=run, state=State.SEALED),
        e.RunFinished(run=run, outcome="done", report=f"/run/twinboot/{run}"),
    ]


def failure(run: str) -> list[e.AnyEvent]:
    return [
        e.Line(run=run, source="disk", level="warn", text="the thin pool is 81% full"),
        e.Failed(
            run=run,
            code="SPACE-01",
            what="The thin pool vg0/pool is full to 81%: the twin was stopped before harm.",
            safe="The installed system was not changed and boots as before.",
            next_actions=(
                "Give the pool 2 GiB more, then rehearse again.",
                "Retire a volume no longer wanted.",
            ),
        ),
        e.RunFinished(run=run, outcome="failed"),
    ]
