"""Which driver serves the adapter that a disk hangs on, from the kernel's own tree of devices (sysfs)."""

from __future__ import annotations

from pathlib import Path

ABOVE = frozenset({"scsi", "nvme", "enclosure"})
"""Subsystems of what stands between a disk and its adapter: their drivers are of the disk, not of the bus."""


def adapter_driver(root: Path, disk: str) -> str:
    """The driver of the first device above the disk at path `disk` ("/dev/sda") that is no part of the disk
    itself: "megaraid_sas", "ahci", "virtio_blk"; empty where the kernel does not say.

    `root` is where /sys is found. Of two on one chain the one nearer to the disk counts: virtio_scsi sits on
    a device of virtio, and that on one of PCI which virtio-pci drives.
    """
    top = (root / "sys").resolve()
    device = (top / "class/block" / Path(disk).name / "device").resolve()
    for folder in (device, *device.parents):
        if top not in folder.parents:
            break
        driver = folder / "driver"
        if driver.exists() and (folder / "subsystem").resolve().name not in ABOVE:
            return driver.resolve().name
    return ""
