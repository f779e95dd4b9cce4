"""/boot inside the root: which root's GRUB reads, asked before a promotion counts on it or one is deleted."""

from __future__ import annotations

from pathlib import Path

from appliance.boot.bios_core import read_core
from appliance.errors import Refused
from appliance.model.machine import Disk
from appliance.workflow.steps.ground import Ground


def why_not_read(ground: Ground) -> tuple[str, ...]:
    """Sentences where GRUB does not read the installed root's /boot, so that nothing written there counts."""
    root, system = ground.system.root, ground.system
    disk = ground.machine.disk_of(root.device)
    if not system.boot_inside or disk is None:
        return ()
    number = next((p.number for p in disk.partitions if p.path == root.device), 0)
    core = read_core(Path(disk.path))
    if core is not None and core.reads(number, root.fsuuid):
        return ()
    found = "is of no kind that is known here" if core is None else "reads another /boot"
    return (
        f"GRUB's core image on {disk.path} {found}, and /boot lies in {root.device}: on the running system "
        f"run grub-install {disk.path}, then rehearse again.",
    )


def read_from_a_copy(ground: Ground) -> str:
    """The name of what is doomed or on trial and has what GRUB reads first; empty where nothing has.

    The kept system's own update of GRUB installs it anew.
    """
    if not ground.system.boot_inside:
        return ""
    wanted = {*ground.whole.doomed, ground.names.trial}
    for disk in ground.machine.disks:
        listed = [copy for copy in disk.copies if copy.name in wanted and copy.number]
        if listed and (core := read_core(Path(disk.path))) is not None:
            for copy in listed:
                if core.reads(copy.number, copy.uuid):
                    return copy.name
    return ""


def refuse_what_grub_reads(ground: Ground) -> None:
    """Raises Refused where GRUB reads its own files in what would be deleted: nothing would start then."""
    if name := read_from_a_copy(ground):
        disk = _disk_with(ground, name)
        raise Refused(
            (
                f"GRUB was installed anew by the system in {name} and reads its files there: start the old "
                f"system, run grub-install {disk} there, then come back.",
            )
        )


def _disk_with(ground: Ground, name: str) -> str:
    disks: tuple[Disk, ...] = ground.machine.disks
    return next((d.path for d in disks if any(copy.name == name for copy in d.copies)), "")
