"""Control boot, patch, patched boot, verdict: real systemd, real apt, the lab's good and bad ledgers."""

from __future__ import annotations

import os

import pytest

from appliance.checks.collect import collect
from appliance.checks.expected import render
from appliance.checks.health import script
from appliance.checks.history import failed_before
from appliance.checks.verdict import assemble
from appliance.host.run import RealHost
from appliance.model.plan import PatchKind, PatchRequest
from appliance.model.verdict import Facts, Outcome, Result, Verdict
from appliance.patching.apt import Apt
from appliance.patching.base import Setting
from tests.lab.repository import Pool
from tests.lab.suite import BOOKWORM, TRIXIE
from tests.unit.patching.nspawn import PROXY, Container
from tests.unit.patching.offers import offer

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
ALL = PatchRequest(kind=PatchKind.ALL)
QUIET = "etc/systemd/system/cron.service.d/50-twinboot-quiet.conf"
SITE_CHECK = "#!/bin/sh\ncurl -sf localhost:8377 || { echo ledger does not answer; exit 1; }\n"


@pytest.fixture
def twin(guest: Container) -> Container:
    """The container as a rehearsal's twin: health.sh is in it, cron is quiet, the site has a check."""
    (guest.folder / "root/health.sh").write_bytes(script())
    for path, text, mode in (
        (QUIET, "[Unit]\nConditionPathExists=!/root/health.sh\n", 0o644),
        ("etc/greenboot/check/required.d/10-ledger.sh", SITE_CHECK, 0o755),
        ("etc/greenboot/check/wanted.d/20-never.sh", "#!/bin/sh\nexit 7\n", 0o755),
    ):
        file = guest.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.chmod(file, mode)
    guest.reboot()
    return guest


def facts(twin: Container) -> Facts:
    return collect(twin, "/root/health.sh", limit=60, grace=3).facts


def rehearse(twin: Container, pool: Pool, version: str) -> tuple[Verdict, Facts, Facts]:
    offer(pool, twin.served, pool.deb("ledger", version))
    control = facts(twin)
    apt = Apt(twin, Setting(proxy=PROXY, poll=0.2))
    apt.refresh(ALL, lambda _: None)
    applied = apt.apply(ALL, lambda _: None)
    twin.reboot()
    patched = facts(twin)
    trouble = (("patch finished", applied.failure),) if applied.failure else ()
    return assemble(control, patched, changes=applied.changes, trouble=trouble), control, patched


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict.checks}


@pytest.mark.parametrize("suite", (BOOKWORM, TRIXIE), ids=str)
def test_a_good_patch_passes_and_says_what_was_not_tested(twin: Container, pool: Pool) -> None:
    verdict, control, patched = rehearse(twin, pool, "1.1")
    found = outcomes(verdict)
    assert verdict.result is Result.PASS, [c for c in verdict.checks if c.outcome is Outcome.WORSE]
    assert found["service ledger"] is Outcome.SAME
    assert found["service nginx"] is Outcome.SAME
    assert found["service cron"] is Outcome.NOT_TESTED
    assert found["socket tcp:8377"] is Outcome.SAME
    assert found["required check required.d/10-ledger.sh"] is Outcome.SAME
    assert found["wanted check wanted.d/20-never.sh"] is Outcome.NOT_TESTED, "it fails in both boots"
    assert "services could be tested" in verdict.headline
    assert control.target_reached and control.settled and control.quiet_units == ("cron.service",)
    assert dict(patched.packages)["ledger"] == "1.1"
    assert control.disk_free and control.half_configured == ()

    expected = render(patched, verdict.checks, ("192.0.2.1",)).splitlines()
    for line in (
        f"target {patched.target}",
        "service ledger.service",
        "socket tcp:8377",
        "gateway 192.0.2.1",
        "required required.d/10-ledger.sh",
        "trial cron.service",
    ):
        assert line in expected
    assert "service cron.service" not in expected


def test_a_patch_whose_service_fails(twin: Container, pool: Pool) -> None:
    verdict, _, patched = rehearse(twin, pool, "1.2")
    found = outcomes(verdict)
    assert verdict.result is Result.FAIL
    assert found["service ledger"] is Outcome.WORSE
    assert found["socket tcp:8377"] is Outcome.WORSE
    assert found["required check required.d/10-ledger.sh"] is Outcome.WORSE
    check = next(c for c in verdict.checks if c.name.startswith("required check"))
    assert "ledger does not answer" in check.why
    assert "mayfail ledger.service" in render(patched, verdict.checks)
    assert failed_before(RealHost(), twin.folder) == ("ledger.service",), "its own journal says so too"


def test_a_patch_that_works_until_the_next_boot(twin: Container, pool: Pool) -> None:
    verdict, _, _ = rehearse(twin, pool, "1.3")
    assert verdict.result is Result.FAIL
    assert outcomes(verdict)["service ledger"] is Outcome.WORSE


def test_a_patch_that_leaves_a_half_configured_package(twin: Container, pool: Pool) -> None:
    verdict, _, patched = rehearse(twin, pool, "1.4")
    found = outcomes(verdict)
    assert verdict.result is Result.FAIL
    assert found["packages fully installed"] is Outcome.WORSE
    assert found["patch finished"] is Outcome.WORSE
    assert patched.half_configured == ("ledger iF",)


DYING = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=simple
ExecStartPre=
PIDFile=
ExecStart=
ExecStart=/bin/sh -c 'sleep 0.2; exit 1'
Restart=always
RestartSec=0.1
"""


def test_a_service_that_dies_and_is_started_again_is_seen(twin: Container) -> None:
    control = facts(twin)
    folder = twin.folder / "etc/systemd/system/nginx.service.d"
    folder.mkdir(parents=True)
    (folder / "bad.conf").write_text(DYING)
    twin.reboot()
    verdict = assemble(control, facts(twin))
    assert outcomes(verdict)["service nginx"] is Outcome.WORSE
