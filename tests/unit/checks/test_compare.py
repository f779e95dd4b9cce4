"""Control boot against patched boot: each kind of difference, and what is no difference."""

from __future__ import annotations

import msgspec
import pytest

from appliance.checks.compare import Limits, compare
from appliance.checks.compare_services import is_plumbing
from appliance.checks.verdict import assemble
from appliance.model.verdict import CheckResult, Facts, Outcome, Result, SiteCheck

GIB = 1 << 30
CONTROL = Facts(
    target="multi-user.target",
    target_reached=True,
    kernel="6.1.0-49-amd64",
    root="/dev/mapper/vg0-root",
    command_line="ro",
    boot_seconds=30,
    active_services=("ledger.service", "nginx.service", "ssh.service", "systemd-logind.service"),
    sockets=("tcp:22 0.0.0.0 sshd", "tcp:80 0.0.0.0 nginx", "tcp:8377 127.0.0.1 ledger"),
    mounts=("/ ext4 /dev/mapper/vg0-root", "/srv ext4 /dev/mapper/vg0-srv"),
    disk_free=(("/", 10 * GIB), ("/srv", GIB)),
    kernel_errors=("ata1: failed command 0x17",),
    packages=(("ledger", "1.0"),),
)


def after(**changes: object) -> dict[str, CheckResult]:
    checks = compare(CONTROL, msgspec.structs.replace(CONTROL, **changes))
    assert len({c.name for c in checks}) == len(checks), "every check has a name of its own"
    for check in checks:
        assert (check.outcome is Outcome.SAME) == (check.why == ""), check
    return {c.name: c for c in checks}


def with_control(control: Facts, patched: Facts) -> dict[str, CheckResult]:
    return {c.name: c for c in compare(control, patched)}


def worse(checks: dict[str, CheckResult]) -> set[str]:
    return {name for name, c in checks.items() if c.outcome is Outcome.WORSE}


def test_nothing_changed_is_all_the_same() -> None:
    checks = after()
    assert {c.outcome for c in checks.values()} == {Outcome.SAME}
    assert "service systemd-logind" in checks and len(checks) >= 12


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"target_reached": False, "starting": ("slow.service",)},
         "boots to its default target", "slow.service"),
        ({"target": "rescue.target"}, "boots to its default target", "changed the target"),
        ({"failed_units": ("nginx.service",), "active_services": ("ledger.service", "ssh.service")},
         "service nginx", "fails after the patch"),
        ({"failed_units": ("new.service",)}, "service new", "fails after the patch"),
        ({"failed_units": ("systemd-remount-fs.service",)}, "service systemd-remount-fs", "fails"),
        ({"active_services": ("nginx.service", "ssh.service")}, "service ledger", "not started"),
        ({"active_services": ("nginx.service", "ssh.service"), "starting": ("ledger.service",)},
         "service ledger", "still starting"),
        ({"restarts": (("ledger.service", 4),)}, "service ledger", "started again"),
        ({"failed_units": ("srv.mount",)}, "failed units other than services", "srv.mount"),
        ({"sockets": CONTROL.sockets[1:]}, "socket tcp:22", "sshd listened here"),
        ({"sockets": ("tcp:22 127.0.0.1 sshd", *CONTROL.sockets[1:])}, "socket tcp:22", "listened here"),
        ({"mounts": CONTROL.mounts[:1]}, "file systems mounted", "/srv"),
        ({"half_configured": ("ledger iF",)}, "packages fully installed", "ledger iF"),
        ({"kernel_errors": ("ata1: failed command 0x17", "EXT4-fs error (dm-1)")}, "kernel errors", "EXT4"),
        ({"kernel_errors": ("odd notice",)}, "kernel errors", "odd notice"),
        ({"kernel": "6.1.0-51", "kernel_errors": ("BUG: unable to handle",)}, "kernel errors", "BUG"),
        ({"boot_seconds": 151.0}, "time to the default target", "longer"),
        ({"disk_free": (("/", GIB - 1), ("/srv", GIB))}, "free space on /", "more is used"),
        ({"disk_free": (("/", 10 * GIB), ("/srv", GIB // 2 - 1))}, "free space on /srv", "more is used"),
        ({"site_checks": (SiteCheck(name="x", required=True, status=1, output="a\nboom"),)},
         "required check x", "boom"),
    ],
)  # fmt: skip
def test_each_harm_is_worse_and_named(changes: dict[str, object], name: str, words: str) -> None:
    checks = after(**changes)
    assert name in worse(checks), checks.get(name)
    assert words in checks[name].why
    assert checks[name].fix


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_seconds": 149.0},
        {"kernel_errors": ("ata1: failed command 0x3f",)},
        {"kernel_errors": ()},
        {"kernel": "6.1.0-51-amd64"},
        {"disk_free": (("/", 6 * GIB), ("/srv", GIB))},
        {"active_services": (*CONTROL.active_services, "fresh.service")},
        {"active_services": (*CONTROL.active_services, "user@0.service", "getty@tty1.service")},
        {"sockets": (*CONTROL.sockets, "udp:41234 0.0.0.0 named")},
        {"mounts": (*CONTROL.mounts, "/extra ext4 /dev/x")},
        {"packages": (("ledger", "1.1"),)},
    ],
)
def test_what_is_no_harm_is_not_worse(changes: dict[str, object]) -> None:
    assert worse(after(**changes)) == set()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sockets": (*CONTROL.sockets, "tcp:9999 0.0.0.0 surprise")}, "socket tcp:9999"),
        ({"kernel": "6.1.0-51-amd64", "kernel_errors": ("RETBleed: WARNING",)}, "kernel errors"),
        ({"quiet_units": ("cron.service",)}, "service cron"),
    ],
)
def test_what_has_nothing_to_compare_with_is_not_tested(changes: dict[str, object], name: str) -> None:
    checks = after(**changes)
    assert checks[name].outcome is Outcome.NOT_TESTED
    assert worse(checks) == set()


