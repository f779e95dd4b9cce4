"""What a running installed system says of itself: the proof of what a machine booted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.console import Console
from tests.lab.native import LabError

QUESTIONS = (
    "findmnt -no SOURCE /; uname -r; cat /proc/cmdline; dpkg-query -W -f '${Version}\\n' ledger; "
    "curl -s -m 20 http://127.0.0.1:8377/ || echo unreachable; systemd-detect-virt; "
    "systemctl list-units --failed --plain --no-legend | cut -d' ' -f1 | paste -sd,; "
    "cat /proc/sys/kernel/random/boot_id"
)


@dataclass(frozen=True, slots=True)
class ProofOfBoot:
    """Root device, kernel release, kernel command line, ledger's package version and its answer over HTTP
    ("unreachable"), what systemd-detect-virt says, failed units, and the kernel's id of this boot.
    """

    root: str
    kernel: str
    cmdline: str
    ledger: str
    ledger_answer: str
    virtualisation: str
    failed_units: tuple[str, ...]
    boot_id: str


def prove(shell: Console, limit: float) -> ProofOfBoot:
    """Wait until all units of the logged-in system have started (`limit` seconds), then ask."""
    shell.run("systemctl is-system-running --wait", limit=limit)
    lines = shell.read(QUESTIONS, limit=300).splitlines()
    if len(lines) != 8:
        raise LabError("the system did not answer all questions:\n" + "\n".join(lines))
    failed = tuple(unit for unit in lines[6].split(",") if unit)
    for unit in failed:
        # pytest shows it where the test then fails; the machine is gone by then.
        print(shell.run(f"journalctl -b --no-pager -o short-monotonic -u '{unit}' | tail -n 30").text)
    return ProofOfBoot(*lines[:6], failed, lines[7])
