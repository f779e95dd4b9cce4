"""Ask UEFI firmware to show its own setup at the next start: OsIndications, UEFI specification 8.5.4.

systemctl(1) has --firmware-setup for this, but asks systemd-logind, which the appliance does not run.
"""

from __future__ import annotations

from pathlib import Path

from appliance.errors import Refused
from appliance.host.run import Command, Effect, Host

VARIABLES = Path("/sys/firmware/efi/efivars")
GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
TO_SETUP = 1
ATTRIBUTES = (7).to_bytes(4, "little")
"""Non-volatile, boot service access, run-time access."""


def _value(path: Path) -> int:
    """The number behind the four bytes of attributes; 0 where there is no such variable."""
    try:
        return int.from_bytes(path.read_bytes()[4:12], "little")
    except OSError:
        return 0


def ask_for_setup(host: Host, variables: Path = VARIABLES) -> None:
    """Set the one bit, keep the others. Raises Refused where the firmware does not offer it."""
    if not _value(variables / f"OsIndicationsSupported-{GUID}") & TO_SETUP:
        raise Refused(
            (
                "This machine's firmware does not take a request for its setup: restart, and press the key"
                " that its first screen names.",
            )
        )
    target = variables / f"OsIndications-{GUID}"
    content = ATTRIBUTES + (_value(target) | TO_SETUP).to_bytes(8, "little")
    # efivarfs takes a variable in one write; dd(1) with one block makes exactly one.
    argv = ("dd", f"of={target}", "bs=12", "count=1", "iflag=fullblock", "status=none")
    host.run(Command(argv, Effect.WRITE, timeout=30, stdin=content))