STALLS = (
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "rcu: \t0-...!: (1 ticks this GP) idle=004c/0/0x1 softirq=108/108 fqs=0",
    "rcu: rcu_preempt kthread timer wakeup didn't happen for 7189 jiffies! g-1195 f0x0 RCU_GP_WAIT_FQS(5)",
    "rcu: Stack dump where RCU GP kthread last ran:",
)


@pytest.mark.parametrize("changes", [{"boot_seconds": 542.0}, {"kernel_errors": STALLS}])
def test_a_slow_twin_waits_for_its_host_and_a_fast_one_does_not(changes: dict[str, object]) -> None:
    patched = msgspec.structs.replace(CONTROL, **changes)
    slow = {c.outcome for c in compare(CONTROL, patched, Limits(slow_twin=True))}
    assert slow == {Outcome.SAME, Outcome.NOT_TESTED}
    assert worse({c.name: c for c in compare(CONTROL, patched)}) != set()


def test_a_slow_twin_hides_no_other_complaint() -> None:
    patched = msgspec.structs.replace(CONTROL, kernel_errors=(*STALLS, "EXT4-fs error (dm-1)"))
    (check,) = (c for c in compare(CONTROL, patched, Limits(slow_twin=True)) if c.name == "kernel errors")
    assert (check.outcome, check.why) == (Outcome.WORSE, "The kernel complains anew: EXT4-fs error (dm-1)")


def test_what_is_bad_in_both_boots_is_not_tested() -> None:
    bad = msgspec.structs.replace(
        CONTROL,
        target_reached=False,
        failed_units=("ledger.service", "srv.mount"),
        active_services=("nginx.service",),
        half_configured=("ledger iF",),
        site_checks=(SiteCheck(name="net", required=True, status=1),),
        restarts=(("nginx.service", 3),),
    )
    checks = with_control(bad, bad)
    assert worse(checks) == set()
    for name in (
        "boots to its default target",
        "service ledger",
        "service nginx",
        "failed units other than services",
        "packages fully installed",
        "required check net",
    ):
        assert checks[name].outcome is Outcome.NOT_TESTED, name
    assert assemble(bad, bad).result is Result.PASS


def test_a_service_that_was_broken_and_works_is_the_same() -> None:
    control = msgspec.structs.replace(
        CONTROL, failed_units=("ledger.service",), active_services=("nginx.service", "ssh.service")
    )
    assert with_control(control, CONTROL)["service ledger"].outcome is Outcome.SAME


def test_a_service_started_on_demand_need_not_run() -> None:
    control = msgspec.structs.replace(
        CONTROL, active_services=(*CONTROL.active_services, "polkit.service"), on_demand=("polkit.service",)
    )
    assert with_control(control, CONTROL)["service polkit"].outcome is Outcome.NOT_TESTED


def test_what_runs_in_the_first_boot_after_an_update_need_not_run_in_the_next() -> None:
    """Debian 13's ldconfig.service has ConditionNeedsUpdate=/etc: the control boot has done its work."""
    services = (*CONTROL.active_services, "ldconfig.service")
    control = msgspec.structs.replace(CONTROL, active_services=services, seldom=("ldconfig.service",))
    assert worse(with_control(control, CONTROL)) == set()
    failed = msgspec.structs.replace(CONTROL, failed_units=("ldconfig.service",))
    assert worse(with_control(control, failed)) == {"service ldconfig"}


