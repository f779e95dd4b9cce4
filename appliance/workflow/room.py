"""How much a run writes where snapshots grow: estimated from request and machine before it begins.

On the careful side, for a person and for the 80 % mark; where it errs, steps/room.py pauses the twin at the
same mark. Every number says where it is from: *measured* was counted, *assumed* was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from appliance.model.machine import InstalledSystem, Machine, Packages
from appliance.model.plan import PatchKind, PatchRequest, Plan, RepairKind, Request, Verb
from appliance.volumes import choose

MIB = 1 << 20

BOOT = 64 * MIB
"""What a twin's boot writes to its root and its throw-away disk. Assumed: a small Debian 12 with its journal
in memory wrote 2 MiB of a snapshot (measured in the lab); a server has a journal and services that write."""

BOOT_DATA = 16 * MIB
"""What a boot writes to each data volume: its own journal and super block, and services. Assumed."""

EDITS = 16 * MIB
"""Our unit in the snapshot and the trial's edits; sealed, trial and proof share all else. Assumed."""

STAGED = 64 * MIB
"""Kernel and initrd copied to the throw-away /boot for the proof boot. Measured on a small Debian 12: 23 MiB;
assumed: a server's initrd is three times as large."""

INITRD = 128 * MIB
"""A new initrd in the throw-away /boot, and the one before it built anew. Assumed."""

UNPACKED = 3.65
"""Bytes on the disk for a byte of a .deb: Installed-Size against Size of all Debian 12 main (measured)."""

KERNEL = 400 * MIB
"""A kernel where none of the system's own is known: Installed-Size of Debian 12's linux-image (measured)."""

LISTS = 160 * MIB
"""`apt-get update`: the lists of Debian 12 main are 48 MiB (measured), apt's indexes as much again, twice
(assumed)."""

TYPICAL = 1536 * MIB
"""What is installed where the package database does not say: a server of some 500 packages. Assumed."""

SHARE = {PatchKind.ALL: 1 / 4, PatchKind.SECURITY: 3 / 16}
"""How much of what is installed, the kernel aside, is written anew. Of a Debian 12 of 790 packages half had
an update in its first three years, three quarters of those for security (measured); assumed: half is done."""

PACKAGE = 64 * MIB
"""A package chosen by name, with what comes with it; what it takes now, where that is more. Assumed."""

UNKNOWN = 512 * MIB
"""What a script, a person in the twin or a package transaction half done writes: nobody can know. Assumed."""

NO_TROUBLE_ELSEWHERE = frozenset(
    {"pool-data-full", "pool-metadata-full", "no-state-room", "boot-in-root", "btrfs-log"}
)
"""Troubles of the probe that are none where the copy lies elsewhere and nothing is ever promoted."""

SAID_ALREADY = frozenset({"pool-data-full", "pool-metadata-full", "missing-pv"})
"""Troubles of the probe that say the same."""

REPAIRS = {
    RepairKind.OLDER_KERNEL: 0,
    RepairKind.INITRD: INITRD,
    RepairKind.FSCK: BOOT,
    RepairKind.FINISH_PACKAGES: UNKNOWN,
    RepairKind.UNDO_PACKAGES: UNKNOWN,
    RepairKind.BY_HAND: UNKNOWN,
}


@dataclass(frozen=True)
class Known:
    """What is known beside the machine, in bytes: all .debs of the request's bundle, and what installed
    packages take by name, where somebody has looked."""

    bundle: int = 0
    packages: Mapping[str, int] = field(default_factory=dict)


NOTHING_KNOWN = Known()


def expected_bytes(system: InstalledSystem, request: Request, known: Known = NOTHING_KNOWN) -> int:
    """About how many bytes the run of `request` writes into the room for snapshots. Pure."""
    boots = 3 if request.verb is Verb.REHEARSE or request.watch else 2
    boot = BOOT + BOOT_DATA * len(system.data)
    return boots * boot + EDITS + STAGED + _change(system.packages, request, known)


def _change(packages: Packages, request: Request, known: Known) -> int:
    if request.repair is not None:
        return REPAIRS[request.repair]
    return _patch(packages, request.patch, known)


def _patch(packages: Packages, patch: PatchRequest, known: Known) -> int:
    if patch.kind is PatchKind.NOTHING:
        return 0
    if patch.kind in (PatchKind.SCRIPT, PatchKind.BY_HAND):
        return UNKNOWN
    whole, kernel = packages.bytes or TYPICAL, packages.kernel_bytes or KERNEL
    if patch.bundle:
        # The twin reads it from the stick. What is in it more than once, or not wanted, is not unpacked.
        return min(int(known.bundle * UNPACKED), whole + kernel) + INITRD
    if patch.kind is PatchKind.PACKAGES:
        own = [name for name in patch.packages if not name.startswith("linux-")]
        takes = (known.packages.get(name.partition("=")[0], 0) for name in own)
        unpacked, kernels = sum(max(PACKAGE, size) for size in takes), len(own) < len(patch.packages)
    else:
        unpacked, kernels = int(max(0, whole - kernel) * SHARE[patch.kind]), True
    unpacked = min(unpacked, whole) + (kernel if kernels else 0)
    # The .debs it comes in lie in the snapshot as well, until apt has cleaned up.
    return int(unpacked * (1 + 1 / UNPACKED)) + (INITRD if kernels else 0) + LISTS


def why_no_room(machine: Machine, system: InstalledSystem, expected: int) -> tuple[str, ...]:
    """Sentences where a run that writes `expected` bytes does not fit; none where no store fits at all, or
    where the probe has said why."""
    if choose.why_no_store(machine, system) or any(t.code in SAID_ALREADY for t in system.trouble):
        return ()
    return choose.why_no_room(machine, system, expected)


def with_room(plan: Plan, machine: Machine, expected: int) -> Plan:
    """`plan`, which is not refused, with what it needs and what there is."""
    there = choose.probed_room(machine, plan.system)
    return replace(plan, expected_bytes=expected, free_bytes=there.free, pool=there.pool)
