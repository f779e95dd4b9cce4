"""ssh: nothing before it is turned on, a key and a password of its own then, nothing left after."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from appliance.errors import CommandFailed, Refused
from appliance.host.run import Command, Effect, Output, RealHost
from appliance.model.service_messages import SshState
from appliance.workflow.ssh import LETTERS, Ssh, config, new_password


def address(value: str) -> dict[str, object]:
    info = [{"family": "inet", "local": value, "prefixlen": 24, "scope": "global"}]
    return {"ifname": "eno1", "flags": ["UP", "LOWER_UP"], "link_type": "ether", "addr_info": info}


class Machine:
    """Makes real keys; keeps what else would run. `fails` names a program that fails."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.secret = b""
        self.active = False
        self.fails = ""
        self.links: list[dict[str, object]] = [address("192.0.2.10")]

    def run(self, command: Command) -> Output:
        assert command.effect is Effect.READ
        match command.argv[:2]:
            case ("ip", _):
                return Output(0, json.dumps(self.links) if "address" in command.argv else "[]")
            case ("ssh-keygen", _):
                return RealHost().run(command)
            case ("systemctl", "is-active"):
                return Output(0, "active\n") if self.active else Output(3, "inactive\n")
        self.ran.append(command.argv)
        if command.argv[0] == self.fails:
            raise CommandFailed(f"{command} ended with status 1: no")
        if command.argv[0] == "chpasswd":
            self.secret = command.stdin
        self.active = {"systemd-run": True, "systemctl": False}.get(command.argv[0], self.active)
        return Output(0, "")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def ssh(tmp_path: Path, machine: Machine) -> Ssh:
    return Ssh(machine, tmp_path)


def test_it_is_off_until_it_is_turned_on_and_then_says_all_one_needs(ssh: Ssh, machine: Machine) -> None:
    assert ssh.state() == SshState(on=False) and not ssh.folder.exists()
    state = ssh.turn_on()
    key = subprocess.run(
        ("ssh-keygen", "-l", "-f", ssh.folder / "host_ed25519.pub"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert state.fingerprint in key and state.fingerprint.startswith("SHA256:")
    assert (state.user, state.addresses, state.port) == ("root", ("192.0.2.10",), 22)
    assert machine.secret == f"root:{state.password}\n".encode()
    assert all(state.password not in " ".join(argv) for argv in machine.ran), "a log would keep it"
    assert machine.ran[-1][0] == "systemd-run" and "--unit=twinboot-ssh.service" in machine.ran[-1]
    for name in ("host_ed25519", "sshd_config", "state.json"):
        assert stat.S_IMODE((ssh.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(ssh.folder.stat().st_mode) == 0o700
    assert ssh.state() == state == Ssh(machine, ssh.runtime).turn_on(), "on already: the same"


def test_turned_off_nothing_is_left_and_the_next_time_is_another(ssh: Ssh, machine: Machine) -> None:
    first = ssh.turn_on()
    assert ssh.turn_off() == SshState(on=False) == ssh.state()
    assert not ssh.folder.exists()
    assert machine.ran[-2:] == [("systemctl", "stop", "twinboot-ssh.service"), ("passwd", "--lock", "root")]
    ssh.turn_off()
    again = ssh.turn_on()
    assert (again.password, again.fingerprint) != (first.password, first.fingerprint)
    assert again.fingerprint != first.fingerprint


def test_without_an_address_it_is_refused(ssh: Ssh, machine: Machine) -> None:
    machine.links = []
    with pytest.raises(Refused, match="set the network first"):
        ssh.turn_on()
    assert machine.ran == [] and not ssh.folder.exists()


@pytest.mark.parametrize("program", ["chpasswd", "systemd-run"])
def test_what_fails_half_way_leaves_no_open_account(ssh: Ssh, machine: Machine, program: str) -> None:
    machine.fails = program
    with pytest.raises(CommandFailed):
        ssh.turn_on()
    assert ("passwd", "--lock", "root") in machine.ran and not ssh.folder.exists()
    assert ssh.state().on is False


def test_the_configuration_lets_nothing_in_but_the_console(tmp_path: Path) -> None:
    lines = config(tmp_path, ("192.0.2.10", "2001:db8::5"), 22).splitlines()
    assert [row for row in lines if row.startswith("ListenAddress")] == [
        "ListenAddress 192.0.2.10", "ListenAddress 2001:db8::5",
    ]  # fmt: skip
    assert {
        "ForceCommand /opt/twinboot/bin/twinboot-console", "DisableForwarding yes", "AllowUsers root",
        "PubkeyAuthentication no", "PermitUserEnvironment no", "MaxAuthTries 3",
    } <= set(lines)  # fmt: skip
    assert not [row for row in lines if row.startswith("Subsystem")]


@pytest.mark.skipif(not shutil.which("/usr/sbin/sshd"), reason="needs openssh-server")
def test_sshd_itself_takes_the_configuration(tmp_path: Path) -> None:
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "host_ed25519"), check=True
    )
    (tmp_path / "c").write_text(config(tmp_path, ("127.0.0.1",), 22))
    subprocess.run(("/usr/sbin/sshd", "-t", "-f", tmp_path / "c"), check=True)


def test_passwords_are_read_off_a_screen_and_never_the_same() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert [len(part) for part in password.split("-")] == [4, 4, 4]
        assert set(password) <= {*LETTERS, "-"} and not set("lio01") & set(password)
