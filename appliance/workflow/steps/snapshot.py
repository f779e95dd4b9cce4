"""Space, the first snapshots, and the proof that the origin was never written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.flip import bring_up
from appliance.errors import ApplianceError, OutOfSpace, Refused
from appliance.host.run import Host, read
from appliance.model.events import Line, StateChanged
from appliance.model.lineage import State
from appliance.model.machine import Disk, Firmware, LayerKind, Machine
from appliance.model.plan import FULL
from appliance.volumes.base import Snapshot, SnapshotRole, too_little_room
from appliance.volumes.state import NAME as STATE
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import Ground, OnGround
from appliance.workflow.steps.metal import why_not_booted
from appliance.workflow.steps.room import gauges_of
from appliance.workflow.steps.twins import WORK, scratch_bytes

BLOCK = 256 * 1024
ZEROS = bytes(BLOCK)
MIB = 1 << 20
LABEL = 4096
"""Bytes of a physical volume that LVM writes only when it is made or joins a group."""


@dataclass(frozen=True, slots=True)
class CheckSpace(OnGround):
    """The room as the storage itself says it, not as it was probed."""

    def do(self, ctx: Context) -> None:
        store = self.ground.store(ctx.host)
        room = store.headroom()
        for gauge in gauges_of(store.uses(self.ground.snapshot(SnapshotRole.WORK))):
            ctx.tell(gauge)
        if room.fullest >= FULL:
            raise OutOfSpace(
                f"The {room.kind} {room.pool} is {room.fullest:.0f} % full; the limit is {FULL:.0f} %."
            )
        expected = self.ground.whole.expected_bytes
        if expected > room.free_to_mark:
            raise OutOfSpace(too_little_room(room.pool, expected, room.free_to_mark, room.kind))


def take_evidence(host: Host, ground: Ground) -> dict[str, str]:
    """Hash /boot, the ESP, the disk's head, the header of an encrypted one and the boot variables (P1)."""
    found: dict[str, str] = {}
    system = ground.system
    if system.boot_volume is not None:
        bring_up(host, ground.boot_place())
    for part in (system.own_boot, system.esp):
        if part is not None:
            found[part.path] = sha256_of(Path(part.path), part.size)
    for disk in ground.machine.disks:
        size = head_of(ground.machine, disk)
        found[f"{disk.path} first {size >> 10} KiB"] = sha256_of(Path(disk.path), size)
    for layer in ground.encrypted:
        found[f"{layer.name} LUKS header"] = sha256_of(Path(layer.below[0]), layer.offset)
    if ground.machine.firmware is Firmware.UEFI:
        said = host.run(read("efibootmgr", "-v", timeout=30)).stdout
        lines = [li for li in said.splitlines() if li.startswith(("Boot0", "Boot1", "BootOrder", "BootNext"))]
        found["boot variables"] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        for variable in sorted(Path("/sys/firmware/efi/efivars").glob("*")):
            if variable.name.startswith(("db", "Mok", "PK", "KEK", "LoaderEntry", "LoaderConfig")):
                found[variable.name] = hashlib.sha256(variable.read_bytes()).hexdigest()
    return found | (sectors_written(ground) if ground.rehearses_only else {})


def head_of(machine: Machine, disk: Disk) -> int:
    """Bytes at the beginning of `disk` that no act of ours may change: where a PV begins there, LVM's own
    text of the volumes lies behind the label in its first 4 KiB (lvm2, lib/format_text/layout.h), and where
    a leg of a mirror begins, md counts in it."""
    pvs = {pv.path for group in machine.volume_groups for pv in group.pvs}
    legs = {path for layer in machine.layers if layer.kind is LayerKind.RAID1 for path in layer.below}
    return min([MIB, *(at + LABEL for at in _begins(disk, pvs)), *_begins(disk, legs)])


def _begins(disk: Disk, paths: set[str]) -> list[int]:
    """Where in bytes those of `paths` begin that lie on `disk` or are it."""
    return [0 for _ in paths & {disk.path}] + [p.start for p in disk.partitions if p.path in paths]


