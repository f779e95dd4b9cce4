"""What a booted system says of itself, and what comparing two of them says of a patch."""

from __future__ import annotations

import enum

import msgspec

from appliance.model.metal import DeviceFate


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One boot as the fact collector saw it. Seconds and bytes; tuples are sorted.

    A socket reads "tcp:22 0.0.0.0 sshd", a mount "/srv ext4 /dev/mapper/vg0-srv", a half-configured package
    "ledger iF". `settled` is false where queued jobs had not ended at the limit; `starting` are services that
    were still being started then; `restarts` counts how often systemd restarted a service since the boot;
    `on_demand` are running services that no target wants (D-Bus or a socket started them); `seldom` are those
    that ran and start only in the first boot or in one after an update of /usr (ConditionNeedsUpdate=).
    """

    target: str
    target_reached: bool
    kernel: str
    root: str
    command_line: str
    boot_seconds: float
    failed_units: tuple[str, ...] = ()
    active_services: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    half_configured: tuple[str, ...] = ()
    kernel_errors: tuple[str, ...] = ()
    disk_free: tuple[tuple[str, int], ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    site_checks: tuple[SiteCheck, ...] = ()
    quiet_units: tuple[str, ...] = ()
    virtualisation: str = ""
    settled: bool = True
    starting: tuple[str, ...] = ()
    restarts: tuple[tuple[str, int], ...] = ()
    on_demand: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()


class SiteCheck(msgspec.Struct, frozen=True, kw_only=True):
    """An executable of the site: `required` ones must pass, others may fail."""

    name: str
    required: bool
    status: int
    output: str = ""


AGENT_UNIT = "twinboot-agent.service"
"""Our hand in the twin: no service of the machine, gone before the seal, and never judged."""


class Outcome(enum.Enum):
    WORSE = "worse"
    SAME = "same"
    NOT_TESTED = "NOT TESTED"


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One check, control boot against patched boot; `why` and `fix` only where it is not the same."""

    name: str
    outcome: Outcome
    before: str
    after: str
    limit: str = ""
    why: str = ""
    fix: str = ""


class PackageChange(msgspec.Struct, frozen=True, kw_only=True):
    """`before` is empty for a new package, `after` for a removed one."""

    name: str
    before: str
    after: str
    security: bool = False
    new_kernel: bool = False


class ChangeKind(enum.Enum):
    PACKAGE = "package"
    EXPECTED = "expected"
    UNEXPLAINED = "unexplained"


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """`act` is added, changed or removed."""

    path: str
    act: str
    kind: ChangeKind
    by: str = ""


class ConfigDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed inside one configuration file, as a unified diff; `hidden` counts secrets left out of it.

    `act` is added, changed, removed, or kept: the site's own version stayed and is compared with the new one
    beside it. `note` says why there is no diff, or not all of it.
    """

    path: str
    act: str
    text: str
    hidden: int = 0
    note: str = ""


class DataWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A data volume the patch wrote to: a migration makes the way back a lie. `bytes` counts new blocks."""

    target: str
    bytes: int
    paths: tuple[str, ...] = ()


class Result(enum.Enum):
    PASS = "PASS"
    FAIL = "FAIL"


NOT_REHEARSED = "boot loader and initrd NOT rehearsed"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a rehearsal; `accel` is KVM or emulated, `seal` is frozen or crash-consistent.

    `rehearsed_only`: where the copy lay that was thrown away, empty where one was kept; `ways` are sentences
    on how to make room for one that can be kept. `devices` are the machine's own with a driver.
    on how to make room for one that can be kept. `direct`: the twin's kernel was started without its loader,
    and with drivers added to its initrd.
    """

    result: Result
    checks: tuple[CheckResult, ...]
    packages: tuple[PackageChange, ...] = ()
    files: tuple[FileChange, ...] = ()
    data_writes: tuple[DataWrite, ...] = ()
    kept_conffiles: tuple[str, ...] = ()
    configs: tuple[ConfigDiff, ...] = ()
    not_applied: tuple[str, ...] = ()
    accel: str = ""
    seal: str = ""
    proof_boot: bool = False
    control: Facts | None = None
    patched: Facts | None = None
    rehearsed_only: str = ""
    ways: tuple[str, ...] = ()
    devices: tuple[DeviceFate, ...] = ()
    direct: bool = False

    @property
    def thrown_away(self) -> str:
        """What became of the copy, as a sentence; empty where it was kept."""
        if not self.rehearsed_only:
            return ""
        return f"The copy lay on {self.rehearsed_only} and is thrown away: there is nothing to promote."

    @property
    def headline(self) -> str:
        """E.g. "PASS, 9 of 14 services could be tested"."""
        result = f"{self.result.value}, REHEARSED ONLY" if self.rehearsed_only else self.result.value
        result += f", {NOT_REHEARSED}" if self.direct else ""
        if self.control is None and self.patched is not None:
            return f"{result}, judged by itself: there was no control boot to compare with"
        services = [c for c in self.checks if c.name.startswith("service ")]
        tested = [c for c in services if c.outcome is not Outcome.NOT_TESTED]
        worse = sum(c.outcome is Outcome.WORSE for c in self.checks)
        tail = f"{len(tested)} of {len(services)} services could be tested"
        return f"{result}, {worse} worse, {tail}" if worse else f"{result}, {tail}"
