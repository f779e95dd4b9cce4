"""The verdict: every check and every finding in one value."""

from __future__ import annotations

from appliance.checks.alone import judge_alone
from appliance.checks.compare import Limits, compare
from appliance.model.metal import DeviceFate
from appliance.model.verdict import (
    CheckResult,
    ConfigDiff,
    DataWrite,
    Facts,
    FileChange,
    Outcome,
    PackageChange,
    Result,
    Verdict,
)


def checks_of(
    control: Facts | None, patched: Facts, limits: Limits | None = None, *, repaired: bool = False
) -> tuple[CheckResult, ...]:
    """The patched boot against the control boot. One that was `repaired` is judged by its own health first,
    and is the only one that may have no control boot."""
    alone = judge_alone(patched, control) if repaired else ()
    if control is None:
        return alone
    judged = {check.name for check in alone}
    return (*alone, *(c for c in compare(control, patched, limits) if c.name not in judged))


FIXES = {
    "package manager": "Read what it said in the log. Leave out the package it stopped at, or work by hand.",
    "patched boot": "Look at the twin's console in the report: its last lines name what held the boot up."
    " Rehearse with fewer packages to find the one.",
    "proof boot": "Look at the console of the proof boot in the report. The sealed system itself came up:"
    " look at fstab, the root device and the initrd first.",
}
"""What can be done about trouble outside the two boots, by its name."""


def assemble(
    control: Facts | None,
    patched: Facts | None,
    *,
    changes: tuple[PackageChange, ...] = (),
    kept_conffiles: tuple[str, ...] = (),
    not_applied: tuple[str, ...] = (),
    files: tuple[FileChange, ...] = (),
    data_writes: tuple[DataWrite, ...] = (),
    configs: tuple[ConfigDiff, ...] = (),
    accel: str = "",
    seal: str = "",
    proof_boot: bool = False,
    trouble: tuple[tuple[str, str], ...] = (),
    limits: Limits | None = None,
    repaired: bool = False,
    hardware: tuple[CheckResult, ...] = (),
    devices: tuple[DeviceFate, ...] = (),
) -> Verdict:
    """`hardware` are checks of the real machine's own devices, which no twin has; `devices` what they found.

    `trouble` are (name, why) of things that went wrong outside the two boots' facts: the package manager
    ended badly, the proof boot did not come up; each counts as worse. `patched` None: it never came up."""
    wrong = [*trouble]
    if patched is None and not wrong:
        wrong.append(("patched boot", "The twin did not come up after the patch."))
    checks = tuple(
        CheckResult(
            name=name,
            outcome=Outcome.WORSE,
            before="-",
            after="failed",
            limit="succeeds",
            why=why,
            fix=FIXES.get(name, "Read the log: its last lines before the failure name the cause."),
        )
        for name, why in wrong
    )
    if patched is not None:
        checks += checks_of(control, patched, limits, repaired=repaired)
    checks += hardware
    return Verdict(
        result=judge(checks),
        checks=checks,
        packages=changes,
        files=files,
        data_writes=data_writes,
        kept_conffiles=kept_conffiles,
        configs=configs,
        not_applied=not_applied,
        accel=accel,
        seal=seal,
        proof_boot=proof_boot,
        control=control,
        patched=patched,
        devices=devices,
    )


def judge(checks: tuple[CheckResult, ...]) -> Result:
    """FAIL where anything is worse; a site check that is only wanted may be worse and is named."""
    bad = any(c.outcome is Outcome.WORSE and not c.name.startswith("wanted check ") for c in checks)
    return Result.FAIL if bad else Result.PASS
