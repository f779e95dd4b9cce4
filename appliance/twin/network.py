"""The twin's way to its package sources: one proxy that lets a list through, and says what it denied.

tinyproxy(8) with FilterDefaultDeny, on the bridge's own address and nowhere else. The guest is given its
address per command; nothing in the guest is configured.
"""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, Refused, TwinFailed
from appliance.host.run import Host, read, write
from appliance.twin.console import clean
from appliance.twin.guest import Guest

APPLIANCE = "198.18.77.1"
TWIN = "198.18.77.2"
"""Both from the block for bench tests (RFC 2544), /30: no site uses it."""

PORT = 3128
UNIT = "twinboot-proxy.service"

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_DENIED = re.compile(r"refused on filtered (?:domain|url) \"([^\"]*)\"", re.IGNORECASE)


def proxy_url() -> str:
    return f"http://{APPLIANCE}:{PORT}"


def allow_list(hosts: tuple[str, ...]) -> str:
    """tinyproxy's filter for `hosts` ("name" or "name:port"): an expression per line, on whole URLs.

    A host without a port is let through on 80 and, for CONNECT, 443. Raises Refused for what is no host.
    """
    lines, wrong = [], []
    for host in sorted(set(hosts)):
        name, _, port = host.partition(":")
        if not _HOST.fullmatch(name) or ".." in name or (port and not _is_port(port)):
            wrong.append(f"{clean(host)!r} is no host that packages could come from.")
            continue
        exact = re.escape(name).replace("\\-", "-")
        if port:
            lines += [f"^http://{exact}:{port}(/|$)", f"^{exact}:{port}$"]
        else:
            lines += [f"^http://{exact}(:80)?(/|$)", f"^{exact}:443$"]
    if wrong:
        raise Refused(tuple(wrong))
    return "".join(f"{line}\n" for line in lines)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def proxy_config(
    folder: Path, ports: tuple[int, ...], listen: str = APPLIANCE, port: int = PORT, allow: str = TWIN,
    upstream: str = "",
) -> str:  # fmt: skip
    """tinyproxy.conf(5). `ports` may be reached by CONNECT; `upstream` is the site's own, "host:port"."""
    lines = [
        f"Port {port}",
        f"Listen {listen}",
        f"Allow {allow}",
        "Timeout 120",
        "MaxClients 20",
        f'LogFile "{folder}/proxy.log"',
        "LogLevel Connect",
        f'PidFile "{folder}/proxy.pid"',
        "DisableViaHeader Yes",
        f'Filter "{folder}/proxy.allow"',
        "FilterURLs On",
        "FilterType ere",
        "FilterCaseSensitive Off",
        "FilterDefaultDeny Yes",
        *(f"ConnectPort {number}" for number in sorted(set(ports))),
    ]
    lines += [f"Upstream http {upstream}"] if upstream else []
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy of one twin; its files are in `folder` (in memory)."""

    host: Host
    folder: Path

    def start(self, hosts: tuple[str, ...], upstream: str = "") -> str:
        """Start it, anew, for exactly `hosts`, and return its URL. Raises Refused, TwinFailed."""
        self.stop()
        allowed = allow_list(hosts)
        if upstream:
            allow_list((upstream,))  # the same shape: a host, perhaps with a port
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = (443, *(int(h.partition(":")[2]) for h in hosts if ":" in h))
        (self.folder / "proxy.allow").write_text(allowed)
        config = proxy_config(self.folder, ports, upstream=upstream)
        (self.folder / "proxy.conf").write_text(config)
        self.host.run(
            write("systemd-run", "--quiet", "--collect", f"--unit={UNIT}",
                  "--property=CapabilityBoundingSet=", "--property=NoNewPrivileges=yes",
                  "--property=ProtectSystem=strict", f"--property=ReadWritePaths={self.folder}",
                  "--property=PrivateDevices=yes", "tinyproxy", "-d", "-c",
                  str(self.folder / "proxy.conf"), timeout=60)
        )  # fmt: skip
        self._wait()
        return proxy_url()

    def _wait(self, limit: float = 60.0) -> None:
        end = time.monotonic() + limit
        while time.monotonic() < end:
            listening = self.host.run(read("ss", "-Hltn", f"sport = :{PORT}", timeout=30)).stdout
            if f"{APPLIANCE}:{PORT}" in listening:
                return
            time.sleep(0.5)
        raise TwinFailed(f"The twin's proxy does not listen on {APPLIANCE}:{PORT}.")

    def stop(self) -> None:
        """Stop it; nothing happens where it is not running."""
        # 5: no such unit (systemctl(1)).
        self.host.run(write("systemctl", "stop", UNIT, timeout=60, ok=frozenset({0, 5})))

    def denied(self) -> tuple[str, ...]:
        """What was asked for and not let through, each once, in the order of asking."""
        try:
            text = (self.folder / "proxy.log").read_text(errors="replace")
        except FileNotFoundError:
            return ()
        return tuple(dict.fromkeys(clean(found) for found in _DENIED.findall(text)))


def plug_in(guest: Guest, mac: str) -> None:
    """Give the twin's own card its address, for this boot only: nothing is written to its disk."""
    said = guest.exec(("sh", "-s"), stdin=_address_script(mac), timeout=120)
    if said.status != 0:
        raise TwinFailed(
            f"The twin's network card could not be set up: {clean(said.stderr.decode(errors='replace'))}"
        )


def _address_script(mac: str) -> bytes:
    address = ipaddress.ip_interface(f"{TWIN}/30")
    return (
        "set -eu\n"
        "for card in /sys/class/net/*; do\n"
        f'  [ "$(cat "$card/address")" = "{mac}" ] || continue\n'
        "  name=${card##*/}\n"
        '  ip link set "$name" up\n'
        f'  ip address replace {address} dev "$name"\n'
        "  exit 0\n"
        "done\n"
        'echo "no card has the address" >&2\n'
        "exit 1\n"
    ).encode()


def why_no_proxy(host: Host) -> tuple[str, ...]:
    """A sentence where the appliance has no tinyproxy; empty where it has."""
    try:
        host.run(read("tinyproxy", "-v", timeout=30))
    except CommandFailed as error:
        return (f"The appliance has no proxy for the twin: {error.what}",)
    return ()
