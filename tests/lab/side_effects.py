"""Things an installed system has yet to do: an `at` job, an overdue timer and a mail, each to happen once.

Each leaves a line with the kernel's boot id on the root volume, so that one done in a twin would be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.console import Console

SUBJECT = "Subject: the ledger is full"
PREPARE = f"""
mkdir -p /var/lib/done
echo 'cat /proc/sys/kernel/random/boot_id >> /var/lib/done/at' | at -q a now + 2 minutes 2>/dev/null
cat > /etc/systemd/system/nightly.service <<'END'
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/boot_id >> /var/lib/done/timer'
END
cat > /etc/systemd/system/nightly.timer <<'END'
[Timer]
OnCalendar=*-*-* 03:00:00
Persistent=true
[Install]
WantedBy=timers.target
END
systemctl enable -q nightly.timer
touch -d '3 days ago' /var/lib/systemd/timers/stamp-nightly.timer
systemctl stop nullmailer
printf '{SUBJECT}\\n\\nfull\\n' | sendmail ops@site
sync
"""


@dataclass(frozen=True, slots=True)
class Done:
    """The boot ids under which the job and the timer ran, oldest first."""

    at: tuple[str, ...]
    timer: tuple[str, ...]


def prepare(shell: Console) -> None:
    """Leave all three undone; the system is to be switched off at once."""
    for line in ("cat > /tmp/prepare <<'PREPARED'\n" + PREPARE + "PREPARED", "sh -e /tmp/prepare"):
        shell.read(line)


def done(shell: Console) -> Done:
    """What has been done so far."""
    said = {name: shell.run(f"cat /var/lib/done/{name} 2>/dev/null").text for name in ("at", "timer")}
    return Done(tuple(said["at"].split()), tuple(said["timer"].split()))
