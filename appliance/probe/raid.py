"""MD RAID as `mdadm --examine` of its members tells it. Nothing is assembled: one leg of a mirror says all.

Words and positions are those of mdadm's super1.c: the legs of a RAID 1 hold the same bytes, each from its own
"Data Offset" on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Host, read
from appliance.model.machine import Layer, LayerKind, Trouble
from appliance.probe import trouble_below
from appliance.probe.lsblk import BlockDevice, with_parts
from appliance.probe.mappings import BELOW, SECTOR

RECOVERING, RESHAPING, REPLACING = 0x2, 0x4, 0x10
JOURNALLED = 0x200
UNFINISHED = RECOVERING | RESHAPING | REPLACING
"""Bits of the feature map (md_p.h): work is under way in which the legs differ."""

AGAIN = 5
"""Times that the legs of an array at work are asked, a second apart: md counts on in one after the other."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One member's view of its array; `devices` is how many the array wants.

    `offset` and `size` are bytes: where the array's content begins in this member, how long it is in all.
    `role` is the leg it is, None for a spare. `here` are the roles it last saw at work.
    """

    path: str
    uuid: str
    name: str
    devices: int
    level: str = ""
    version: str = ""
    offset: int = 0
    size: int = 0
    role: int | None = None
    here: frozenset[int] = frozenset()
    clean: bool = False
    features: int = 0
    events: int = 0
    bad_blocks: bool = False


@dataclass(frozen=True, slots=True)
class Arrays:
    """Mirrors that can be read, and a sentence for each array that can not."""

    layers: tuple[Layer, ...] = ()
    trouble: tuple[Trouble, ...] = ()


def parse_examine(text: str, path: str = "") -> Member:
    """Raises DamagedData where the array's UUID or size is missing or a number is none."""
    fields = {k.strip(): v.strip() for k, colon, v in (line.partition(" : ") for line in text.splitlines())}
    uuid = fields.get("Array UUID") or fields.get("UUID", "").partition(" ")[0]
    if not uuid or "Raid Devices" not in fields:
        raise DamagedData("mdadm's report lacks the array's UUID or its number of devices.")
    role = re.fullmatch(r"Active device ([0-9]{1,4})", fields.get("Device Role", ""))
    seen = fields.get("Array State", "").partition(" ")[0]
    return Member(
        path=path,
        uuid=uuid,
        name=fields.get("Name", "").partition(" ")[0] or uuid,
        devices=_number(fields, "Raid Devices"),
        level=fields.get("Raid Level", ""),
        version=fields.get("Version", ""),
        offset=_number(fields, "Data Offset", 0) * SECTOR,
        size=_number(fields, "Array Size", 0) * 1024,
        role=int(role[1]) if role else None,
        here=frozenset(number for number, state in enumerate(seen) if state == "A"),
        clean=fields.get("State") == "clean" and fields.get("Checksum", "").endswith("correct"),
        features=_flags(fields.get("Feature Map", "0x0")),
        events=_number(fields, "Events", 0),
        bad_blocks="bad blocks present" in text,
    )


def _flags(text: str) -> int:
    if not re.fullmatch(r"0x[0-9a-f]{1,8}", text):
        raise DamagedData("mdadm's report: Feature Map is no number.")
    return int(text, 16)


def _number(fields: dict[str, str], key: str, otherwise: int | None = None) -> int:
    """The number that a field begins with."""
    if key not in fields and otherwise is not None:
        return otherwise
    found = re.match(r"([0-9]{1,18})(?![0-9])", fields.get(key, ""))
    if found is None:
        raise DamagedData(f"mdadm's report: {key} is no number.")
    return int(found[1])


def arrays(host: Host, devices: tuple[BlockDevice, ...], is_up: Callable[[str], bool]) -> Arrays:
    """The arrays on these disks. Of a mirror that lacks a leg, or whose legs may differ, nothing is read.

    `is_up`: whether an act of ours has it up for writing, by the path it is shown at.
    """
    members: dict[str, list[Member]] = {}
    for row in with_parts(devices):
        if row.fstype == "linux_raid_member":
            member = _examine(host, row.path)
            members.setdefault(member.uuid, []).append(member)
    layers: list[Layer] = []
    why: list[Trouble] = []
    for found in members.values():
        against = why_not(found)
        if against and is_up(path_of(found[0].uuid)):
            found, against = _at_work(host, found)
        why += against
        layers += [] if against else [_layer(found)]
    return Arrays(tuple(layers), tuple(why))


def _at_work(host: Host, found: list[Member]) -> tuple[list[Member], tuple[Trouble, ...]]:
    """Its members and what speaks against an array that is written to meanwhile: no leg says it is clean."""
    against: tuple[Trouble, ...] = ()
    for _ in range(AGAIN):
        found = [_examine(host, member.path) for member in found]
        if not (against := why_not(found, at_work=True)):
            break
        time.sleep(1)
    return found, against


def path_of(uuid: str) -> str:
    """Where what is on the array `uuid` is found while somebody looks at it."""
    return f"/dev/mapper/{BELOW}md-{uuid.replace(':', '')}"


def why_not(members: Sequence[Member], *, at_work: bool = False) -> tuple[Trouble, ...]:
    """What speaks against reading the array that these members make up; empty where it is a whole mirror.

    `at_work`: it is written to at this moment, which each of its legs may say.
    """
    newest = max(members, key=lambda member: member.events)
    known = all(m.version.startswith("1.") for m in members)
    mirror = known and not any(m.level != "raid1" or m.features & JOURNALLED for m in members)
    legs = [m for m in members if m.role is not None and m.events == newest.events]
    present = len({m.role for m in legs}) if known else len(members)
    if present < newest.devices:
        return (trouble_below.degraded_raid(newest.name, present, newest.devices),)
    same = len({(m.size, m.offset) for m in legs}) == 1 and len(legs) == newest.devices and newest.size
    if not mirror or not same:
        return (trouble_below.raid(newest.name),)
    # A leg that was thrown out still says what it saw last; the others say that it is missing.
    here = frozenset(range(newest.devices)).intersection(*(m.here for m in legs))
    if len(here) < newest.devices:
        return (trouble_below.degraded_raid(newest.name, len(here), newest.devices),)
    if any(m.features & UNFINISHED or not (m.clean or at_work) for m in legs):
        return (trouble_below.raid_not_settled(newest.name),)
    return (trouble_below.raid_bad_blocks(newest.name),) if any(m.bad_blocks for m in legs) else ()


def _layer(members: Sequence[Member]) -> Layer:
    legs = sorted((m for m in members if m.role is not None), key=lambda m: m.role or 0)
    first = legs[0]
    return Layer(
        kind=LayerKind.RAID1,
        path=path_of(first.uuid),
        uuid=first.uuid,
        name=first.name,
        below=tuple(m.path for m in legs),
        offset=first.offset,
        size=first.size,
    )


def _examine(host: Host, path: str) -> Member:
    """A member that can not be examined counts as an array of its own that nobody looked at."""
    try:
        return parse_examine(host.run(read("mdadm", "--examine", path, timeout=30)).stdout, path)
    except (CommandFailed, DamagedData):
        return Member(path=path, uuid=path, name=f"on {path}", devices=1)
