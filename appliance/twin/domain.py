"""The twin as libvirt is told of it: a pure `DomainSpec` → XML (libvirt's formatdomain)."""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from appliance.model.machine import Bus, Firmware

AGENT_CHANNEL = "org.qemu.guest_agent.0"
TOOLS_SERIAL = "TWINBOOT-TOOLS"
TOOLS_PATH = f"/dev/disk/by-id/virtio-{TOOLS_SERIAL}"

QEMU_NS = "http://libvirt.org/schemas/domain/qemu/1.0"

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_OWN_BUS = {Bus.VIRTIO: "virtio", Bus.NVME: "virtio", Bus.SATA: "sata"}
"""libvirt's word for the bus of a disk; all others are shown as SCSI."""


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """One of the machine's disks as the twin has it. `sector` is the logical block size in bytes.

    `model` and `vendor` are shown where QEMU can (SATA and SCSI), `wwn` likewise ("0x5000c500…"). Of SCSI,
    `controller` is libvirt's model of it; on a `parallel` one a disk is told by its unit, not its target.
    """

    path: str
    bus: Bus
    serial: str = ""
    wwn: str = ""
    model: str = ""
    sector: int = 512
    controller: str = "virtio-scsi"
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class Direct:
    """A kernel started without a loader: the paths of its file and of its initrd, and its command `line`."""

    kernel: str
    initrd: str
    line: str


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """Everything the twin is. `memory` in MiB; `vars_file` is the private UEFI variable store.

    `log_file` takes the serial console; `network` is the libvirt network or empty for no card at all; `clock`
    is utc or localtime as the machine's own hardware clock is kept; `emulate` asks for emulation, not KVM.
    `first` is the index of the disk the firmware starts from, where it does not start `direct` itself.
    """

    name: str
    firmware: Firmware
    uuid: str
    serial: str
    vendor: str
    product: str
    memory: int
    cpus: int
    disks: tuple[DiskSpec, ...]
    tools: str
    log_file: str
    mac: str
    network: str = "twinboot"
    loader: str = "/usr/share/OVMF/OVMF_CODE_4M.fd"
    vars_file: str = ""
    emulate: bool = False
    first: int = 0
    clock: str = "utc"
    direct: Direct | None = None
    emulator: str = "/usr/bin/qemu-system-x86_64"


def domain_xml(spec: DomainSpec) -> str:
    """The libvirt domain: no graphics, no host device, nothing shared but the disks named here."""
    ET.register_namespace("qemu", QEMU_NS)
    root = ET.Element("domain", type="qemu" if spec.emulate else "kvm")
    _text(root, "name", spec.name)
    _text(root, "uuid", machine_uuid(spec))
    _text(root, "memory", str(spec.memory), unit="MiB", dumpCore="off")
    _text(root, "vcpu", str(spec.cpus))
    _firmware(root, spec)
    _sysinfo(root, spec)
    features = ET.SubElement(root, "features")
    for feature in ("acpi", "apic"):
        ET.SubElement(features, feature)
    cpu = "maximum" if spec.emulate else "host-passthrough"
    ET.SubElement(root, "cpu", mode=cpu, check="none", migratable="off" if not spec.emulate else "on")
    ET.SubElement(root, "clock", offset=spec.clock)
    # A reboot ends the domain: every start of the twin is one of ours, with a limit.
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(root, event, "destroy")
    _devices(root, spec)
    _overrides(root, spec)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def machine_uuid(spec: DomainSpec) -> str:
    """The machine's own SMBIOS UUID, or one made of the twin's name where the machine has none that reads."""
    try:
        given = uuid.UUID(spec.uuid)
    except ValueError:
        given = uuid.UUID(int=0)
    if given.int in (0, (1 << 128) - 1):
        given = uuid.uuid5(uuid.NAMESPACE_DNS, spec.name)
    return str(given)


def local_mac(seed: str) -> str:
    """A locally administered address made of `seed`: never one that a maker gave the machine's cards."""
    tail = uuid.uuid5(uuid.NAMESPACE_DNS, seed).bytes[:5]
    return ":".join(f"{byte:02x}" for byte in (0x02, *tail))


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = printable(text)
    return child


