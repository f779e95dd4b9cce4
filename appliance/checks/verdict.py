"""The verdict: every check and every finding in one value."""

from __future__ import annotations

from appliance.checks.compare import Limits, compare
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


def assemble(
    control: Facts,
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
) -> Verdict:
    """`trouble` are (name, why) of things that went wrong outside the two boots' facts: the package manager
    ended badly, the proof boot did not come up; each counts as worse. `patched` None: it never came up."""
    wrong = [*trouble]
    if patched is None and not wrong:
        wrong.append(("patched boot", "The twin did not come up after the patch."))
    checks = tuple(
        CheckResult(name=name, outcome=Outcome.WORSE, before="-", after="failed", limit="succeeds", why=why)
        for name, why in wrong
    )
    if patched is not None:
        checks += compare(control, patched, limits)
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
    )


def judge(checks: tuple[CheckResult, ...]) -> Result:
    """FAIL where anything is worse; a site check that is only wanted may be worse and is named."""
    bad = any(c.outcome is Outcome.WORSE and not c.name.startswith("wanted check ") for c in checks)
    return Result.FAIL if bad else Result.PASS
