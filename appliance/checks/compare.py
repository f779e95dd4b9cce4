"""The patched boot against the control boot: only differences count.

What is bad in both boots cannot be blamed on the patch and cannot be vouched for either: NOT TESTED.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.checks import compare_kernel, compare_services, compare_sockets
from appliance.checks.site import compare_site
from appliance.model.verdict import CheckResult, Facts, Outcome

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`boot_factor` and `boot_slack` (seconds): how much longer a patched boot may take, the wider counts.
    They are generous, because a noisy host doubles the time of an emulated boot by itself.

    `slow_twin`: it is emulated, or nested in a virtual machine, and waits for the host at any moment: how
    long it takes, and what its kernel says of lost time, is not the patch's doing.

    `free_share`: the part of the free space before that must be left; never more than `free_enough` bytes.
    """

    boot_factor: float = 3.0
    boot_slack: float = 120.0
    free_share: float = 0.5
    free_enough: int = 1024 * MIB
    slow_twin: bool = False


def compare(control: Facts, patched: Facts, limits: Limits | None = None) -> tuple[CheckResult, ...]:
    """Every check with its outcome, in the order a person reads them."""
    limits = limits or Limits()
    return (
        *_target(control, patched),
        *compare_services.services(control, patched),
        *compare_services.other_units(control, patched),
        *compare_sockets.sockets(control, patched),
        *_mounts(control, patched),
        *_packages(control, patched),
        *compare_kernel.kernel(control, patched, slow=limits.slow_twin),
        *_boot_time(control, patched, limits),
        *_disk(control, patched, limits),
        *compare_site(control, patched),
    )


def _target(control: Facts, patched: Facts) -> list[CheckResult]:
    def said(facts: Facts) -> str:
        return facts.target if facts.target_reached else f"{facts.target} not reached"

    name = "boots to its default target"
    before, after = said(control), said(patched)
    if patched.target_reached and (not control.target_reached or control.target == patched.target):
        return [CheckResult(name=name, outcome=Outcome.SAME, before=before, after=after, limit="reached")]
    if not patched.target_reached and not control.target_reached:
        why = "The target is not reached in either boot of the twin."
        return [
            CheckResult(
                name=name, outcome=Outcome.NOT_TESTED, before=before, after=after, limit="reached", why=why
            )
        ]
    if patched.target_reached:
        why = "The patch changed the target this system boots to."
    else:
        waiting = ", ".join(patched.starting) or "nothing that still starts"
        failed = ", ".join(patched.failed_units) or "none"
        why = f"The system did not come up. Still starting: {waiting}. Failed units: {failed}."
    fix = "Look at the twin's console in the report: its last lines name what held the boot up."
    return [
        CheckResult(
            name=name, outcome=Outcome.WORSE, before=before, after=after, limit="reached", why=why, fix=fix
        )
    ]


def _mounts(control: Facts, patched: Facts) -> list[CheckResult]:
    before = {mount.rsplit(" ", 2)[0] for mount in control.mounts}
    after = {mount.rsplit(" ", 2)[0] for mount in patched.mounts}
    missing = sorted(before - after)
    return [
        CheckResult(
            name="file systems mounted",
            outcome=Outcome.WORSE if missing else Outcome.SAME,
            before=str(len(before)),
            after=str(len(after)),
            limit="not fewer",
            why=f"Not mounted after the patch: {', '.join(missing)}." if missing else "",
            fix="Compare /etc/fstab and the mount units before and after." if missing else "",
        )
    ]


def _packages(control: Facts, patched: Facts) -> list[CheckResult]:
    old, new = set(control.half_configured), set(patched.half_configured)
    fresh = sorted(new - old)
    outcome = Outcome.WORSE if fresh else Outcome.NOT_TESTED if new else Outcome.SAME
    why = fix = ""
    if fresh:
        why = f"Not fully installed: {', '.join(fresh)}."
        fix = "Read what the package manager said in the log; `dpkg --configure -a` repeats the failing step."
    elif new:
        why = f"Was not fully installed before the patch either: {', '.join(sorted(new))}."
    return [
        CheckResult(
            name="packages fully installed",
            outcome=outcome,
            before=_count(len(old)),
            after=_count(len(new)),
            limit="not more",
            why=why,
            fix=fix,
        )
    ]


def _count(broken: int) -> str:
    return f"{broken} broken" if broken else "all"


def _boot_time(control: Facts, patched: Facts, limits: Limits) -> list[CheckResult]:
    name = "time to the default target"
    most = max(control.boot_seconds * limits.boot_factor, control.boot_seconds + limits.boot_slack)
    before, after = f"{control.boot_seconds:.0f} s", f"{patched.boot_seconds:.0f} s"
    if not control.target_reached or not patched.target_reached:
        return []
    slow = patched.boot_seconds > most
    if slow and limits.slow_twin:
        why = "The twin is emulated or runs in a virtual machine: how long it takes says nothing."
        outcome = Outcome.NOT_TESTED
        return [
            CheckResult(
                name=name, outcome=outcome, before=before, after=after, limit=f"{most:.0f} s", why=why
            )
        ]
    return [
        CheckResult(
            name=name,
            outcome=Outcome.WORSE if slow else Outcome.SAME,
            before=before,
            after=after,
            limit=f"{most:.0f} s",
            why="The patched system takes much longer to boot." if slow else "",
            fix="`systemd-analyze blame` in the twin names the units that took the time." if slow else "",
        )
    ]


def _disk(control: Facts, patched: Facts, limits: Limits) -> list[CheckResult]:
    after = dict(patched.disk_free)
    found = []
    for target, before in control.disk_free:
        if target not in after or before == 0:
            continue
        least = min(limits.free_enough, int(before * limits.free_share))
        short = after[target] < least
        found.append(
            CheckResult(
                name=f"free space on {target}",
                outcome=Outcome.WORSE if short else Outcome.SAME,
                before=_size(before),
                after=_size(after[target]),
                limit=f"at least {_size(least)}",
                why=f"{_size(before - after[target])} more is used after patching." if short else "",
                fix="Remove old kernels and caches, or give the volume more room." if short else "",
            )
        )
    return found


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / MIB:.0f} MiB"
