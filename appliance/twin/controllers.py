"""Which controllers a twin can have, and which one it gets for a disk. Pure.

A disk hangs on the same kind of controller in the twin as on the machine, so that the same driver in the same
initrd finds it. Drivers are Linux's own, devices QEMU's (`-device help`), models libvirt's ("Controllers" in
its formatdomain). Tried with Debian 13's QEMU: SeaBIOS starts from all of them, Debian's OVMF from those that
say `uefi`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.model.machine import Bus, Disk, Firmware


@dataclass(frozen=True, slots=True)
class Controller:
    """What QEMU plays for a Linux `driver`, which finds its disks together with those in `beside`.

    Of SCSI ones `model` is libvirt's word; on a `parallel` bus each disk is a unit, else a target of its own.
    """

    driver: str
    bus: Bus
    device: str
    model: str = ""
    uefi: bool = True
    parallel: bool = False
    beside: tuple[str, ...] = ()

    @property
    def drivers(self) -> tuple[str, ...]:
        return (*self.beside, self.driver)


ALWAYS = (
    Controller("virtio_blk", Bus.VIRTIO, "virtio-blk-pci"),
    Controller("nvme", Bus.NVME, "nvme"),
    Controller("ahci", Bus.SATA, "ich9-ahci", beside=("sd_mod",)),
    Controller("virtio_scsi", Bus.SCSI, "virtio-scsi-pci", "virtio-scsi", beside=("virtio_pci", "sd_mod")),
)
"""Those without which no twin has a disk at all: nobody is asked for them."""

RAID = (
    Controller("megaraid_sas", Bus.SCSI, "megasas", "lsisas1078", uefi=False),
    Controller("mptsas", Bus.SCSI, "mptsas1068", "lsisas1068", uefi=False),
    Controller("sym53c8xx", Bus.SCSI, "lsi53c895a", "lsilogic", uefi=False, parallel=True),
    Controller("vmw_pvscsi", Bus.SCSI, "pvscsi", "vmpvscsi", uefi=False),
    Controller("am53c974", Bus.SCSI, "am53c974", "am53c974", uefi=False, parallel=True),
)
"""Those that QEMU can be built without."""

OF_BUS = {Bus.VIRTIO: ALWAYS[0], Bus.NVME: ALWAYS[1], Bus.SATA: ALWAYS[2]}
VIRTIO_SCSI = ALWAYS[3]


def usual(bus: Bus) -> Controller:
    """What shows a disk of this bus where nothing more is known of it."""
    return OF_BUS.get(bus, VIRTIO_SCSI)


def called(driver: str) -> Controller | None:
    return next((one for one in (*ALWAYS, *RAID) if one.driver == driver), None)


def played(disk: Disk, firmware: Firmware, devices: frozenset[str]) -> Controller | None:
    """The controller of the disk's own driver; None where this QEMU has none, or the firmware can not start
    from it. `devices` are QEMU's. A machine that was recorded without drivers is known by its buses."""
    if not disk.driver:
        return usual(disk.bus)
    found = called(disk.driver)
    if found is None or found in ALWAYS:
        return found
    if firmware is Firmware.UEFI and not found.uefi:
        return None
    return found if found.device in devices else None


def can_stand_in(disk: Disk) -> tuple[Controller, ...]:
    """What may show a disk whose own controller no twin has, the likeliest first: its initrd decides."""
    sata, scsi = ALWAYS[2], ALWAYS[3]
    return (sata, scsi) if disk.bus is Bus.SATA else (scsi, sata)


_DEVICE = re.compile(r'^name "([^"]+)"', re.MULTILINE)
_ALIAS = re.compile(r'^name "[^"]+".*alias "([^"]+)"', re.MULTILINE)


def devices_of(text: str) -> frozenset[str]:
    """The names in what `qemu-system-x86_64 -device help` prints."""
    return frozenset((*_DEVICE.findall(text), *_ALIAS.findall(text)))