def printable(text: str, limit: int = 64) -> str:
    """`text` with everything but plain printable characters dropped: serials come from hostile firmware."""
    return re.sub(r"[^ -~]", "", text)[:limit] if limit else text


def _firmware(root: ET.Element, spec: DomainSpec) -> None:
    os = ET.SubElement(root, "os")
    _text(os, "type", "hvm", arch="x86_64", machine="q35")
    if spec.firmware is Firmware.UEFI:
        loader = ET.SubElement(os, "loader", readonly="yes", secure="no", type="pflash")
        loader.text = spec.loader
        ET.SubElement(os, "nvram").text = spec.vars_file
        # Or OVMF waits three seconds for a key at every start.
        ET.SubElement(os, "bootmenu", enable="yes", timeout="0")
    if (direct := spec.direct) is not None:
        for tag, text in (("kernel", direct.kernel), ("initrd", direct.initrd), ("cmdline", direct.line)):
            ET.SubElement(os, tag).text = printable(text, 0)
    ET.SubElement(os, "smbios", mode="sysinfo")


def _sysinfo(root: ET.Element, spec: DomainSpec) -> None:
    system = ET.SubElement(ET.SubElement(root, "sysinfo", type="smbios"), "system")
    entries = {"manufacturer": spec.vendor, "product": spec.product, "serial": spec.serial}
    for name, value in entries.items():
        if printable(value).strip():
            _text(system, "entry", value, name=name)
    _text(system, "entry", machine_uuid(spec), name="uuid")


def _devices(root: ET.Element, spec: DomainSpec) -> None:
    devices = ET.SubElement(root, "devices")
    _text(devices, "emulator", spec.emulator)
    for index, disk in enumerate(spec.disks):
        # The disk it starts from first, then the others in their order.
        order = 1 if index == spec.first else index + (2 if index < spec.first else 1)
        _disk(devices, index, disk, spec.disks, order)
    _tools_disk(devices, spec)
    for number, model in enumerate(_controllers(spec.disks)):
        ET.SubElement(devices, "controller", type="scsi", index=str(number), model=model)
    ET.SubElement(devices, "controller", type="usb", index="0", model="none")
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "log", file=spec.log_file, append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    if spec.network:
        card = ET.SubElement(devices, "interface", type="network")
        ET.SubElement(card, "mac", address=spec.mac)
        ET.SubElement(card, "source", network=spec.network)
        ET.SubElement(card, "model", type="virtio")
        # The cable is plugged in only while patching.
        ET.SubElement(card, "link", state="down")
        ET.SubElement(card, "rom", enabled="no")
    video = ET.SubElement(devices, "video")
    ET.SubElement(video, "model", type="vga", vram="16384", heads="1")
    rng = ET.SubElement(devices, "rng", model="virtio")
    ET.SubElement(rng, "backend", model="random").text = "/dev/urandom"
    ET.SubElement(devices, "memballoon", model="none")


def _controllers(disks: tuple[DiskSpec, ...]) -> tuple[str, ...]:
    """libvirt's models of the SCSI controllers, in the order of their disks."""
    return tuple(dict.fromkeys(disk.controller for disk in disks if disk.bus not in _OWN_BUS))


def _place(index: int, disks: tuple[DiskSpec, ...]) -> dict[str, str]:
    """Where a SCSI disk hangs: on which controller, and where there."""
    model = disks[index].controller
    here = [n for n, disk in enumerate(disks) if disk.bus not in _OWN_BUS and disk.controller == model]
    number = str(here.index(index))
    target, unit = ("0", number) if disks[index].parallel else (number, "0")
    at = {"controller": str(_controllers(disks).index(model)), "bus": "0", "target": target, "unit": unit}
    return {"type": "drive", **at}


def _bus_and_target(index: int, disks: tuple[DiskSpec, ...]) -> tuple[str, str]:
    """libvirt's bus and a target name of its own; NVMe rides on a virtio slot (see `_overrides`)."""
    bus = _OWN_BUS.get(disks[index].bus, "scsi")
    before = sum(_OWN_BUS.get(disk.bus, "scsi") == bus for disk in disks[:index])
    if bus == "virtio":
        return bus, f"vd{_LETTERS[before]}"
    # sata and scsi share the letters of sd*
    others = sum(_OWN_BUS.get(disk.bus, "scsi") != "virtio" for disk in disks[:index])
    return bus, f"sd{_LETTERS[others]}"


