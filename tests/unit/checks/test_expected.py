"""What the metal must show, and where its gateway is known from."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.checks.compare import compare
from appliance.checks.expected import ONLY_METAL, gateways, render
from appliance.model.verdict import Facts, SiteCheck
from tests.unit.checks.test_compare import CONTROL

PATCHED = msgspec.structs.replace(
    CONTROL,
    active_services=(
        *(*CONTROL.active_services, "polkit.service", "getty@tty1.service", "ldconfig.service"),
    ),
    on_demand=("polkit.service",),
    seldom=("ldconfig.service",),
    failed_units=("old.service",),
    quiet_units=("cron.service",),
    sockets=(*CONTROL.sockets, "udp:68 0.0.0.0 dhclient", "udp:45000 0.0.0.0 named", "tcp:22 [::] sshd"),
    site_checks=(
        SiteCheck(name="required.d/a.sh", required=True, status=0),
        SiteCheck(name="wanted.d/b.sh", required=False, status=0),
        SiteCheck(name="stick/c.sh", required=True, status=0),
    ),
)
LEASES = "lease {\n  option routers 10.0.0.1;\n}\nlease {\n  option routers 10.0.0.254;\n}\n"
BEFORE = msgspec.structs.replace(PATCHED, sockets=CONTROL.sockets)


def test_every_line() -> None:
    lines = render(PATCHED, compare(BEFORE, PATCHED), ("192.0.2.1",), ("smoky.service",)).splitlines()
    assert "mayfail lvm2-monitor.service" in lines, "the twin has no thin pool to watch"
    assert [line for line in lines if line[8:] not in ONLY_METAL] == [
        "target multi-user.target",
        "service ledger.service",
        "service nginx.service",
        "service ssh.service",
        "service systemd-logind.service",
        "socket tcp:22",
        "socket tcp:80",
        "socket tcp:8377",
        "gateway 192.0.2.1",
        "required required.d/a.sh",
        "mayfail old.service",
        "mayfail smoky.service",
        "trial cron.service",
        "trial old.service",
    ]


@given(st.text(max_size=30))
def test_hostile_names_never_become_a_line(name: str) -> None:
    hostile = msgspec.structs.replace(PATCHED, active_services=(name,), failed_units=(name,), target=name)
    for line in render(hostile, (), (name,)).splitlines():
        assert len(line.split(" ")) == 2 and line.isascii() and line.isprintable()


def test_gateways_of_the_installed_system(tmp_path: Path) -> None:
    for path, text in {
        "etc/network/interfaces": "iface eth0 inet static\n  address 192.0.2.9/24\n  gateway 192.0.2.1\n",
        "etc/network/interfaces.d/more": "  gateway 2001:db8::1\n",
        "etc/systemd/network/10.network": "[Network]\nGateway=198.51.100.1\n",
        "var/lib/dhcp/dhclient.eth1.leases": LEASES,
        "var/lib/dhcp/dhclient6.leases": "lease6 {\n}\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert gateways(tmp_path) == ("192.0.2.1", "198.51.100.1", "10.0.0.254"), "the newest lease counts"
    assert gateways(tmp_path / "empty") == ()


def test_no_gateway_from_nonsense(tmp_path: Path) -> None:
    (tmp_path / "etc/network").mkdir(parents=True)
    (tmp_path / "etc/network/interfaces").write_bytes(b"gateway 999.1.1.1\n gateway ;reboot\n\xff\xfe")
    assert gateways(tmp_path) == ()


def test_facts_are_enough_for_an_empty_expectation() -> None:
    bare = Facts(
        target="t.target", target_reached=True, kernel="k", root="/", command_line="", boot_seconds=1
    )
    lines = render(bare, ()).splitlines()
    assert [line for line in lines if not line.startswith("mayfail ")] == ["target t.target"]
