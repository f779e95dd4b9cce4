"""A root shell on the twin's serial console, for a person: in this one boot of the twin and nowhere else.

Everything of it lies below /run, which is memory: the boot that is tested, and what is sealed, never had it.
"""

from __future__ import annotations

from appliance.errors import TwinFailed
from appliance.patching.base import Guest

FOLDER = "/run/twinboot/hands"
UNIT = "twinboot-hands.service"
LINE = "/dev/ttyS0"
ROWS, COLUMNS = 24, 80

ENVIRONMENT = (
    ("HOME", "/root"),
    ("USER", "root"),
    ("LOGNAME", "root"),
    ("TERM", "vt220"),
    ("LANG", "C.UTF-8"),
    ("HISTFILE", ""),  # bash keeps no history then (bash(1)): what is typed here is no change of the system
    ("LESSHISTFILE", "-"),
    ("NEEDRESTART_MODE", "l"),  # list, restart nothing: the twin is booted anew anyway
)

_START = f"""
[ -c {LINE} ] || {{ echo "it has no serial port" >&2; exit 1; }}
# Who waits for a password in emergency mode would take half of what is typed; it ends with the twin.
systemctl kill --signal=STOP emergency.service rescue.service 2>/dev/null
systemctl daemon-reload && systemctl start {UNIT} || exit 1
sleep 1
systemctl is-active --quiet {UNIT} || {{ echo "it ended at once" >&2; exit 1; }}
"""

_STOP = f"""
systemctl stop {UNIT} 2>/dev/null
rm -rf {FOLDER} /run/systemd/system/{UNIT}
systemctl daemon-reload
exit 0
"""


def unit(environment: tuple[tuple[str, str], ...]) -> str:
    """The unit (systemd.exec(5)): the serial port's own login gives way to it for as long as it is there."""
    lines = [f'Environment="{name}={value}"' for name, value in (*ENVIRONMENT, *environment)]
    return (
        "[Unit]\n"
        "Description=Twinboot: root shell for work by hand in this boot of the twin\n"
        "DefaultDependencies=no\n"
        "Conflicts=serial-getty@ttyS0.service shutdown.target\n"
        "After=serial-getty@ttyS0.service\n"
        "Before=shutdown.target\n"
        "\n"
        "[Service]\n" + "".join(f"{line}\n" for line in lines) + f"ExecStart=/bin/sh {FOLDER}/shell\n"
        # By force: a login or sulogin that has the port as its own would be waited for.
        "StandardInput=tty-force\n"
        "StandardOutput=tty\n"
        "StandardError=tty\n"
        f"TTYPath={LINE}\n"
        "TTYReset=yes\n"
        "Restart=always\n"
        "RestartSec=1\n"
        "SendSIGHUP=yes\n"
    )


def shell(words: tuple[str, ...]) -> str:
    """What the unit runs: `words`, then bash, or sh where there is none."""
    text = "".join(f"{word}\n" for word in words)
    return (
        f"stty rows {ROWS} cols {COLUMNS} 2>/dev/null\n"
        f"cat <<'END_OF_WORDS'\n{text}END_OF_WORDS\n"
        "cd /root 2>/dev/null || cd /\n"
        "if command -v bash >/dev/null; then exec bash --login; fi\n"
        "exec sh -i\n"
    )


def open_shell(guest: Guest, environment: tuple[tuple[str, str], ...], words: tuple[str, ...]) -> None:
    """Start it. Raises TwinFailed with the reason where the twin does not run it."""
    guest.exec(("mkdir", "-p", FOLDER, "/run/systemd/system"), timeout=60)
    guest.write_file(f"{FOLDER}/shell", shell(words).encode(), 0o700)
    guest.write_file(f"/run/systemd/system/{UNIT}", unit(environment).encode(), 0o644)
    said = guest.exec(("sh", "-c", _START), timeout=300)
    if said.status != 0:
        why = said.stderr.decode(errors="replace").strip() or f"status {said.status}"
        raise TwinFailed(f"No root shell could be opened on the twin's serial console: {why}.")


def close_shell(guest: Guest) -> None:
    """End it and all it left running; nothing happens where there is none."""
    guest.exec(("sh", "-c", _STOP), timeout=300)
