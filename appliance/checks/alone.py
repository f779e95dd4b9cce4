"""A boot judged by its own health: after a repair, where there may be no control boot to compare with."""

from __future__ import annotations

import re

from appliance.checks.compare_kernel import normal, some
from appliance.checks.expected import ONLY_METAL
from appliance.model.verdict import CheckResult, Facts, Outcome

# What no healthy boot says, in a VM or on metal. Stalls and lockups are left out: a busy host causes them.
_BROKEN = re.compile(
    r"EXT4-fs error|XFS .*(corrupt|shutdown)|BTRFS.*(error|critical)|I/O error(?!, dev (fd|sr)\d)"
    r"|Oops|general protection|BUG: (?!soft lockup|workqueue lockup)|Unable to (mount|handle)"
    r"|Unknown symbol|disagrees about version",
    re.I,
)


def judge_alone(facts: Facts, before: Facts | None = None) -> tuple[CheckResult, ...]:
    """Absolute demands on one boot; `before` is the boot of the copy as it was, where that came up.

    What only a comparison could tell is NOT TESTED, and said to be.
    """
    checks = [_target(facts), _units(facts, before), _packages(facts), _kernel(facts, before)]
    checks += [_site(check.name, check.status) for check in facts.site_checks if check.required]
    return (*checks, *(() if before is not None else (_no_comparison(facts),)))


def _result(name: str, bad: str, after: str, limit: str, fix: str) -> CheckResult:
    """Worse for the reason `bad`, or well."""
    if not bad:
        return CheckResult(name=name, outcome=Outcome.SAME, before="-", after=after, limit=limit)
    return CheckResult(
        name=name, outcome=Outcome.WORSE, before="-", after=after, limit=limit, why=bad, fix=fix
    )


def _not_tested(name: str, after: str, limit: str, why: str) -> CheckResult:
    return CheckResult(name=name, outcome=Outcome.NOT_TESTED, before="-", after=after, limit=limit, why=why)


def _target(facts: Facts) -> CheckResult:
    failed = ", ".join(facts.failed_units) or "none"
    bad = "" if facts.target_reached else f"The copy does not come up. Failed units: {failed}."
    after = facts.target if facts.target_reached else f"{facts.target} not reached"
    fix = "Look at the twin's console in the report, then try another repair."
    return _result("boots to its default target", bad, after, "reached", fix)


def _units(facts: Facts, before: Facts | None) -> CheckResult:
    """A unit that watches hardware the twin lacks, or failed before as well, is nothing the repair broke."""
    name, limit = "no failed units", "none"
    excused = {*ONLY_METAL, *(before.failed_units if before else ())}
    bad = sorted(set(facts.failed_units) - excused)
    if not bad and facts.failed_units:
        why = f"Fails without the repair too, or needs the metal: {', '.join(facts.failed_units)}."
        return _not_tested(name, str(len(facts.failed_units)), limit, why)
    why = f"Failed on the repaired copy: {', '.join(bad)}." if bad else ""
    fix = "Read `systemctl status` of the named units in the twin, then try another repair."
    return _result(name, why, str(len(facts.failed_units)), limit, fix)


def _packages(facts: Facts) -> CheckResult:
    broken = facts.half_configured
    bad = f"Not fully installed: {', '.join(broken)}." if broken else ""
    fix = "Repair with --finish-packages."
    return _result("packages fully installed", bad, f"{len(broken)} broken" if broken else "all", "all", fix)


def _kernel(facts: Facts, before: Facts | None) -> CheckResult:
    name, limit, count = "kernel errors", "none of damage", str(len(facts.kernel_errors))
    known = {normal(message) for message in before.kernel_errors} if before else set()
    grave = [m for m in facts.kernel_errors if _BROKEN.search(m) and normal(m) not in known]
    if not grave and facts.kernel_errors:
        why = f"The kernel complains, with nothing to compare: {some(facts.kernel_errors)}"
        return _not_tested(name, count, limit, why)
    bad = f"The kernel tells of damage: {some(grave)}" if grave else ""
    return _result(name, bad, count, limit, "Repair with --fsck, or look at the disk's health.")


def _site(name: str, status: int) -> CheckResult:
    bad = f"It ended with status {status}." if status else ""
    return _result(f"required check {name}", bad, str(status), "0", "Read the check's output in the report.")


def _no_comparison(facts: Facts) -> CheckResult:
    count = len(facts.active_services)
    why = (
        "The system as it was did not boot in the twin, so nothing says which services should run. "
        f"The {count} that run are asked for again in the trial on the metal."
    )
    return _not_tested("services and ports as before", f"{count} services run", "as before", why)
