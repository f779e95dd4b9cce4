"""What lies on a volume, by its own bytes: `blkid -p -o export`."""

from __future__ import annotations

import re

import msgspec

from appliance.errors import DamagedData
from appliance.host.run import Command, read


class Content(msgspec.Struct, frozen=True, kw_only=True):
    fstype: str = ""
    uuid: str = ""
    label: str = ""


def blkid(devices: tuple[str, ...]) -> Command:
    """Low-level probing, past every cache. 2: nothing found, 8: two signatures contradict (blkid(8))."""
    return read("blkid", "--probe", "--output", "export", *devices, timeout=60, ok=frozenset({0, 2, 8}))


def parse_blkid(text: str) -> dict[str, Content]:
    """Contents by device path. Raises DamagedData for a line that is no assignment or has no device."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key, equals, value = line.partition("=")
        value = re.sub(r"\\(.)", r"\1", value)
        if key == "DEVNAME":
            current = found.setdefault(value, {})
        elif not equals or current is None:
            raise DamagedData(f"blkid's report, line {number}, is not understood.")
        else:
            current[key] = value
    return {
        device: Content(fstype=c.get("TYPE", ""), uuid=c.get("UUID", ""), label=c.get("LABEL", ""))
        for device, c in found.items()
    }
