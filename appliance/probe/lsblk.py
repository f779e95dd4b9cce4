"""Disks and partitions from `lsblk --json`."""

from __future__ import annotations

import re

import msgspec

from appliance.errors import DamagedData
from appliance.host.run import Command, Host, read
from appliance.host.udev import settle
from appliance.model.codec import from_json
from appliance.model.machine import Bus, Disk, Partition

COLUMNS = (
    "NAME,PATH,TYPE,SIZE,START,PARTN,LOG-SEC,MODEL,SERIAL,WWN,TRAN,ROTA,RM,RO,PTTYPE,PTUUID,"
    "PARTTYPE,PARTUUID,PARTLABEL,FSTYPE,UUID,LABEL"
)
MEDIUM_LABELS = frozenset({"TWINBOOT", "TWINBOOT-SYS"})
BUSES = {
    "nvme": Bus.NVME,
    "virtio": Bus.VIRTIO,
    "sata": Bus.SATA,
    "ata": Bus.SATA,
    "usb": Bus.USB,
    "sas": Bus.SCSI,
    "scsi": Bus.SCSI,
    "spi": Bus.SCSI,
    "fc": Bus.SCSI,
}


SETTLED = 10
"""Seconds that udev may take to look at what has changed: a disk that hangs must not hide the others."""


def listed(host: Host) -> tuple[BlockDevice, ...]:
    """The machine's own disks, once udev has looked at them: lsblk(8) asks it for most of what it says.

    Raises CommandFailed, DamagedData.
    """
    settle(host, SETTLED)
    return machine_disks(parse_lsblk(host.run(lsblk()).stdout))


def lsblk() -> Command:
    """All block devices with what udev and libblkid know of them; sizes in bytes."""
    return read("lsblk", "--json", "--bytes", "--tree", "--output", COLUMNS, timeout=60)


class BlockDevice(msgspec.Struct, frozen=True, kw_only=True, rename={"log_sec": "log-sec", "kind": "type"}):
    """One row as lsblk gives it. `start` in 512-byte sectors, `size` in bytes, None if unknown."""

    name: str
    path: str
    kind: str
    size: int | None = None
    start: int | None = None
    partn: int | None = None
    log_sec: int | None = None
    model: str | None = None
    serial: str | None = None
    wwn: str | None = None
    tran: str | None = None
    rota: bool | None = None
    rm: bool | None = None
    ro: bool | None = None
    pttype: str | None = None
    ptuuid: str | None = None
    parttype: str | None = None
    partuuid: str | None = None
    partlabel: str | None = None
    fstype: str | None = None
    uuid: str | None = None
    label: str | None = None
    children: tuple[BlockDevice, ...] = ()


class _Report(msgspec.Struct, frozen=True):
    blockdevices: tuple[BlockDevice, ...]


def with_parts(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
    """Each device and, after it, what lies on it."""
    return tuple(row for device in devices for row in (device, *device.children))


def parse_lsblk(text: str) -> tuple[BlockDevice, ...]:
    """The tree of block devices. Raises DamagedData naming the key that is wrong."""
    report: _Report = from_json(text, _Report, "lsblk's report")
    return report.blockdevices


def machine_disks(devices: tuple[BlockDevice, ...]) -> tuple[BlockDevice, ...]:
    """The machine's own disks: never loops, RAM disks, optical drives, volumes, or the appliance's medium."""
    return tuple(
        d
        for d in devices
        if d.kind == "disk"
        and d.size
        and not re.fullmatch(r"(zram|ram|loop|dm-|fd|nbd|sr)\d+", d.name)
        and not is_medium(d)
    )


def is_medium(device: BlockDevice) -> bool:
    """Whether the appliance came on this disk: a label on it says so, or it is read-only removable."""
    labels = {label for d in (device, *device.children) for label in (d.label, d.partlabel)}
    return bool(labels & MEDIUM_LABELS) or bool(device.rm and device.ro)


def disk(device: BlockDevice) -> Disk:
    """The frozen shape of one disk with its partitions in order of their start."""
    parts = [_partition(child) for child in device.children if child.kind == "part"]
    return Disk(
        path=device.path,
        size=device.size or 0,
        bus=_bus(device),
        model=(device.model or "").strip(),
        serial=(device.serial or "").strip(),
        wwn=(device.wwn or "").strip(),
        sector=device.log_sec or 512,
        table=device.pttype or "",
        table_id=device.ptuuid or "",
        rotational=bool(device.rota),
        partitions=tuple(sorted(parts, key=lambda p: p.start)),
    )


def _bus(device: BlockDevice) -> Bus:
    """lsblk leaves TRAN empty for virtio disks (older kernels) and for virtual SCSI controllers."""
    if device.tran:
        return BUSES.get(device.tran, Bus.OTHER)
    if device.name.startswith("vd"):
        return Bus.VIRTIO
    if device.name.startswith("nvme"):
        return Bus.NVME
    return Bus.SCSI if device.name.startswith("sd") else Bus.OTHER


def _partition(device: BlockDevice) -> Partition:
    digits = re.search(r"\d+$", device.name)
    number = device.partn or (int(digits.group()) if digits and len(digits.group()) < 6 else 0)
    if device.start is None or not device.size or not number:
        raise DamagedData(f"lsblk's report: {device.path} lacks its number, start or size.")
    return Partition(
        path=device.path,
        number=number,
        start=device.start * 512,
        size=device.size,
        type_id=device.parttype or "",
        partuuid=device.partuuid or "",
        fstype=device.fstype or "",
        fsuuid=device.uuid or "",
        label=device.label or "",
    )
