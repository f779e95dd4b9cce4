"""What a lab machine is made of, and the QEMU command line that plays it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tests.lab import qemu
from tests.lab.firmware import BIOS, UEFI, uefi_code
from tests.lab.native import LabError

CONTROLLERS = {
    "virtio-scsi": "virtio-scsi-pci",
    "megasas": "megasas",
    "pvscsi": "pvscsi",
}
"""QEMU's SCSI controllers, by what a machine's bus is called after them."""

BUSES = ("virtio", "nvme", "ahci", "ide", *CONTROLLERS)
"""`ide` is an IDE controller of its own (ata_piix), beside the board's AHCI, which then has no disk."""

SITE = "10.0.2.100"
SLOW_WHEN_EMULATED = ("-erms", "-fsrm", "-la57", "-smap", "-pku", "-pks")
"""What the emulated processor does without, since it makes it slow. With ERMS and FSRM the kernel clears
pages byte by byte, and a boot takes half as long again; a fifth level of page tables (LA57) is walked twice
over in a twin, and costs its boot an eighth; SMAP keeps a second translation buffer for what the
kernel copies."""

JUNK = "Default string"
JUNK_UUID = "03000200-0400-0500-0006-000700080009"


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine as bought: nothing here changes while it lives.

    `memory` is in MiB. `acceleration` is "auto", "tcg" or "kvm". `internet` lets the user network out;
    without it only the lab's own servers at 10.0.2.100 answer, web on port 80 and mail on port 25.
    `extra_disks` are sizes in MiB of further empty disks, behind those of its system. `write_log` records
    every write to the disk (needed for `written` and for power cuts that lose the cache). `ssh` is a port of
    127.0.0.1 that leads to the machine's port 22; 0 for none.
    """

    firmware: str = BIOS
    bus: str = "virtio"
    disk_serial: str = "TBLAB0001"
    disk_wwn: int = 0x5000C500A1B2C3D4
    uuid: str = "8a6f3b52-1d4c-4e7a-9b0f-c2d3e4f5a6b7"
    serial: str = "LAB-0001"
    manufacturer: str = "QEMU"
    product: str = "Lab server"
    mac: str = "52:54:00:7b:00:01"
    memory: int = 4096
    acceleration: str = "auto"
    internet: bool = False
    watchdog: bool = False
    write_log: bool = False
    extra_disks: tuple[int, ...] = ()
    ssh: int = 0

    def __post_init__(self) -> None:
        if self.bus not in BUSES:
            raise LabError(f"there is no disk bus {self.bus!r}: it is one of {', '.join(BUSES)}.")
        if self.firmware not in (BIOS, UEFI):
            raise LabError(f"there is no firmware {self.firmware!r}.")


@dataclass(frozen=True, slots=True)
class Attached:
    """What stands around the machine for one power-on: files, sockets, medium, network."""

    folder: Path
    disk: Path
    log: Path | None
    variables: Path | None
    stick: Path | None
    disc: Path | None
    pxe: Path | None
    bootfile: str
    port: int
    mail_port: int
    accelerator: str
    more: tuple[Path, ...] = ()


def command_line(hardware: Hardware, around: Attached) -> list[str]:
    """QEMU's argument list. Every device has a fixed PCI slot, so that names in the system are stable."""
    return [
        *(*qemu.program(), "-name", "twinboot-lab", "-nodefaults", "-no-user-config"),
        *("-machine", "q35", "-m", str(hardware.memory), "-rtc", "base=utc"),
        *_processor(around.accelerator),
        *_identity(hardware),
        *("-display", "none", "-device", "VGA,addr=0x2"),
        *_lines(around.folder),
        *_firmware(hardware, around),
        *_disk(hardware, around),
        *_stick(around),
        *_disc(around),
        *_network(hardware, around),
        *(("-global", "ICH9-LPC.noreboot=false", "-action", "watchdog=reset") if hardware.watchdog else ()),
    ]


def _processor(accelerator: str) -> tuple[str, ...]:
    if accelerator == "kvm":
        # Without KVM's signature the system finds the machine by its SMBIOS names, as with emulation: "qemu".
        return ("-accel", "kvm", "-cpu", "host,kvm=off", "-smp", "2")
    # One processor: with two, emulated, a 6.12 kernel died in code it had just patched.
    return ("-accel", "tcg", "-cpu", ",".join(("max", "+svm", *SLOW_WHEN_EMULATED)), "-smp", "1")


def _identity(hardware: Hardware) -> list[str]:
    names = f"manufacturer={hardware.manufacturer},product={hardware.product},serial={hardware.serial}"
    return [
        *("-smbios", f"type=1,{names},uuid={hardware.uuid}"),
        *("-smbios", f"type=2,{names}"),
        *("-smbios", f"type=3,manufacturer={hardware.manufacturer},serial={hardware.serial}"),
    ]


