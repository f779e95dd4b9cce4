"""Which gateway a lease names, in each form that clients keep it; what is no lease names none."""

from __future__ import annotations

import base64
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.checks.leases import leased_gateways

RECORDED = Path(__file__).with_name("recorded")
HEAD = bytes(236) + b"\x63\x82\x53\x63"


def named(root: Path, raw: bytes, file: str = "var/lib/dhcpcd/enp0s16.lease") -> list[str]:
    at = root / file
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(raw)
    return list(leased_gateways(root))


def test_the_message_dhcpcd_keeps_as_it_came(tmp_path: Path) -> None:
    """Recorded on a lab machine, whose network has no router: with one, put where a server would."""
    raw = base64.b64decode((RECORDED / "dhcpcd.lease.b64").read_text())
    assert named(tmp_path, raw) == []
    mask = raw.index(b"\x01\x04\xff\xff\xff\x00", len(HEAD)) + 6
    routed = raw[:mask] + b"\x03\x04\x0a\x00\x02\x02" + raw[mask:]
    assert named(tmp_path, routed) == ["10.0.2.2"]
    for length in range(len(routed)):
        told = named(tmp_path, routed[:length])
        assert told == (["10.0.2.2"] if length >= mask + 6 else []), "cut off at any byte"


def test_routes_go_before_routers(tmp_path: Path) -> None:
    router, lan = b"\x03\x04\x0a\x00\x00\x01", b"\x08\x0a\x0a\x00\x00\x09"
    default = b"\x00\x0a\x00\x00\xfe"
    told = HEAD + router + bytes((121, len(lan + default))) + lan + default
    assert named(tmp_path, told + b"\xff") == ["10.0.0.254"]
    assert named(tmp_path, HEAD + router + bytes((121, len(lan))) + lan + b"\xff") == []
    assert named(tmp_path, HEAD + b"\x00\x00" + router + b"\xff") == ["10.0.0.1"], "after padding"
    assert named(tmp_path, HEAD + b"\xff" + router) == [], "nothing after the end"


def test_text_and_the_last_of_several(tmp_path: Path) -> None:
    text = b"lease {\n  option routers 10.0.0.1;\n}\nlease {\n  option routers 10.0.0.254;\n}\n"
    assert named(tmp_path, text, "var/lib/dhcp/dhclient.eth0.leases") == ["10.0.0.254"]
    manager = b"ADDRESS=10.1.0.5\nROUTER=10.1.0.1\n"
    assert named(tmp_path / "m", manager, "var/lib/NetworkManager/internal-x-eth0.lease") == ["10.1.0.1"]
    assert list(leased_gateways(tmp_path / "empty")) == []


@given(st.binary(max_size=60))
def test_hostile_options_end(tmp_path_factory, rest: bytes) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path_factory.mktemp("lease")
    assert all(address.count(".") == 3 for address in named(root, HEAD + rest))
