"""ssh to the console, off until the operator turns it on: a password and a host key of this start alone.

sshd_config(5). Everything is below /run and in the layered /etc of memory: power-off forgets it. The login
starts the console and nothing else.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, Refused
from appliance.host.files import write_atomic
from appliance.host.run import Command, Effect, Host, read
from appliance.model.codec import from_json, to_json
from appliance.model.service_messages import SshState
from appliance.probe.ports import read_ports

UNIT = "twinboot-ssh.service"
USER = "root"
CONSOLE = "/opt/twinboot/bin/twinboot-console"
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without l, i, o, 0 and 1: the password is read off a screen."""

CONFIG = """\
Port {port}
{listen}
HostKey {folder}/host_ed25519
PidFile none
UsePAM no
AllowUsers {user}
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
PubkeyAuthentication no
HostbasedAuthentication no
AuthorizedKeysFile none
MaxAuthTries 3
LoginGraceTime 30
ClientAliveInterval 30
ClientAliveCountMax 4
UseDNS no
PrintMotd no
PrintLastLog no
DisableForwarding yes
PermitUserRC no
PermitUserEnvironment no
SetEnv LC_ALL=C.UTF-8
ForceCommand {console}
"""


def new_password() -> str:
    """Twelve letters in three groups, some 59 bits."""
    letters = "".join(secrets.choice(LETTERS) for _ in range(12))
    return "-".join(letters[at : at + 4] for at in (0, 4, 8))


def config(folder: Path, addresses: tuple[str, ...], port: int) -> str:
    """sshd_config(5), listening on exactly `addresses`: never on the bridge that the twin is plugged into."""
    listen = "\n".join(f"ListenAddress {address}" for address in addresses)
    return CONFIG.format(port=port, listen=listen, folder=folder, user=USER, console=CONSOLE)


@dataclass(frozen=True, slots=True)
class Ssh:
    """Commands are READ: they change the appliance's own memory, not the machine."""

    host: Host
    runtime: Path

    @property
    def folder(self) -> Path:
        return self.runtime / "ssh"

    def state(self) -> SshState:
        """What is on, as systemd says it: an engine that was started again still knows."""
        # 3: not active, 4: no such unit (systemctl(1)).
        said = self.host.run(read("systemctl", "is-active", UNIT, timeout=30, ok=frozenset({0, 3, 4})))
        path = self.folder / "state.json"
        if said.stdout.strip() not in ("active", "activating") or not path.exists():
            return SshState(on=False)
        state: SshState = from_json(path.read_bytes(), SshState, str(path))
        return state

    def turn_on(self) -> SshState:
        """A fresh key and password, then sshd. Raises Refused where no port has an address."""
        if (now := self.state()).on:
            return now
        addresses = tuple(
            address.partition("/")[0] for port in read_ports(self.host) for address in port.addresses
        )
        if not addresses:
            raise Refused(("No port of this appliance has an address: set the network first.",))
        try:
            state = self._start(addresses)
        except CommandFailed:
            self.turn_off()
            raise
        return state

    def _start(self, addresses: tuple[str, ...]) -> SshState:
        folder = self.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        key = str(folder / "host_ed25519")
        self.host.run(
            read("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "twinboot", "-f", key, timeout=60)
        )
        shown = self.host.run(read("ssh-keygen", "-l", "-f", f"{key}.pub", timeout=30)).stdout.split()
        password = new_password()
        state = SshState(
            on=True,
            user=USER,
            password=password,
            fingerprint=shown[1] if len(shown) > 1 else "",
            addresses=addresses,
        )
        write_atomic(folder / "sshd_config", config(folder, addresses, state.port).encode(), 0o600)
        write_atomic(folder / "state.json", to_json(state), 0o600)
        self._run("chpasswd", stdin=f"{USER}:{password}\n".encode())
        self._run("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "--property=RuntimeDirectory=sshd",
                  "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config"))  # fmt: skip
        return state

    def _run(self, *argv: str, stdin: bytes = b"") -> None:
        self.host.run(Command(argv, Effect.READ, timeout=60, stdin=stdin))

    def turn_off(self) -> SshState:
        """Stop it with every session, lock the account, forget key and password. Safe to repeat."""
        # 5: no such unit (systemctl(1)).
        self.host.run(read("systemctl", "stop", UNIT, timeout=60, ok=frozenset({0, 5})))
        self._run("passwd", "--lock", USER)
        shutil.rmtree(self.folder, ignore_errors=True)
        return SshState(on=False)