def _lines(folder: Path) -> list[str]:
    arguments = ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
    for name in ("ttyS0", "ttyS1"):
        log = f"logfile={folder}/{name}.log,logappend=on"
        arguments += ["-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=off,{log}"]
        arguments += ["-device", f"isa-serial,chardev={name}"]
    return arguments


def _firmware(hardware: Hardware, around: Attached) -> list[str]:
    if around.variables is None:
        return []
    return [
        *("-drive", f"if=pflash,format=raw,readonly=on,file={uefi_code()}"),
        *("-drive", f"if=pflash,format=raw,file={around.variables}"),
    ]


def _disk(hardware: Hardware, around: Attached) -> list[str]:
    nodes = ["-blockdev", f"driver=file,node-name=file0,filename={around.disk},cache.no-flush=on"]
    nodes += ["-blockdev", "driver=qcow2,node-name=qcow0,file=file0,discard=unmap,cache.no-flush=on"]
    top = "qcow0"
    if around.log is not None:
        nodes += ["-blockdev", f"driver=file,node-name=logfile,filename={around.log},cache.no-flush=on"]
        nodes += ["-blockdev", "driver=blklogwrites,node-name=log0,file=qcow0,log=logfile"]
        top = "log0"
    # A boot order is only given when there is a choice: QEMU's order overrides what the firmware remembers.
    order = ",bootindex=2" if around.stick or around.disc or around.pxe else ""
    nodes += _controller(hardware, "disk0", top, 4, order)
    for number, file in enumerate(around.more):
        nodes += ["-blockdev", f"driver=qcow2,node-name=extra{number},file.driver=file,file.filename={file}"]
        slot = f"addr={0x18 + number:#x}"  # behind the first: virtio disks are named in this order
        nodes += ["-device", f"virtio-blk-pci,drive=extra{number},serial=TBEXTRA{number},{slot}"]
    return nodes


def _controller(hardware: Hardware, name: str, node: str, slot: int, order: str) -> list[str]:
    serial = f"serial={hardware.disk_serial}"
    if hardware.bus == "virtio":
        return ["-device", f"virtio-blk-pci,id={name},drive={node},{serial},addr={slot:#x}{order}"]
    if hardware.bus == "nvme":
        return ["-device", f"nvme,id={name},drive={node},{serial},addr={slot:#x}{order}"]
    wwn = f"wwn={hardware.disk_wwn:#x}"
    if hardware.bus == "ahci":
        return ["-device", f"ide-hd,id={name},bus=ide.0,drive={node},{serial},{wwn}{order}"]
    if hardware.bus == "ide":
        disk = f"ide-hd,id={name},bus=piix.0,drive={node},{serial},{wwn}{order}"
        return ["-device", f"piix3-ide,id=piix,addr={slot:#x}", "-device", disk]
    return [
        *("-device", f"{CONTROLLERS[hardware.bus]},id=scsi0,addr={slot:#x}"),
        *("-device", f"scsi-hd,id={name},bus=scsi0.0,drive={node},{serial},{wwn}{order}"),
    ]


def _stick(around: Attached) -> list[str]:
    if around.stick is None:
        return []
    file = f"file.driver=file,file.filename={around.stick}"
    return [
        *("-device", "qemu-xhci,id=usb,addr=0x8"),
        *("-blockdev", f"driver=qcow2,node-name=stick,{file},cache.no-flush=on"),
        *("-device", "usb-storage,bus=usb.0,drive=stick,serial=TBSTICK,removable=on,bootindex=1"),
    ]


def _disc(around: Attached) -> list[str]:
    """As a BMC shows its virtual media: a CD drive on USB."""
    if around.disc is None:
        return []
    return [
        *("-device", "qemu-xhci,id=bmc,addr=0x9", "-device", "usb-bot,id=media,bus=bmc.0"),
        *("-blockdev", f"driver=file,node-name=disc,filename={around.disc},read-only=on"),
        *("-device", "scsi-cd,bus=media.0,drive=disc,bootindex=1"),
    ]


def _network(hardware: Hardware, around: Attached) -> list[str]:
    relay = f"{sys.executable} {Path(__file__).with_name('relay.py')}"
    options = "user,id=net0"
    for outside, inside in ((80, around.port), (25, around.mail_port)):
        options += f",guestfwd=tcp:{SITE}:{outside}-cmd:{relay} {inside}"
    if not hardware.internet:
        options += ",restrict=on"
    if hardware.ssh:
        options += f",hostfwd=tcp:127.0.0.1:{hardware.ssh}-:22"
    boot = ",romfile="
    if around.pxe is not None:
        options += f",tftp={around.pxe},bootfile={around.bootfile}"
        boot = ",bootindex=1"
        if hardware.firmware == UEFI:
            boot += f",romfile={qemu.uefi_network_rom()}"
    return [
        *("-netdev", options),
        *("-device", f"virtio-net-pci,netdev=net0,mac={hardware.mac},addr=0x10{boot}"),
        *("-object", f"filter-dump,id=dump0,netdev=net0,file={around.folder}/net.pcap"),
    ]
