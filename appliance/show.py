"""The CLI's words: model values as plain text, control characters stripped."""

from __future__ import annotations

import time

from appliance.errors import ApplianceError
from appliance.model import events as ev
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.messages import Status
from appliance.model.plan import FULL, Plan
from appliance.model.seen import seen_sentence
from appliance.model.service_messages import (
    Exported,
    Network,
    PlanFiles,
    PlanSaved,
    SshState,
    WantedWritten,
)
from appliance.model.standing import PoolRate, Standing

GIB = 1024**3


def clean(text: str) -> str:
    """Names and guest output are hostile text: no control character reaches a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def machine(found: Machine) -> str:
    lines = [
        f"Machine   {found.vendor} {found.product}   serial {found.serial or '-'}"
        + (f" (junk; identified by {found.identity})" if found.serial_is_junk else ""),
        f"Firmware  {found.firmware.value.upper()}{', Secure Boot on' if found.secure_boot else ''}"
        f"   CPU {found.cpu} ({found.virtualisation or 'no virtualisation'};"
        f" KVM {'yes' if found.kvm else 'NO'})"
        f"   RAM {gib(found.ram)}",
        f"BMC       {found.bmc or 'none found'}",
    ]
    for disk in found.disks:
        lines.append(
            f"Disk      {disk.path} {gib(disk.size)} {disk.bus.value} {disk.model}"
            f" serial {disk.serial or '-'}" + (f" driver {disk.driver}" if disk.driver else "")
        )
    for group in found.volume_groups:
        free = gib(group.free_count * group.extent_size)
        lines.append(f"VG        {group.name}: {len(group.lvs)} volumes, {free} free")
    for system in found.systems:
        lines.append(f"System    {system.id}: {system.os_name} {system.os_version} ({system.hostname})")
        root = system.root
        lines.append(f"          root {root.device} {root.fstype} {gib(root.size)} on {root.storage.value}")
        for volume in system.volumes:
            what = f"{volume.role.value:11} {volume.target:12} {volume.array or volume.device}"
            lines.append(f"          {what} {volume.fstype}")
        lines.append(f"          {seen_sentence(system)}")
        lines.append(f"          packages by {system.package_manager or '?'}")
        lines.append(f"          loader {system.loader.name} {system.loader.version}".rstrip())
        lines += [f"          kernel {k.version}" for k in system.kernels]
        for entry in system.loader.entries:
            lines.append(f"          entry  {'*' if entry.default else ' '} {entry.title}")
        lines += [f"          {'REFUSED' if t.refuses else 'note'}: {t.sentence}" for t in system.trouble]
    lines += [f"{'REFUSED' if t.refuses else 'note'}: {t.sentence}" for t in found.trouble]
    if not found.systems:
        lines.append("System    none found")
    return clean("\n".join(lines))


def lineage(tree: Lineage) -> str:
    lines = ["VOLUME               RUN    STATE      VERDICT"]
    for node in tree.nodes:
        mark = "*" if node.boots_next else "=" if node.fallback else " "
        state = node.state.value if node.state else "INSTALLED"
        lines.append(f"{mark} {node.volume:18} {node.run or '-':6} {state:10} {node.verdict}".rstrip())
    lines.append("* boots next   = fallback")
    return clean("\n".join(lines))


def status(now: Status) -> str:
    again = "being read again ..." if now.outdated else ""
    lines = [
        f"Next boot   {again or now.next_boot or 'as installed'}",
        f"Fallback    {again or now.fallback or 'none needed'}",
        f"Writes to this machine: {now.writes}",
    ]
    if now.running is not None:
        over = "finished" if now.running.finished else "going on"
        state = f"waits: {now.running.gate_sentence}" if now.running.gate else over
        lines.append(f"Run         {now.running.run} {now.running.title}: {state}")
    if now.next_step:
        lines.append(f"Next step   {now.next_step}")
    lines += [f"Notice      {text}" for text in now.notices]
    return clean("\n".join(lines)) + "\n" + lineage(now.lineage) + "\n" + standing(now.standing)


def standing(known: Standing) -> str:
    """What the loader offers, how long the room lasts, what was done last."""
    lines = [f"The loader finds: {known.loader}."] if known.loader else []
    for choice in known.choices:
        mark = "*" if choice.boots_next else "=" if choice.fallback else " "
        lines.append(f"{mark} {choice.title:44} {choice.kernel:18} {choice.state}".rstrip())
    lines += [f"Space       {_room(pool)}" for pool in known.pools]
    for act in known.history[:10]:
        began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(act.at))
        detail = f" ({act.detail})" if act.detail else ""
        lines.append(f"{began} UTC  {act.run:6} {act.verb:9} {act.outcome}{detail}")
    return clean("\n".join(lines))


def _room(pool: PoolRate) -> str:
    used = f"{pool.pool}: {gib(pool.used)} of {gib(pool.size)} used"
    if pool.per_day is None:
        return f"{used}; days left: unknown"
    return f"{used}; days left: {int(pool.days) if pool.days is not None else 'it does not grow'}"


def plan(made: Plan) -> str:
    lines = [f"Plan {made.names.run}: {made.request.verb.value} on {made.machine} ({made.digest[:12]})"]
    for number, step in enumerate(made.steps, 1):
        lines.append(f"  {number:2} {step.title}")
        lines += [f"       write: {w.what}; if power fails: {w.if_cut}" for w in step.writes]
    lines += [f"  note: {text}" for text in made.warnings]
    if made.expected_bytes:
        free = f"{gib(made.free_bytes)} free (to the {FULL:.0f} % mark)"
        lines.append(f"  room: about {gib(made.expected_bytes)} of {free} in {made.pool}")
    for loss in made.losses:
        told = loss.note or f"about {gib(loss.bytes)}: {', '.join(loss.paths[:8])}"
        goes = "taken away by" if loss.undone else "left behind by"
        lines.append(f"  written since the trial began, {goes} going back: {loss.where}, {told}")
        lines += [f"    a data base lies there: {folder}" for folder in loss.databases]
        lines += [f"    as it was before the trial: {loss.safety}"] if loss.safety else []
        lines += [f"    as it is now, kept in: {loss.undone}"] if loss.undone else []
    return clean("\n".join(lines))


def would(commands: tuple[str, ...]) -> str:
    return clean("\n".join(["Dry run, nothing was written. These writes would be made:", *commands]))


def exported(done: Exported) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in done.masked)
    lines = [
        f"Exported  {done.file}, {done.size / 1024:.0f} KiB, {done.files} files",
        f"To        {done.where}",
        f"Secrets   masked at {sum(number for _, number in done.masked)} places"
        + (f": {kinds}" if kinds else ""),
    ]
    lines += [f"Pictures  {', '.join(done.unread)}: went in as they are"] if done.unread else []
    return clean("\n".join(lines))


def plan_files(found: PlanFiles) -> str:
    lines = [f"{found.folder}{'' if found.stick else ' (in memory: there is no stick)'}"]
    for file in found.files:
        then = ", promotes when the verdict is PASS" if file.promote else ""
        lines.append(f"  {file.name:24} {file.serial:16} {file.command_line}{then}")
        lines += [f"      NOT HERE: {file.why_not}"] if file.why_not else []
    return clean("\n".join(lines if found.files else [*lines, "  no plan files"]))


def plan_saved(saved: PlanSaved) -> str:
    lines = [
        f"Saved     {saved.path}",
        f"To run it with nobody there, add to the kernel command line: {saved.argument}",
        f"From an address: twinboot.plan=URL#sha256={saved.sha256}",
    ]
    return clean("\n".join(lines))


def wanted(done: WantedWritten) -> str:
    lines = [
        f"Written   {done.path}",
        f"Holds     {done.installed} packages, {done.sources} sources, {done.keys} keys; no password",
        *(f"Unknown   {sentence}" for sentence in done.unknown),
        "Next      twinboot bundle make LIST --stick, on any Debian or Ubuntu with internet",
    ]
    return clean("\n".join(lines))


def network(found: Network) -> str:
    lines = ["PORT         CABLE  MBIT/S  MAC                ADDRESS"]
    for link in found.links:
        name = f"{link.name} ({link.parent}.{link.vlan})" if link.vlan else link.name
        how = " (by hand)" if link.name in found.by_hand else " (DHCP)" if link.dynamic else ""
        lines.append(
            f"{name:12} {'yes' if link.cable else 'NO':6} {link.speed or '-':<7} {link.mac:18}"
            f" {', '.join(link.addresses) or 'none'}{how}"
        )
        lines += [f"{'':40}gateway {link.gateway}"] if link.gateway else []
    lines.append(f"name servers {', '.join(found.servers) or 'none'}; proxy {found.proxy or 'none'}")
    return clean("\n".join(lines))


def ssh(state: SshState) -> str:
    if not state.on:
        return "ssh is off: nothing listens."
    lines = [f"ssh {state.user}@{address}" for address in state.addresses]
    return clean("\n".join([*lines, f"password  {state.password}", f"host key  {state.fingerprint}"]))


def is_chatter(happened: ev.AnyEvent) -> bool:
    """Commands that went well, and the twin's console: there with --verbose, and in the record always."""
    return (
        isinstance(happened, ev.Line)
        and happened.source in ("log", "disk", "vm")
        and happened.level == "info"
    )


