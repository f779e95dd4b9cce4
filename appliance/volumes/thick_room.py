"""How much room a run beside a thick root takes, and whether the probed volume group has it. Pure."""

from __future__ import annotations

from appliance.model.machine import VolumeGroup
from appliance.volumes import state
from appliance.volumes.cow import cover_bytes

WITNESS = 16 << 20
"""Bytes of the base snapshot's store. The installed system fills it soon after it runs again, and then it is
lost: it has said by then what it is for."""

OVERLAY_LEAST = 384 << 20
"""Bytes a throw-away volume gets at least: the twin's /boot takes a kernel and two initrds, its boots the
rest. Assumed (workflow/room.py)."""

OVERLAYS = 3
"""Throw-away volumes at one time: scratch of either twin, and the proof twin's root."""


def free_bytes(group: VolumeGroup) -> int:
    """What a run may take of the probed group: the state volume has its own room."""
    kept = 0 if group.lv(state.NAME) is not None else state.SIZE
    return max(0, group.free_count * group.extent_size - kept)


def why_not(group: VolumeGroup, root: str) -> tuple[str, ...]:
    """What SnapshotStore.why_not says of the linear volume `root` of the probed `group`."""
    reasons = []
    if group.missing_pvs:
        reasons.append(f"The volume group {group.name} lacks {group.missing_pvs} of its physical volumes.")
    found = group.lv(root)
    cover = cover_bytes(found.size if found else 0, group.extent_size)
    besides, free = WITNESS + OVERLAYS * OVERLAY_LEAST, free_bytes(group)
    if free < cover + besides:
        reasons.append(
            f"A rehearsal of {group.name}/{root} needs {cover + besides >> 20} MiB free in the volume group: "
            f"{cover >> 20} for a snapshot that can never fill, {besides >> 20} for what the twin writes "
            f"elsewhere. {free >> 20} MiB are free: retire volumes that are no longer wanted, or give the "
            "group more room."
        )
    return tuple(reasons)
