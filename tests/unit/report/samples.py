"""One full record: a rehearsal of a patch that went well, and one that did not."""

from __future__ import annotations

from pathlib import Path

from appliance.model.codec import from_json
from appliance.model.machine import Machine
from appliance.model.plan import Names, PatchKind, PatchRequest, Plan, PlannedStep, Request, Verb
from appliance.model.verdict import (
    ChangeKind,
    CheckResult,
    DataWrite,
    Facts,
    FileChange,
    Outcome,
    PackageChange,
    Result,
    Verdict,
)
from appliance.report.record import CommandRun, Console, Promise, Record, StepTime

FIXTURES = Path(__file__).parents[2] / "fixtures" / "machines"

CONTROL = Facts(
    target="multi-user.target",
    target_reached=True,
    kernel="6.1.0-49-amd64",
    root="/dev/mapper/vg0-root",
    command_line="BOOT_IMAGE=/vmlinuz-6.1.0-49-amd64 root=/dev/mapper/vg0-root ro console=ttyS0",
    boot_seconds=31.2,
    virtualisation="kvm",
)
PATCHED = Facts(
    target="multi-user.target",
    target_reached=True,
    kernel="6.1.0-51-amd64",
    root="/dev/mapper/vg0-root",
    command_line="BOOT_IMAGE=/vmlinuz-6.1.0-51-amd64 root=/dev/mapper/vg0-root ro console=ttyS0",
    boot_seconds=33.9,
    virtualisation="kvm",
)


def check(name: str, outcome: Outcome, before: str, after: str, why: str = "", fix: str = "") -> CheckResult:
    return CheckResult(name=name, outcome=outcome, before=before, after=after, limit="runs", why=why, fix=fix)


SAME = [
    check("boots to its default target", Outcome.SAME, "multi-user.target", "multi-user.target"),
    *(check(f"service {n}", Outcome.SAME, "running", "running") for n in ("nginx", "ssh", "ledger", "dbus")),
    check("socket tcp:80", Outcome.SAME, "nginx", "nginx"),
    check("kernel starts", Outcome.SAME, "6.1.0-49-amd64", "6.1.0-51-amd64"),
    check("free space on /", Outcome.SAME, "1.2 GiB", "1.0 GiB"),
]
QUIET = [
    check(f"service {n}", Outcome.NOT_TESTED, "kept quiet", "kept quiet", "It is kept quiet in a rehearsal.")
    for n in ("cron", "atd", "nullmailer")
]
WORSE = check(
    "service ledger",
    Outcome.WORSE,
    "running",
    "failed",
    "It fails after the patch and did not before.",
    "Read `systemctl status ledger.service` in the twin, then rehearse again.",
)
PACKAGES = (
    PackageChange(name="ledger", before="1.0", after="1.1"),
    PackageChange(name="libssl3", before="3.0.15-1~deb12u1", after="3.0.16-1~deb12u1", security=True),
    PackageChange(
        name="linux-image-6.1.0-51-amd64", before="", after="6.1.170-1", security=True, new_kernel=True
    ),
)
FILES = (
    FileChange(path="/usr/local/bin/surprise", act="added", kind=ChangeKind.UNEXPLAINED),
    FileChange(path="/usr/lib/ledger/ledger", act="changed", kind=ChangeKind.PACKAGE, by="ledger"),
    FileChange(
        path="/usr/lib/modules/6.1.0-51-amd64/",
        act="added",
        kind=ChangeKind.PACKAGE,
        by="linux-image-6.1.0-51-amd64",
    ),
    FileChange(path="/var/log/syslog", act="changed", kind=ChangeKind.EXPECTED, by="log"),
)


def verdict(*, good: bool) -> Verdict:
    checks = [*SAME, *QUIET] if good else [WORSE, *SAME[:3], *SAME[4:], *QUIET]
    return Verdict(
        result=Result.PASS if good else Result.FAIL,
        checks=tuple(checks),
        packages=PACKAGES,
        files=FILES,
        data_writes=() if good else (DataWrite(target="/srv", bytes=8192, paths=("/srv/ledger/data",)),),
        kept_conffiles=("/etc/nginx/nginx.conf.dpkg-dist",),
        not_applied=("boot loader: grub-pc 2.06-13 → 2.06-14 (its work lies outside the snapshot)",),
        accel="KVM",
        seal="frozen",
        proof_boot=good,
        control=CONTROL,
        patched=PATCHED,
    )


def record(*, good: bool = True) -> Record:
    machine = from_json((FIXTURES / "thin-bios.json").read_bytes(), Machine, "thin-bios.json")
    names = Names(
        run="tb1", vg="vg0", base="tb1-base", work="tb1-work", sealed="tb1-sealed", trial="tb1-trial",
        proof="tb1-proof", scratch="tb1-scratch", proof_scratch="tb1-proof-scratch",
    )  # fmt: skip
    steps = ("Take the snapshot", "Control boot", "Install all pending updates", "Patched boot", "Seal")
    plan = Plan(
        request=Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.ALL)),
        names=names,
        machine=machine.identity,
        fingerprint="f" * 64,
        system=machine.systems[0],
        steps=tuple(PlannedStep(id=title.lower().replace(" ", "-"), title=title) for title in steps),
    )
    return Record(
        run="tb1",
        title="Rehearsal tb1: Install all pending updates",
        version="0.1.0",
        started=1_795_344_000.0,
        finished=1_795_344_000.0 + 1175,
        outcome="done",
        machine=machine,
        plan=plan,
        verdict=verdict(good=good),
        steps=tuple(
            StepTime(id=s.id, title=s.title, seconds=t)
            for s, t in zip(plan.steps, (4.2, 151, 395.5, 160, 21), strict=True)
        ),
        promises=(
            Promise(name="origin unchanged", held=True, sentence="sha256 3f9a… before and after"),
            Promise(name="/boot and ESP unchanged", held=True, sentence="sha256 77c1… before and after"),
            Promise(name="boot variables unchanged", held=None, sentence="a BIOS machine has none"),
        ),
        consoles=(
            Console(name="control boot", text="[    0.000000] Linux version 6.1.0-49-amd64\nlab login: "),
            Console(name="patched boot", text="[    0.000000] Linux version 6.1.0-51-amd64\nlab login: "),
        ),
        commands=(
            CommandRun(command="lvs --reportformat json_std", writes=False, status=0, seconds=0.1),
            CommandRun(command="lvcreate -kn -s vg0/root -n tb1-base", writes=True, status=0, seconds=0.4),
        ),
    )  # fmt: skip
