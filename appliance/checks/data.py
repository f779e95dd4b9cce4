"""What a rehearsal wrote to a data volume: a migration there makes the way back a lie."""

from __future__ import annotations

from pathlib import Path

from appliance.checks.walk import differences
from appliance.model.plain import plain
from appliance.model.verdict import DataWrite

MOST_PATHS = 50


def data_write(target: str, before: Path, after: Path) -> DataWrite | None:
    """None where nothing differs between two read-only mounts of the data volume at `target`.

    For the patch's own writes `before` is the state after the control boot: what the services themselves
    write at every boot is in it. `paths` are as the system sees them, the first fifty;
    `bytes` are those of all added and changed files.
    """
    found = [d for d in differences(before, after) if not (d.folder and d.act == "changed")]
    if not found:
        return None
    prefix = target.rstrip("/")
    marks = {"added": "+", "removed": "-", "changed": ""}
    paths = [f"{marks[d.act]}{plain(prefix + d.path)}" for d in found[:MOST_PATHS]]
    if len(found) > MOST_PATHS:
        paths.append(f"(and {len(found) - MOST_PATHS} more)")
    written = sum(d.bytes for d in found if d.act != "removed")
    return DataWrite(target=target, bytes=written, paths=tuple(paths))
