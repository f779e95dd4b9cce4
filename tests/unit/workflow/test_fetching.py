"""Without a cable and without a bundle nothing could be fetched: that is said before anything begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import Busy, CommandFailed, Refused
from appliance.host.run import Command, Effect, Output
from appliance.model.plan import PatchKind, PatchRequest, Plan, Request, Verb
from appliance.model.service_messages import OnStick
from appliance.model.wanted import AptSetup, InstalledPackage, Source
from appliance.workflow import catalogue, fetching
from appliance.workflow.bundle_check import Finding
from appliance.workflow.descent import descend
from appliance.workflow.fetching import NO_ADDRESS, can_fetch
from appliance.workflow.places import Places
from tests.unit.probe.test_ports import DHCP, NO_CABLE, ether
from tests.unit.workflow.test_rehearse_plan import machine

DPKG = InstalledPackage(name="dpkg", arch="amd64", version="1.21.22")
ARCHIVE = Source(file="/etc/apt/sources.list", uri="http://deb.debian.org/debian", suite="bookworm")
ONLINE = AptSetup(architecture="amd64", installed=(DPKG,), sources=(ARCHIVE,))
LOCAL = AptSetup(
    architecture="amd64",
    installed=(DPKG,),
    unknown=("The source file:/srv/mirror bookworm cannot be fetched from elsewhere.",),
)
UP = ether("eno1", "52:54:00:00:00:01", addr_info=DHCP)
NO_LEASE = ether("eno1", "52:54:00:00:00:01")
DARK = ether("eno1", "52:54:00:00:00:01", flags=NO_CABLE)
ALL = PatchRequest(kind=PatchKind.ALL)
FETCHED = [
    ALL,
    PatchRequest(kind=PatchKind.SECURITY),
    PatchRequest(kind=PatchKind.PACKAGES, packages=("nginx",)),
]


class Ports:
    """ip(8) on a machine whose ports are these from look to look; everything else is not there."""

    def __init__(self, *looks: dict[str, object] | Exception) -> None:
        self.looks = list(looks)
        self.asked = 0

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ
        if command.argv[:2] != ("ip", "-json"):
            raise CommandFailed(f"{command.argv[0]} could not be started: No such file or directory.")
        if "route" in command.argv:
            return Output(0, "[]")
        self.asked += 1
        now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(now, Exception):
            raise now
        return Output(0, json.dumps([now]))


def look(
    host: Ports,
    patch: PatchRequest = ALL,
    apt: AptSetup = ONLINE,
    stick: OnStick | None = None,
    uptime: float = 600.0,
) -> Finding:
    return can_fetch(host, patch, stick or OnStick(), lambda: apt, lambda: uptime)


def planned(host: Ports, folder: Path, patch: PatchRequest, setup: Callable[[str], AptSetup]) -> Plan:
    request = Request(verb=Verb.REHEARSE, patch=patch)
    places = Places(folder / "run", folder)
    return catalogue.build_plan(machine(), request, descend(machine(), None, ()), host, places, {}, setup)


@pytest.mark.parametrize("patch", FETCHED, ids=lambda patch: patch.kind.value)
def test_without_a_cable_the_pre_flight_refuses_and_names_every_way_on(
    tmp_path: Path, patch: PatchRequest
) -> None:
    asked: list[str] = []

    def setup(system: str) -> AptSetup:
        asked.append(system)
        return ONLINE

    with pytest.raises(Refused) as caught:
        planned(Ports(DARK), tmp_path, patch, setup)
    (said,) = caught.value.reasons
    assert said.startswith("No port here has a cable in")
    assert "plug one in" in said and "--bundle; the stick has none" in said and "`twinboot wanted`" in said
    assert asked == ["/dev/mapper/vg0-root"]


def test_a_bundle_that_lies_on_the_stick_is_named(tmp_path: Path) -> None:
    (tmp_path / "bundles/june").mkdir(parents=True)
    with pytest.raises(Refused, match="--bundle; the stick has june"):
        planned(Ports(DARK), tmp_path, ALL, lambda system: ONLINE)


def test_with_a_cable_and_an_address_it_is_planned(tmp_path: Path) -> None:
    made = planned(Ports(UP), tmp_path, ALL, lambda system: ONLINE)
    assert not any("No port" in warning for warning in made.warnings)


def test_a_cable_without_an_address_is_a_warning_since_one_may_come(tmp_path: Path) -> None:
    made = planned(Ports(NO_LEASE), tmp_path, ALL, lambda system: ONLINE)
    assert made.warnings[-1] == NO_ADDRESS


@pytest.mark.parametrize(
    "patch",
    [
        PatchRequest(kind=PatchKind.NOTHING),
        PatchRequest(kind=PatchKind.BY_HAND),
        PatchRequest(kind=PatchKind.SCRIPT, script="fix.sh"),
        PatchRequest(kind=PatchKind.ALL, bundle="june"),
    ],
    ids=lambda patch: patch.bundle or patch.kind.value,
)
def test_what_fetches_nothing_does_not_ask_for_a_cable(patch: PatchRequest) -> None:
    host = Ports(DARK)
    assert look(host, patch) == Finding()
    assert host.asked == 0


def test_a_system_whose_sources_lie_on_its_own_disks_needs_no_cable() -> None:
    assert look(Ports(DARK), apt=LOCAL) == Finding()


def test_a_system_that_cannot_be_read_now_has_sources_on_a_network(tmp_path: Path) -> None:
    def busy(system: str) -> AptSetup:
        raise Busy("A run is at work on the disks.")

    with pytest.raises(Refused, match="No port here has a cable in"):
        planned(Ports(DARK), tmp_path, ALL, busy)


def test_where_the_ports_cannot_be_read_the_twin_will_see() -> None:
    assert look(Ports(CommandFailed("ip could not be started."))) == Finding()


def test_right_after_the_start_a_port_has_the_time_to_find_its_cable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "LOOK", 0.0)
    host = Ports(DARK, DARK, UP)
    assert look(host, uptime=3.0) == Finding()
    assert host.asked == 3
    once = Ports(DARK, UP)
    assert look(once, uptime=fetching.SETTLED).reasons
    assert once.asked == 1