def test_a_port_the_kernel_picks_may_be_another_one() -> None:
    control = msgspec.structs.replace(CONTROL, sockets=("tcp:40001 0.0.0.0 rpc.statd",))
    moved = msgspec.structs.replace(CONTROL, sockets=("tcp:50002 0.0.0.0 rpc.statd",))
    assert worse(with_control(control, moved)) == set()
    assert worse(with_control(control, msgspec.structs.replace(CONTROL, sockets=()))) == {
        "socket tcp:*rpc.statd"
    }


def test_wanted_checks_are_told_but_do_not_fail_the_verdict() -> None:
    patched = msgspec.structs.replace(
        CONTROL, site_checks=(SiteCheck(name="wanted.d/x", required=False, status=124),)
    )
    verdict = assemble(CONTROL, patched)
    assert verdict.result is Result.PASS
    assert "1 worse" in verdict.headline
    assert "took too long" in verdict.checks[-1].after


def test_the_headline_counts_services() -> None:
    control = msgspec.structs.replace(CONTROL, quiet_units=("atd.service", "cron.service"))
    assert assemble(control, control).headline == "PASS, 4 of 6 services could be tested"


def test_trouble_outside_the_boots_fails_the_verdict() -> None:
    verdict = assemble(CONTROL, CONTROL, trouble=(("proof boot", "It did not come up."),))
    assert verdict.result is Result.FAIL and verdict.checks[0].name == "proof boot"


@pytest.mark.parametrize("name", ["package manager", "patched boot", "proof boot", "something else"])
def test_trouble_outside_the_boots_says_what_to_do(name: str) -> None:
    verdict = assemble(CONTROL, CONTROL, trouble=((name, "it ended badly"),))
    assert [(c.name, c.why) for c in verdict.checks if c.outcome is Outcome.WORSE] == [
        (name, "it ended badly")
    ]
    assert all(c.fix.endswith(".") for c in verdict.checks if c.outcome is Outcome.WORSE)


def test_a_patched_boot_that_never_came_up_fails() -> None:
    verdict = assemble(CONTROL, None)
    assert verdict.result is Result.FAIL and verdict.patched is None
    assert "did not come up" in verdict.checks[0].why


def test_limits_can_be_set() -> None:
    patched = msgspec.structs.replace(CONTROL, boot_seconds=40)
    limits = Limits(boot_factor=1.1, boot_slack=1)
    assert [c.name for c in compare(CONTROL, patched, limits) if c.outcome is Outcome.WORSE] == [
        "time to the default target"
    ]


@pytest.mark.parametrize("unit", ["nginx.service", "systemd-networkd.service", "postgresql@15-main.service"])
def test_real_services_are_no_plumbing(unit: str) -> None:
    assert not is_plumbing(unit)


@pytest.mark.parametrize(
    "unit", ["systemd-sysctl.service", "user@0.service", "getty@tty1.service", "twinboot-agent.service"]
)
def test_plumbing(unit: str) -> None:
    assert is_plumbing(unit)


FSCK = "systemd-fsck-root.service"


def test_plumbing_that_had_nothing_to_do_after_the_patch_is_passed_over() -> None:
    """An initrd made in the twin looks at the root itself (systemd-fsck@.service(8))."""
    control = msgspec.structs.replace(CONTROL, active_services=(*CONTROL.active_services, FSCK))
    assert "service systemd-fsck-root" not in with_control(control, CONTROL)


def test_plumbing_that_fails_after_the_patch_is_told() -> None:
    control = msgspec.structs.replace(CONTROL, active_services=(*CONTROL.active_services, FSCK))
    assert worse(with_control(control, msgspec.structs.replace(CONTROL, failed_units=(FSCK,)))) == {
        "service systemd-fsck-root"
    }


@pytest.mark.parametrize("change", ["restarts", "failed_units"])
def test_our_own_agent_is_no_service_of_the_machine(change: str) -> None:
    """On a slow machine it may be started again before its channel is there: no doing of the patch."""
    running = msgspec.structs.replace(
        CONTROL, active_services=(*CONTROL.active_services, "twinboot-agent.service")
    )
    was = {"restarts": (("twinboot-agent.service", 1),), "failed_units": ("twinboot-agent.service",)}[change]
    checks = with_control(running, msgspec.structs.replace(running, **{change: was}))
    assert "service twinboot-agent" not in checks
    assert {c.outcome for c in checks.values()} == {Outcome.SAME}
