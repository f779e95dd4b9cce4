"""The kernel that runs and what it complains of, control boot against patched boot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from appliance.model.verdict import CheckResult, Facts, Outcome

# Wherever the wording is new: these are never only another kernel's way of saying hello.
_GRAVE = re.compile(
    r"BUG:|Oops|general protection|Call Trace|I/O error|hung_task|blocked for more than|(soft|hard) lockup"
    r"|EXT4-fs error|XFS .*(corrupt|shutdown)|BTRFS.*(error|critical)|segfault|Out of memory|oom-kill"
    r"|Unable to (mount|handle)|failed to load firmware|Unknown symbol|disagrees about version"
    r"|module verification",
    re.I,
)
# What a kernel says when its virtual processor was not let run for seconds (kernel: rcu/stallwarn.rst).
_STARVED = re.compile(
    r"^rcu: |^rcu_\w+ |\bself-detected stall\b|soft lockup|^clocksource: |^hrtimer: interrupt took"
    r"|interrupt took too long|^(Sending NMI from CPU|NMI backtrace for cpu)|workqueue: .* hogged CPU",
    re.I,
)
MOST = 3
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", re.I)


def normal(message: str) -> str:
    """A message without what differs from boot to boot: addresses, numbers, sectors, process ids."""
    return _NUMBERS.sub("#", message)


def kernel(control: Facts, patched: Facts, *, slow: bool = False) -> list[CheckResult]:
    """`slow`: what the twin's kernel says of lost time is the host's doing (Limits.slow_twin)."""
    changed = control.kernel != patched.kernel
    starts = CheckResult(
        name="kernel starts",
        outcome=Outcome.SAME,
        before=control.kernel,
        after=patched.kernel,
        limit="may change" if changed else "same",
    )
    return [starts, _errors(control, patched, changed, slow)]


def _errors(control: Facts, patched: Facts, changed: bool, slow: bool) -> CheckResult:
    known = {normal(m) for m in control.kernel_errors}
    fresh = [m for m in patched.kernel_errors if normal(m) not in known]
    starved = [m for m in fresh if slow and _STARVED.search(m)]
    fresh = [m for m in fresh if m not in starved]
    # Another kernel words its notes anew (processor flaws, firmware quirks): that is no proof of harm.
    grave = [m for m in fresh if not changed or _GRAVE.search(m)]
    outcome, why, fix = Outcome.SAME, "", ""
    if grave:
        outcome, why = Outcome.WORSE, f"The kernel complains anew: {some(grave)}"
        fix = "Read the kernel's messages of the patched boot in the report."
    elif fresh:
        outcome = Outcome.NOT_TESTED
        why = f"The new kernel says what the old one did not, with nothing to compare: {some(fresh)}"
    elif starved:
        outcome = Outcome.NOT_TESTED
        why = f"The slow twin was not let run for seconds, of which its kernel complains: {some(starved)}"
    return CheckResult(
        name="kernel errors",
        outcome=outcome,
        before=str(len(control.kernel_errors)),
        after=str(len(patched.kernel_errors)),
        limit="no new ones",
        why=why,
        fix=fix,
    )


def some(messages: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    more = f" (and {len(messages) - MOST} more)" if len(messages) > MOST else ""
    return "; ".join(m[:200] for m in messages[:MOST]) + more
