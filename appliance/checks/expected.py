"""What the metal must show in its trial: one line per demand, for the confirm unit's sh.

target NAME · service NAME · socket PROTO:PORT · gateway ADDRESS · required CHECK decide;
mayfail UNIT lifts the rule that no unit may be failed; trial UNIT is looked at and told, since the twin could
not test it.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from appliance.checks.compare_services import is_plumbing
from appliance.checks.compare_sockets import FIRST_EPHEMERAL, split
from appliance.checks.leases import leased_gateways
from appliance.model.verdict import CheckResult, Facts, Outcome

_WORD = re.compile(r"[A-Za-z0-9@:._\\/-]+")
# They watch storage and hardware that the twin does not have, so the twin cannot vouch for them, and a slow
# machine makes some of them give up at boot without any harm.
ONLY_METAL = tuple(
    f"{name}.service"
    for name in (
        *("lvm2-monitor", "dm-event", "mdmonitor", "smartmontools", "smartd", "rasdaemon", "mcelog"),
        *("ipmievd", "ipmiutil_evt", "lm-sensors", "thermald", "irqbalance", "fwupd", "fwupd-refresh"),
    )
)


def render(
    patched: Facts,
    checks: tuple[CheckResult, ...],
    gateways: tuple[str, ...] = (),
    failed_before: tuple[str, ...] = (),
) -> str:
    """The expected file. `gateways` are those the old system reached (see `gateways`), `failed_before` the
    units that failed in its last boot on this metal (see `history`)."""
    lines = [("target", patched.target)]
    untested = {c.name for c in checks if c.outcome is Outcome.NOT_TESTED}
    for unit in patched.active_services:
        steady = not is_plumbing(unit) and unit not in (*patched.on_demand, *patched.seldom, *ONLY_METAL)
        if steady and f"service {unit.removesuffix('.service')}" not in untested:
            lines.append(("service", unit))
    lines += [("socket", port) for port in _steady_ports(patched)]
    lines += [("gateway", address) for address in gateways]
    lines += [("required", c.name) for c in patched.site_checks if c.required and _on_metal(c.name)]
    may = sorted({*patched.failed_units, *failed_before, *ONLY_METAL})
    lines += [("mayfail", unit) for unit in may]
    quiet = [u for u in patched.quiet_units if not is_plumbing(u)]
    lines += [("trial", unit) for unit in sorted({*quiet, *patched.failed_units})]
    return "".join(f"{word} {value}\n" for word, value in lines if _WORD.fullmatch(value))


def _on_metal(check: str) -> bool:
    """Checks from the stick are not there on the metal."""
    return not check.startswith("stick/")


def _steady_ports(facts: Facts) -> list[str]:
    """Ports that are the same at every boot. DHCP's client port belongs to the network, not to the patch."""
    ports = {split(socket)[0] for socket in facts.sockets} - {"udp:68", "udp:546"}
    numbered = ((p, p.partition(":")[2]) for p in ports)
    return sorted(p for p, number in numbered if number.isdigit() and int(number) < FIRST_EPHEMERAL)


def gateways(root: Path) -> tuple[str, ...]:
    """Default gateways the installed system had, from its own files (read-only mount at `root`).

    Static ones from /etc/network/interfaces and systemd-networkd, leased ones from the last DHCP lease.
    """
    found: list[str] = []
    interfaces = [root / "etc/network/interfaces", *sorted((root / "etc/network/interfaces.d").glob("*"))]
    for file in interfaces:
        found += re.findall(r"^\s*gateway\s+(\S+)", _read(file), re.M)
    for file in sorted((root / "etc/systemd/network").glob("*.network")):
        found += re.findall(r"^\s*Gateway\s*=\s*(\S+)", _read(file), re.M)
    found += leased_gateways(root)
    return tuple(dict.fromkeys(address for address in found if _is_ipv4(address)))


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace") if file.is_file() else ""
    except OSError:
        return ""
