"""MD RAID, as `mdadm --examine --export` of the members tells it; nothing is assembled."""

from __future__ import annotations

import re

import msgspec

from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Host, read
from appliance.model.machine import Trouble
from appliance.probe import trouble
from appliance.probe.lsblk import BlockDevice


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member's view of its array; `devices` is how many the array wants."""

    uuid: str
    name: str
    devices: int


def parse_examine(text: str) -> Member:
    """Raises DamagedData where the array's UUID or size is missing."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    uuid, devices = fields.get("MD_UUID", ""), fields.get("MD_DEVICES", "")
    if not uuid or not re.fullmatch(r"[0-9]{1,4}", devices):
        raise DamagedData("mdadm's report lacks MD_UUID or MD_DEVICES.")
    return Member(uuid=uuid, name=fields.get("MD_NAME") or uuid, devices=int(devices))


def arrays(host: Host, devices: tuple[BlockDevice, ...]) -> tuple[Trouble, ...]:
    """One sentence for each array on these disks: degraded, or merely not looked at."""
    rows = [row for d in devices for row in (d, *d.children)]
    members: dict[str, list[Member]] = {}
    for row in rows:
        if row.fstype == "linux_raid_member":
            member = _examine(host, row.path)
            members.setdefault(member.uuid, []).append(member)
    return tuple(
        trouble.degraded_raid(found[0].name, len(found), found[0].devices)
        if len(found) < found[0].devices
        else trouble.raid(found[0].name)
        for found in members.values()
    )


def _examine(host: Host, path: str) -> Member:
    """A member that can not be examined counts as an array of its own that nobody looked at."""
    try:
        return parse_examine(host.run(read("mdadm", "--examine", "--export", path, timeout=30)).stdout)
    except (CommandFailed, DamagedData):
        return Member(uuid=path, name=f"on {path}", devices=1)
