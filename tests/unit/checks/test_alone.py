"""A repaired boot judged by its own health, and what only a comparison could have told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from appliance.checks.alone import judge_alone
from appliance.checks.expected import render
from appliance.checks.verdict import assemble
from appliance.model.verdict import CheckResult, Facts, Outcome, Result, SiteCheck
from tests.unit.checks.test_compare import CONTROL

WELL = replace(CONTROL, kernel_errors=())


def judged(facts: Facts, before: Facts | None = None) -> dict[str, CheckResult]:
    return {c.name: c for c in judge_alone(facts, before)}


def test_a_healthy_boot_passes_and_says_what_was_not_tested() -> None:
    verdict = assemble(None, WELL, repaired=True, accel="KVM", seal="frozen", proof_boot=True)
    assert verdict.result is Result.PASS
    untested = {c.name: c.why for c in verdict.checks if c.outcome is Outcome.NOT_TESTED}
    assert list(untested) == ["services and ports as before"]
    assert "did not boot in the twin" in untested["services and ports as before"]
    assert verdict.headline == "PASS, judged by itself: there was no control boot to compare with"


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({"target_reached": False}, "boots to its default target", "does not come up"),
        ({"failed_units": ("ledger.service",)}, "no failed units", "ledger.service"),
        ({"half_configured": ("ledger iF",)}, "packages fully installed", "ledger iF"),
        ({"kernel_errors": ("EXT4-fs error (device dm-0): bad block",)}, "kernel errors", "EXT4-fs error"),
        (
            {"site_checks": (SiteCheck(name="stick/10", required=True, status=3),)},
            "required check stick/10",
            "status 3",
        ),
    ],
)
def test_each_absolute_demand_can_fail(changes: dict[str, object], name: str, why: str) -> None:
    facts = replace(WELL, **changes)
    check = judged(facts)[name]
    assert (check.outcome, why in check.why, bool(check.fix)) == (Outcome.WORSE, True, True)
    assert assemble(None, facts, repaired=True).result is Result.FAIL


def test_what_the_twin_cannot_vouch_for_is_not_held_against_the_copy() -> None:
    facts = replace(WELL, failed_units=("smartd.service",), kernel_errors=("ata1: failed command 0x17",))
    assert judged(facts)["no failed units"].outcome is Outcome.NOT_TESTED
    assert judged(facts)["kernel errors"].outcome is Outcome.NOT_TESTED
    before = replace(WELL, failed_units=("backup.service",))
    after = judged(replace(WELL, failed_units=("backup.service",)), before)
    assert after["no failed units"].outcome is Outcome.NOT_TESTED
    worse = judged(replace(WELL, failed_units=("backup.service", "nginx.service")), before)
    assert worse["no failed units"].outcome is Outcome.WORSE
    assert "backup" not in worse["no failed units"].why
    stalled = replace(WELL, kernel_errors=("watchdog: BUG: soft lockup - CPU#0 stuck for 26s!",))
    assert judged(stalled)["kernel errors"].outcome is Outcome.NOT_TESTED, "a busy host does this"
    drive = replace(WELL, kernel_errors=("I/O error, dev fd0, sector 0 op 0x0:(READ)",))
    assert judged(drive)["kernel errors"].outcome is Outcome.NOT_TESTED, "an empty drive is no damage"
    disk = replace(WELL, kernel_errors=("I/O error, dev vda, sector 4711 op 0x0:(READ)",))
    assert judged(disk)["kernel errors"].outcome is Outcome.WORSE
    assert judged(disk, disk)["kernel errors"].outcome is Outcome.NOT_TESTED, "not the repair's doing"


def test_a_copy_that_booted_before_is_compared_as_well() -> None:
    half = replace(WELL, half_configured=("ledger iU",))
    verdict = assemble(half, WELL, repaired=True)
    names = [c.name for c in verdict.checks]
    assert len(set(names)) == len(names)
    assert "service nginx" in names and "services and ports as before" not in names
    assert verdict.result is Result.PASS
    still = assemble(half, half, repaired=True)
    assert still.result is Result.FAIL, "what the repair was for is no longer excused by the control boot"
    gone = replace(WELL, active_services=tuple(s for s in WELL.active_services if "nginx" not in s))
    assert assemble(WELL, gone, repaired=True).result is Result.FAIL


def test_a_copy_that_never_came_up_fails_by_name() -> None:
    verdict = assemble(None, None, trouble=(("repaired boot", "It panics."),), repaired=True)
    assert verdict.result is Result.FAIL
    assert [(c.name, c.why) for c in verdict.checks] == [("repaired boot", "It panics.")]


def test_the_trial_asks_for_what_ran_in_the_repaired_twin() -> None:
    demands = render(WELL, judge_alone(WELL)).splitlines()
    assert "service ledger.service" in demands and "socket tcp:8377" in demands
