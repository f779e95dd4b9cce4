"""Checks of the site itself: executables that pass (0) or fail, as greenboot has them."""

from __future__ import annotations

from appliance.model.verdict import CheckResult, Facts, Outcome, SiteCheck

_MEANINGS = {124: "took too long", 126: "could not be run", 127: "could not be run", 137: "took too long"}


def compare_site(control: Facts, patched: Facts) -> list[CheckResult]:
    """One check "required check NAME" or "wanted check NAME" for each script seen in either boot."""
    before = {c.name: c for c in control.site_checks}
    after = {c.name: c for c in patched.site_checks}
    return [_check(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]


def _said(check: SiteCheck | None) -> str:
    if check is None:
        return "not there"
    if check.status == 0:
        return "passed"
    return f"failed ({_MEANINGS.get(check.status, f'status {check.status}')})"


def _check(name: str, before: SiteCheck | None, after: SiteCheck | None) -> CheckResult:
    kind = "required" if any(c and c.required for c in (before, after)) else "wanted"
    outcome, why = _judge(before, after)
    output = (after.output if after and after.status else "").strip().splitlines()
    if output and outcome is not Outcome.SAME:
        why = f"{why} It said: {output[-1][:300]}"
    fix = f"Run {name} by hand in the twin." if outcome is Outcome.WORSE else ""
    return CheckResult(
        name=f"{kind} check {name}",
        outcome=outcome,
        before=_said(before),
        after=_said(after),
        limit="passes" if kind == "required" else "should pass",
        why=why,
        fix=fix,
    )


def _judge(before: SiteCheck | None, after: SiteCheck | None) -> tuple[Outcome, str]:
    if after is None:
        return Outcome.NOT_TESTED, "The check is not there after the patch."
    if after.status == 0:
        return Outcome.SAME, ""
    if before is not None and before.status != 0:
        return Outcome.NOT_TESTED, "It fails in both boots of the twin; it is tried on the metal."
    return Outcome.WORSE, "It fails after the patch" + (" and passed before." if before else ".")
