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
    return max(0, _beside_state(group))


def _beside_state(group: VolumeGroup) -> int:
    kept = 0 if group.lv(state.NAME) is not None else state.SIZE
    return group.free_count * group.extent_size - kept


def needed_bytes(group: VolumeGroup, root: str) -> int:
    """What a rehearsal beside the linear volume `root` takes of the group, the state volume aside."""
    found = group.lv(root)
    return cover_bytes(found.size if found else 0, group.extent_size) + WITNESS + OVERLAYS * OVERLAY_LEAST


def lacking_bytes(group: VolumeGroup, root: str) -> int:
    """How much more the group must have free for that; 0 where it has enough."""
    return max(0, needed_bytes(group, root) - _beside_state(group))


def why_not(group: VolumeGroup, root: str) -> tuple[str, ...]:
    """What SnapshotStore.why_not says of the linear volume `root` of the probed `group`."""
    reasons = []
    if group.missing_pvs:
        reasons.append(f"The volume group {group.name} lacks {group.missing_pvs} of its physical volumes.")
    needed, free = needed_bytes(group, root), free_bytes(group)
    besides = WITNESS + OVERLAYS * OVERLAY_LEAST
    if free < needed:
        reasons.append(
            f"A rehearsal of {group.name}/{root} needs {needed >> 20} MiB free in the volume group: "
            f"{needed - besides >> 20} for a snapshot that can never fill, {besides >> 20} for what the twin "
            f"writes elsewhere. {free >> 20} MiB are free: retire volumes that are no longer wanted, or give "
            "the group more room."
        )
    return tuple(reasons)