def event(happened: ev.AnyEvent) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(happened.at))
    return f"{clock} {clean(_words(happened))}"


def _words(happened: ev.AnyEvent) -> str:
    match happened:
        case ev.RunStarted():
            return f"run {happened.run}: {happened.title}"
        case ev.StepStarted():
            return f"step {happened.number} of {happened.total}: {happened.title}"
        case ev.StepFinished():
            return f"  done in {happened.seconds:.0f} s"
        case ev.Progress():
            left = f", about {happened.left:.0f} s left" if happened.left >= 0 else ""
            rate = f", {happened.rate:.1f} {happened.unit}/s" if happened.rate >= 0 else ""
            return f"  {happened.done:.0f} of {happened.total:.0f} {happened.unit}{rate}{left}"
        case ev.Gauge():
            return f"  {happened.name}: {happened.text}"
        case ev.Line():
            return f"  [{happened.source}] {happened.text}"
        case ev.StateChanged():
            return f"state: {happened.state.value}"
        case ev.VerdictReached():
            return f"VERDICT {happened.verdict.headline}"
        case ev.Waiting():
            return f"waiting: {happened.sentence}"
        case ev.Paused():
            return f"PAUSED: the VM stands still until `twinboot resume {happened.run}`"
        case ev.Resumed():
            return f"resumed after {happened.seconds:.0f} s"
        case ev.Failed():
            steps = "; ".join(f"{n} {a}" for n, a in enumerate(happened.next_actions, 1))
            return f"FAILED {happened.code}: {happened.what} {happened.safe} {steps}"
        case ev.RunFinished():
            return f"run {happened.run} {happened.outcome}"
        case ev.ServiceProgress():
            return f"{happened.service}: {happened.words}"


def error(problem: ApplianceError) -> str:
    reasons = getattr(problem, "reasons", ())
    what = "".join(f"\n  - {r}" for r in reasons) if reasons else f" {problem.what}"
    lines = [f"{problem.code}:{what}"]
    lines += [f"  note: {text}" for text in getattr(problem, "warnings", ())]
    lines.append(f"What is safe: {problem.safe}")
    lines += [f"  {n} {text}" for n, text in enumerate(problem.next_actions, 1)]
    return clean("\n".join(lines))
