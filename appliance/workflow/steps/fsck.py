"""The file system of the copy, checked and mended by its own tools before anything mounts it to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import FileSystemFailed
from appliance.host.files import mounted
from appliance.host.run import Command, Effect, Host, Output
from appliance.model.events import Line
from appliance.model.machine import Volume
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import OnGround

EXT = ("ext2", "ext3", "ext4")
Replay = Callable[[], None]
LIMIT = 3 * 3600.0
"""Seconds. e2fsck needs about a minute for 100 GiB; a slow disk and an emulated machine are allowed for."""

CORRECTED, REBOOT = 1, 2
"""e2fsck(8), EXIT CODE: bits. 4 and above: errors left, or it could not run."""

DIRTY_LOG = 2
"""xfs_repair(8), EXIT STATUS: the log must be replayed by mounting first."""


@dataclass(frozen=True, slots=True)
class CheckFileSystem(OnGround):
    """e2fsck -f -y or xfs_repair on the work snapshot, then a second look that must find nothing."""

    def do(self, ctx: Context) -> None:
        system = self.ground.system
        self._mend(ctx, system.root, self.ground.snapshot(SnapshotRole.WORK))
        for volume, work in self.ground.beside(SnapshotRole.WORK):
            self._mend(ctx, volume, work)

    def _mend(self, ctx: Context, volume: Volume, work: Snapshot) -> None:
        store = self.ground.store(ctx.host)
        device = store.activate(work)
        said = mend(ctx.host, device, volume.fstype, lambda: self._replay(ctx, device, volume.fstype))
        store.deactivate(work)
        *details, sum_up = said
        for words in details:
            ctx.tell(Line(source="disk", text=words))
        ctx.tell(Line(source="run", text=sum_up))

    def _replay(self, ctx: Context, device: str, fstype: str) -> None:
        with mounted(ctx.host, device, fstype, self.ground.work.scratch / "replay"):
            pass


def mend(host: Host, device: str, fstype: str, replay: Replay) -> tuple[str, ...]:
    """Mend the unmounted file system on `device`; what was said. `replay` mounts and unmounts it once.

    Raises FileSystemFailed where errors are left, CommandFailed where the program cannot be run.
    """
    return _ext(host, device) if fstype in EXT else _xfs(host, device, replay)


def _ext(host: Host, device: str) -> tuple[str, ...]:
    found = _run(host, ("e2fsck", "-f", "-y", device))
    if found.status & ~(CORRECTED | REBOOT):
        raise FileSystemFailed(f"e2fsck left errors on the copy (status {found.status}): {_last(found)}")
    again = _run(host, ("e2fsck", "-f", "-n", device))
    if again.status:
        raise FileSystemFailed(f"e2fsck still finds errors at its second look: {_last(again)}")
    verdict = "errors were corrected" if found.status else "no errors were found"
    return (*_lines(found), f"e2fsck: {verdict}; a second look finds none")


def _xfs(host: Host, device: str, replay: Replay) -> tuple[str, ...]:
    found = _run(host, ("xfs_repair", device))
    if found.status == DIRTY_LOG:
        replay()
        found = _run(host, ("xfs_repair", device))
    if found.status:
        raise FileSystemFailed(f"xfs_repair could not mend the copy (status {found.status}): {_last(found)}")
    again = _run(host, ("xfs_repair", "-n", device))
    if again.status:
        raise FileSystemFailed(f"xfs_repair still finds errors at its second look: {_last(again)}")
    return (*_lines(found), "xfs_repair: done; a second look finds no errors")


def _run(host: Host, argv: tuple[str, ...]) -> Output:
    """Any status comes back: its bits are for the caller to read."""
    return host.run(Command(argv, Effect.WRITE, ok=frozenset(range(256)), timeout=LIMIT))


def _lines(out: Output) -> tuple[str, ...]:
    return tuple(line.strip() for line in (out.stdout + out.stderr).splitlines() if line.strip())[-40:]


def _last(out: Output) -> str:
    return (_lines(out) or ("it says nothing",))[-1]
