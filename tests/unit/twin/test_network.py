"""The proxy as the twin meets it: a real tinyproxy with our configuration, a real origin server behind it."""

from __future__ import annotations

import http.server
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import CommandFailed, Refused, TwinFailed
from appliance.host.run import Command, Output
from appliance.twin.network import APPLIANCE, PORT, Proxy, allow_list, plug_in, proxy_config, proxy_url
from tests.unit.twin.fake_guest import FakeAgent, guest


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"packages")

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def site() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture
def proxy(tmp_path: Path, site: int) -> Iterator[tuple[int, Proxy]]:
    """tinyproxy on a free port of this machine, letting `localhost:<site>` through."""
    port = _free_port()
    (tmp_path / "proxy.allow").write_text(allow_list((f"localhost:{site}",)))
    config = proxy_config(tmp_path, (443, site), listen="127.0.0.1", port=port, allow="127.0.0.1")
    (tmp_path / "proxy.conf").write_text(config)
    running = subprocess.Popen(["tinyproxy", "-d", "-c", str(tmp_path / "proxy.conf")])
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield port, Proxy(_NoHost(), tmp_path)
    running.terminate()
    running.wait(20)


class _NoHost:
    def run(self, command: Command) -> Output:
        raise AssertionError(f"no command was expected: {command}")


def _ask(port: int, request: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request.encode() + b"\r\n\r\n")
        connection.settimeout(20)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
            if b"packages" in part or request.startswith("CONNECT"):
                break
    return b"".join(parts).decode(errors="replace")


def test_what_is_on_the_list_gets_through(proxy: tuple[int, Proxy], site: int) -> None:
    port, _ = proxy
    answer = _ask(port, f"GET http://localhost:{site}/debian/ HTTP/1.0")
    assert "packages" in answer
    assert " 200 " in _ask(port, f"CONNECT localhost:{site} HTTP/1.0")


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://example.org/ HTTP/1.0",
        "GET http://localhost/ HTTP/1.0",
        "GET http://localhost.example.org:{site}/ HTTP/1.0",
        "GET http://localhost:{site}@example.org/ HTTP/1.0",
        "GET http://127.0.0.1:{site}/ HTTP/1.0",
        "GET http://xlocalhost:{site}/ HTTP/1.0",
        "CONNECT example.org:443 HTTP/1.0",
        "CONNECT localhost:443 HTTP/1.0",
        "CONNECT localhost:22 HTTP/1.0",
    ],
)
def test_everything_else_is_denied(proxy: tuple[int, Proxy], site: int, request_line: str) -> None:
    port, _ = proxy
    answer = _ask(port, request_line.replace("{site}", str(site)))
    assert " 403 " in answer.splitlines()[0], answer
    assert "packages" not in answer


def test_what_was_denied_is_told_once_each(proxy: tuple[int, Proxy]) -> None:
    port, running = proxy
    for _ in range(3):
        _ask(port, "GET http://telemetry.example.org/ping HTTP/1.0")
    _ask(port, "CONNECT backup.example.org:443 HTTP/1.0")
    denied = running.denied()
    assert len(denied) == 2
    assert "telemetry.example.org" in denied[0]
    assert "backup.example.org" in denied[1]


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b", ".*", "a|b", "-x", "a:0", "a:99999", "a:b", "a..b", "a\nb", "[::1]", "a:1:2"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(Refused):
        allow_list((host,))


@given(st.lists(st.text(max_size=30), max_size=5))
@settings(deadline=None)
def test_hostile_hosts_never_widen_the_list(hosts: list[str]) -> None:
    try:
        lines = allow_list(tuple(hosts)).splitlines()
    except Refused:
        return
    assert all(line.startswith("^") and line.endswith(("$)", "$")) for line in lines)
    assert all("*" not in line and " " not in line for line in lines)


class _Machine:
    """A Host that plays systemd: after `systemd-run` the port is open."""

    def __init__(self, opens: bool = True) -> None:
        self.opens, self.up, self.ran = opens, False, []

    def run(self, command: Command) -> Output:
        self.ran.append(command.argv)
        match command.argv[0]:
            case "systemd-run":
                self.up = self.opens
            case "systemctl":
                was, self.up = self.up, False
                if not was and 5 not in command.ok:
                    raise CommandFailed("Unit twinboot-proxy.service not loaded.")
            case "ss":
                return Output(0, f"LISTEN 0 1024 {APPLIANCE}:{PORT} 0.0.0.0:*\n" if self.up else "")
        return Output(0, "")


def test_started_only_on_the_bridge(tmp_path: Path) -> None:
    machine = _Machine()
    assert Proxy(machine, tmp_path).start(("deb.example.org", "mirror:8080")) == proxy_url()
    config = (tmp_path / "proxy.conf").read_text()
    assert f"Listen {APPLIANCE}" in config
    assert "ConnectPort 8080" in config
    assert config.count("FilterDefaultDeny Yes") == 1


def test_a_refused_list_starts_nothing(tmp_path: Path) -> None:
    machine = _Machine()
    with pytest.raises(Refused):
        Proxy(machine, tmp_path).start((".*",))
    assert not any(argv[0] == "systemd-run" for argv in machine.ran)


def test_a_proxy_that_does_not_listen_is_an_error(tmp_path: Path, monkeypatch) -> None:
    ticks = iter(range(0, 10_000, 10))
    monkeypatch.setattr("appliance.twin.network.time.monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr("appliance.twin.network.time.sleep", lambda _: None)
    with pytest.raises(TwinFailed, match="does not listen"):
        Proxy(_Machine(opens=False), tmp_path).start(("deb.example.org",))


def test_a_card_that_is_not_there_is_an_error() -> None:
    agent = FakeAgent(lambda argv, stdin: (1, b"", b"no card has the address\n"))
    with pytest.raises(TwinFailed, match="no card has the address"):
        plug_in(guest(agent), "02:00:00:00:00:01")
