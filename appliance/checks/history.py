"""What the installed system says of its own last boot on the metal, from its persistent journal."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from appliance.errors import CommandFailed
from appliance.host.run import Host, read

# SD_MESSAGE_UNIT_FAILURE_RESULT of systemd's sd-messages.h: "Failed with result ..."
_UNIT_FAILED = "MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c"
_UNIT = re.compile(r"[A-Za-z0-9@:._\\-]{1,256}\.[a-z]{1,16}")
MOST = 200


def failed_before(host: Host, root: Path) -> tuple[str, ...]:
    """Units that failed in the old system's last boot, sorted. `root` is its volume, mounted read-only.

    A unit that already failed on this metal must not be held against the patch. Empty where no journal was
    kept or it cannot be read: then nothing is excused.
    """
    folder = root / "var/log/journal"
    if folder.is_symlink() or not any(folder.glob("*/*.journal")):
        return ()
    options = ("--boot=0", "--output=json", "--output-fields=UNIT", "--quiet", "--no-pager")
    try:
        out = host.run(read("journalctl", f"--directory={folder}", *options, _UNIT_FAILED, timeout=120))
    except CommandFailed:
        return ()
    found = {_unit(line) for line in out.stdout.splitlines()}
    return tuple(sorted(unit for unit in found if _UNIT.fullmatch(unit))[:MOST])


def _unit(line: str) -> str:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return ""
    value = row.get("UNIT", "") if isinstance(row, dict) else ""
    return value if isinstance(value, str) else ""