def sectors_written(ground: Ground, sys: Path = Path("/sys/block")) -> dict[str, str]:
    """What the kernel has written to and discarded on each disk since it started, in its own sectors.

    Documentation/block/stat.rst, fields 7 and 14. Not of the disk the copy lies on, and not where a history
    of ours is mounted: that is written to for itself.
    """
    if any(group.lv(STATE) is not None for group in ground.machine.groups):
        return {}
    copy = ground.machine.disk_of(ground.whole.request.store)
    found = {}
    for disk in ground.machine.disks:
        if disk is not copy:
            fields = (sys / disk.path.removeprefix("/dev/") / "stat").read_text().split()
            found[f"{disk.path}, sectors written"] = f"{fields[6]} {fields[13] if len(fields) > 13 else 0}"
    return found


def sha256_of(device: Path, size: int) -> str:
    """sha256 over place and content of every block of the first `size` bytes that is not all zeros.

    Leaving out zeros changes no verdict, as places are hashed too, and makes large empty partitions quick.
    """
    total = hashlib.sha256(size.to_bytes(8, "big"))
    with device.open("rb", buffering=0) as source:
        for at in range(0, size, BLOCK):
            block = source.read(min(BLOCK, size - at))
            if block != ZEROS[: len(block)]:
                total.update(at.to_bytes(8, "big"))
                total.update(block)
    return total.hexdigest()


@dataclass(frozen=True, slots=True)
class TakeEvidence(OnGround):
    def done(self, ctx: Context) -> bool:
        return self.ground.work.saved("evidence")

    def do(self, ctx: Context) -> None:
        self.ground.work.save("evidence", take_evidence(ctx.host, self.ground))

    def undo(self, ctx: Context) -> None:
        self.ground.work.forget("evidence")


@dataclass(frozen=True, slots=True)
class ProveUnchanged(OnGround):
    """Raises ApplianceError naming every region that differs: that would be a fault of ours."""

    def do(self, ctx: Context) -> None:
        before: dict[str, str] = self.ground.work.load("evidence", dict[str, str])
        after = take_evidence(ctx.host, self.ground)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        changed += self._written_origin(ctx)
        if changed:
            raise ApplianceError(
                f"These regions changed during the rehearsal: {', '.join(changed)}.",
                safe="The installed system still boots by its own loader; do not promote this run.",
                next_actions=("Export the log and report this fault.",),
            )
        ctx.tell(Line(source="run", text=f"unchanged: origin and {len(before)} regions, by sha256"))
        if not self.ground.rehearses_only:
            self.ground.store(ctx.host).release()

    def _written_origin(self, ctx: Context) -> list[str]:
        """A copy elsewhere reads the origin through what cannot write; the disks' own counts prove it."""
        if self.ground.rehearses_only:
            return []
        found = self.ground.changed(ctx.host)
        return [f"{origin} ({written.bytes} bytes)" for origin, written in found if written]


@dataclass(frozen=True, slots=True)
class TakeSnapshots(OnGround):
    """Base and work volumes of the volume set, one throw-away of every data volume, and the scratch volume.

    From the first of them on, a power cut leaves the installed system with snapshots: it must boot with them.
    """

    def done(self, ctx: Context) -> bool:
        return all(self.ground.copies(ctx.host).exists(s) for s in self._all())

    def _all(self) -> tuple[Snapshot, ...]:
        ground = self.ground
        return (
            *ground.whole_set(SnapshotRole.BASE),
            *ground.whole_set(SnapshotRole.WORK),
            *ground.data_snapshots(SnapshotRole.DATA_WORK),
            ground.snapshot(SnapshotRole.SCRATCH),
        )

    def do(self, ctx: Context) -> None:
        store, ground = self.ground.copies(ctx.host), self.ground
        if reasons := why_not_booted(ctx.host, ground):
            raise Refused(reasons)
        for each in (*ground.whole_set(SnapshotRole.BASE), *ground.whole_set(SnapshotRole.WORK)):
            store.create(each)
        for data in ground.data_snapshots(SnapshotRole.DATA_WORK):
            store.create(data)
        store.create(ground.snapshot(SnapshotRole.SCRATCH), scratch_bytes(ctx.host, ground, WORK))
        ctx.tell(StateChanged(state=State.SNAPPED))

    def undo(self, ctx: Context) -> None:
        store, ground = self.ground.copies(ctx.host), self.ground
        store.delete(ground.snapshot(SnapshotRole.SCRATCH))
        for data in ground.data_snapshots(SnapshotRole.DATA_WORK):
            store.delete(data)
        for each in (*ground.whole_set(SnapshotRole.WORK), *ground.whole_set(SnapshotRole.BASE)):
            store.delete(each)
        store.release()
