"""Services and other units, control boot against patched boot."""

from __future__ import annotations

import re

from appliance.model.verdict import AGENT_UNIT, CheckResult, Facts, Outcome

# What systemd itself needs for a boot, and what comes and goes with logins, ttys and devices: only a new
# failure of these is told. systemd's own daemons (network, names, time, devices, journal) count as services.
_PLUMBING = re.compile(
    r"^(systemd-(?!(networkd|resolved|timesyncd|udevd|journald|logind|machined|oomd|homed)\.service)"
    r"|user@|user-runtime-dir@|(serial-|container-|console-)?getty@?|autovt@|session-|run-|modprobe@|ifup@"
    r"|lvm2-|blk-availability|kmod-static|keyboard-setup|console-setup|ifupdown-pre|dracut-|plymouth"
    r"|emergency|rescue|initrd-|finalrd|twinboot|rc-local|e2scrub|apt-|dpkg-|man-db|logrotate|fstrim)"
)

NOT_RUNNING = "not running"


def is_plumbing(unit: str) -> bool:
    return bool(_PLUMBING.match(unit))


def services(control: Facts, patched: Facts) -> list[CheckResult]:
    """One check "service NAME" for each service that ran, failed, or was kept quiet in either boot."""
    names = {
        *control.active_services,
        *patched.active_services,
        *(u for u in (*control.failed_units, *patched.failed_units) if u.endswith(".service")),
        *(u for u in (*control.quiet_units, *patched.quiet_units) if u.endswith(".service")),
    }
    checks = (_service(name, control, patched) for name in sorted(names - {AGENT_UNIT}))
    return [c for c in checks if c and (_fails_anew(c) or not is_plumbing(_unit(c)))]


def _fails_anew(check: CheckResult) -> bool:
    """One that is not started at all had nothing to do: an initrd has looked at the root's file system."""
    return check.outcome is Outcome.WORSE and check.after != NOT_RUNNING


def _unit(check: CheckResult) -> str:
    return check.name.removeprefix("service ") + ".service"


def _state(unit: str, facts: Facts) -> str:
    if unit in facts.failed_units:
        return "failed"
    if unit in facts.active_services:
        restarts = dict(facts.restarts).get(unit, 0)
        return f"running, restarted {restarts} times" if restarts else "running"
    if unit in facts.quiet_units:
        return "kept quiet"
    return "starting" if unit in facts.starting else NOT_RUNNING


def _service(unit: str, control: Facts, patched: Facts) -> CheckResult | None:
    before, after = _state(unit, control), _state(unit, patched)
    outcome, why = _judge(unit, before, after, control)
    if outcome is None:
        return None
    fix = ""
    if outcome is Outcome.WORSE:
        fix = f"Read `systemctl status {unit}` and `journalctl -u {unit}` in the twin, then rehearse again."
    return CheckResult(
        name=f"service {unit.removesuffix('.service')}",
        outcome=outcome,
        before=before,
        after=after,
        limit="runs",
        why=why,
        fix=fix,
    )


def _judge(unit: str, before: str, after: str, control: Facts) -> tuple[Outcome | None, str]:
    well = after == "running"
    if "kept quiet" in (before, after) and after != "failed":
        return Outcome.NOT_TESTED, "It is kept quiet in a rehearsal; it is tried on the metal."
    if before == "failed":
        if after == "failed":
            return Outcome.NOT_TESTED, "It fails in both boots of the twin."
        if well:
            return Outcome.SAME, ""
        return Outcome.NOT_TESTED, "It failed before the patch and is not running after it."
    if well:
        return Outcome.SAME, ""
    if after == "failed":
        return Outcome.WORSE, "It fails after the patch and did not before."
    if after.startswith("running"):  # restarted again and again
        if "restarted" in before:
            return Outcome.NOT_TESTED, "It is restarted again and again in both boots of the twin."
        return Outcome.WORSE, "It dies and is started again since the patch."
    if before == "starting":
        return Outcome.NOT_TESTED, "It was still starting at the time limit of the control boot."
    if before == NOT_RUNNING:
        return None, ""  # seen on its way in one boot: nothing to compare
    if after == "starting":
        return Outcome.WORSE, "It is still starting at the time limit and ran before."
    if unit in control.seldom:
        return None, ""  # what an update of /usr left to be done was done in the control boot
    if unit in control.on_demand:
        return Outcome.NOT_TESTED, "It starts on demand, and nothing asked for it in the patched boot."
    return Outcome.WORSE, "It ran before the patch and is not started after it."


def other_units(control: Facts, patched: Facts) -> list[CheckResult]:
    """Failed mounts, sockets, timers, devices…, as one check."""
    old = {u for u in control.failed_units if not u.endswith(".service")}
    new = {u for u in patched.failed_units if not u.endswith(".service")}
    fresh = sorted(new - old)
    outcome = Outcome.WORSE if fresh else Outcome.NOT_TESTED if new else Outcome.SAME
    why = fix = ""
    if fresh:
        why = f"Failed units that did not fail before: {', '.join(fresh)}."
        fix = "Read `systemctl status` of the named units in the twin, then rehearse again."
    elif new:
        why = f"Failed in both boots of the twin: {', '.join(sorted(new))}."
    return [
        CheckResult(
            name="failed units other than services",
            outcome=outcome,
            before=str(len(old)),
            after=str(len(new)),
            limit="not more",
            why=why,
            fix=fix,
        )
    ]