def _disk(devices: ET.Element, index: int, disk: DiskSpec, disks: tuple[DiskSpec, ...], order: int) -> None:
    bus, target = _bus_and_target(index, disks)
    element = ET.SubElement(devices, "disk", type="block", device="disk")
    driver = {"name": "qemu", "type": "raw", "cache": "none", "io": "native", "discard": "unmap"}
    if disk.bus is not Bus.NVME:
        # A full pool pauses the twin instead of handing it errors; QEMU's NVMe has no such choice.
        driver["error_policy"] = "stop"
        driver["rerror_policy"] = "report"
    ET.SubElement(element, "driver", driver)
    ET.SubElement(element, "source", dev=disk.path)
    ET.SubElement(element, "target", dev=target, bus=bus)
    if disk.sector != 512:
        size = str(disk.sector)
        ET.SubElement(element, "blockio", logical_block_size=size, physical_block_size=size)
    if disk.serial:
        _text(element, "serial", _serial(disk))
    if bus == "scsi" and (wwn := _wwn(disk.wwn)):
        _text(element, "wwn", wwn)
    if bus == "scsi" and disk.model:
        vendor, _, product = disk.model.partition(" ")
        _text(element, "vendor", printable(vendor, 8))
        _text(element, "product", printable(product or vendor, 16))
    ET.SubElement(element, "boot", order=str(order))
    if bus == "scsi":
        ET.SubElement(element, "address", _place(index, disks))
    ET.SubElement(element, "alias", name=f"ua-disk{index}")


def _serial(disk: DiskSpec) -> str:
    """virtio-blk takes 20 characters, the others' own limit is longer (virtio specification 5.2.6)."""
    return printable(disk.serial.strip(), 20 if disk.bus in (Bus.VIRTIO, Bus.NVME, Bus.SATA) else 36)


def _wwn(wwn: str) -> str:
    """The 16 hex digits libvirt wants; longer names (NAA 6) can not be shown."""
    digits = wwn.lower().removeprefix("naa.").removeprefix("0x")
    return digits if re.fullmatch(r"[0-9a-f]{16}", digits) else ""


def _tools_disk(devices: ET.Element, spec: DomainSpec) -> None:
    element = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(element, "driver", name="qemu", type="raw", cache="writeback")
    ET.SubElement(element, "source", file=spec.tools)
    ET.SubElement(element, "target", dev="vdz", bus="virtio")
    ET.SubElement(element, "readonly")
    _text(element, "serial", TOOLS_SERIAL)
    ET.SubElement(element, "alias", name="ua-tools")


def _overrides(root: ET.Element, spec: DomainSpec) -> None:
    """What libvirt has no word for (formatdomain, "Overriding properties of QEMU devices")."""
    changed = [(index, words) for index, disk in enumerate(spec.disks) if (words := _front_end(disk))]
    if not changed:
        return
    override = ET.SubElement(root, f"{{{QEMU_NS}}}override")
    for index, words in changed:
        device = ET.SubElement(override, f"{{{QEMU_NS}}}device", alias=f"ua-disk{index}")
        frontend = ET.SubElement(device, f"{{{QEMU_NS}}}frontend")
        for name, kind, value in words:
            ET.SubElement(frontend, f"{{{QEMU_NS}}}property", name=name, type=kind, value=value)


def _front_end(disk: DiskSpec) -> list[tuple[str, str, str]]:
    """QEMU properties of a disk's device: name, type and value."""
    if disk.bus is Bus.NVME:
        # libvirt keeps the block device, its labels and its PCI slot; QEMU gets another front end.
        return [("driver", "string", "nvme")]
    if disk.bus is not Bus.SATA:
        return []
    words = []
    if model := printable(disk.model, 40).strip():
        words.append(("model", "string", model))
    if wwn := _wwn(disk.wwn):
        # libvirt takes a WWN for SCSI alone, QEMU's ide-hd has one, too.
        words.append(("wwn", "unsigned", str(int(wwn, 16))))
    return words
