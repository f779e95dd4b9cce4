"""The words and figures that the text and the HTML report share."""

from __future__ import annotations

import time

from appliance.model.verdict import Outcome, PackageChange, Verdict


def clock(at: float) -> str:
    """2026-11-22 10:14 UTC; empty for a time that is not known."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at)) if at > 0 else ""


def duration(seconds: float) -> str:
    """12 s, 3 min 5 s, 1 h 2 min; never negative."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    if count >= 1024**3:
        return f"{count / 1024**3:.1f} GiB"
    return f"{count / 1024**2:.1f} MiB" if count >= 1024**2 else f"{count // 1024} KiB"


def counts(verdict: Verdict) -> str:
    """12 the same, 1 worse, 5 not tested."""
    number = {o: sum(c.outcome is o for c in verdict.checks) for o in Outcome}
    return (
        f"{number[Outcome.SAME]} checks the same, {number[Outcome.WORSE]} worse, "
        f"{number[Outcome.NOT_TESTED]} NOT TESTED"
    )


def labels(verdict: Verdict) -> str:
    """How it was tested, as measured: KVM or emulated, frozen or crash-consistent, proof boot or none."""
    proof = "proof boot came up" if verdict.proof_boot else "no proof boot"
    return ", ".join(part for part in (verdict.accel, verdict.seal and f"seal {verdict.seal}", proof) if part)


def package_marks(change: PackageChange) -> list[str]:
    marks = ["security"] if change.security else []
    return [*marks, "NEW KERNEL"] if change.new_kernel else marks
