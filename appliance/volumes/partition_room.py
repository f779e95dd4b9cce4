"""How much room on its disk a run beside a root on a partition takes, and whether it is there. Pure."""

from __future__ import annotations

from appliance.model.disks import DOS, GPT
from appliance.model.free_parts import whole
from appliance.model.machine import Disk, Partition
from appliance.volumes.elsewhere import bytes_for
from appliance.volumes.mbr import COUNT
from appliance.volumes.partition_fs import COPIED
from appliance.volumes.state import NAME, SIZE
from appliance.volumes.table import MIB


def room_bytes(expected: int) -> int:
    """What the twins of a run that writes `expected` bytes get, in whole MiB."""
    return bytes_for(expected)


def copy_bytes(root: Partition) -> int:
    """What the copy takes: as much as the root's partition, and the MiB in front of it."""
    return whole(root.size) + MIB


def history_bytes(disk: Disk) -> int:
    """What the machine's history takes, where there is none yet."""
    return 0 if any(copy.name == NAME for copy in disk.copies) else SIZE + MIB


def needed_bytes(disk: Disk, root: Partition, expected: int) -> int:
    """All that a run which writes `expected` bytes takes of `disk`, in one piece."""
    return history_bytes(disk) + copy_bytes(root) + room_bytes(expected)


def why_never(disk: Disk, root: Partition) -> tuple[str, ...]:
    """Full sentences why no second root can stand on `disk`, whatever room there is."""
    reasons = []
    if root.fstype not in COPIED:
        reasons.append(
            f"The root on {root.path} is kept as {root.fstype or 'nothing known'}; a second one can be made "
            f"of {' or '.join(COPIED)} (yet)."
        )
    if disk.table not in (GPT, DOS):
        reasons.append(f"{disk.path} has no partition table that is known here.")
    if disk.table == DOS and root.number > COUNT:
        reasons.append(
            f"{root.path} is a logical partition, whose place in the chain no other can take (yet): "
            "a root on a primary partition, or on a disk with a GPT, can."
        )
    return tuple(reasons)


def why_not(disk: Disk, root: Partition, expected: int) -> tuple[str, ...]:
    """Full sentences why a run that writes `expected` bytes can not be kept on `disk`; empty where it can."""
    reasons = [*why_never(disk, root)]
    if disk.table not in (GPT, DOS):
        return tuple(reasons)
    if disk.moved is not None:
        return (
            *reasons,
            f"The partition that was named for {disk.moved.run} was moved onto it: until that is retired, "
            f"nothing more has room on {disk.path}.",
        )
    if disk.spare is None and disk.is_full:
        reasons.append(
            f"All four entries of the partition table of {disk.path} are taken: a second root needs one."
        )
    needed, free = needed_bytes(disk, root, expected), disk.clear.size
    if free < needed:
        history = history_bytes(disk) // MIB
        parts = [
            f"{copy_bytes(root) // MIB} for the copy",
            f"{room_bytes(expected) // MIB} for what the twin writes",
        ]
        parts += [f"{history} for the history"] if history else []
        reasons.append(
            f"A second root beside {root.path} needs {needed // MIB} MiB of {_where(disk)}: "
            f"{', '.join(parts)}. "
            f"{free // MIB} MiB are free{'' if disk.spare else ': make a partition smaller, or remove one'}."
        )
    return tuple(reasons)


def _where(disk: Disk) -> str:
    return disk.spare.path if disk.spare else f"{disk.path} in one piece that no partition takes"


def lacking_bytes(disk: Disk, root: Partition, expected: int) -> int:
    """How much more must be free in one piece; 0 where it is enough."""
    return max(0, needed_bytes(disk, root, expected) - disk.clear.size)
