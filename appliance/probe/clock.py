"""Whether the machine's clock can be right: what an installed system wrote last, it wrote before now.

An empty battery sets a clock back to the board's first day, and systemd then only to its own (systemd(1)).
"""

from __future__ import annotations

import time

from appliance.model.machine import Trouble
from appliance.probe import trouble
from appliance.probe.tree import Tree

WROTE = (
    "/var/lib/systemd/timesync/clock",
    "/var/lib/systemd/random-seed",
    "/var/lib/dpkg/status",
    "/var/log/wtmp",
    "/var/log/journal",
)
"""Touched while a system runs (systemd-timesyncd(8)), as it ends (systemd-random-seed(8)), or by a patch."""

SLACK = 86400.0
"""Seconds. A clock that keeps local time is read as if it were UTC here."""


def of_clock(tree: Tree, now: float) -> tuple[Trouble, ...]:
    """`now` is what the clock says, in seconds since 1970."""
    wrote = max(map(tree.touched, WROTE))
    return (trouble.clock_behind(_day(now), _day(wrote)),) if now + SLACK < wrote else ()


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
