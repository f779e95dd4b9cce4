"""What the board says of itself: names, serial number, CPU, memory, firmware, BMC, disk health."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from pathlib import Path

import msgspec

from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Command, Host, read
from appliance.model.codec import from_json
from appliance.model.machine import Firmware

# fmt: off
JUNK = frozenset(
    {
        "default string", "to be filled by o.e.m.", "to be filled by o.e.m", "o.e.m.", "oem", "none",
        "n/a", "na", "not applicable", "not available", "not specified", "not present",
        "system serial number", "serial number", "chassis serial number", "unknown", "undefined",
        "invalid", "empty", "default", "system product name", "system manufacturer", "0123456789",
        "123456789", "1234567890", "1234567", "12345678", "standard",
    }
)
# fmt: on
JUNK_UUIDS = frozenset({"03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc"})
SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_CREATE_VCPU = 0xAE41


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """`value` names this machine; `source` says what it is in words fit for a sentence."""

    value: str
    source: str
    serial_is_junk: bool


def is_junk(serial: str) -> bool:
    """Whether a serial number is a maker's placeholder: nothing, a stock phrase, one character repeated."""
    text = serial.strip().lower()
    return text in JUNK or len(set(text) - set("-:. ")) <= 1


def is_junk_uuid(uuid: str) -> bool:
    """Whether a product UUID is no UUID, all zeros or ones, or one that boards are known to share."""
    text = uuid.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) or text in JUNK_UUIDS:
        return True
    return len(set(text.replace("-", ""))) == 1


def choose_identity(serial: str, uuid: str, macs: tuple[str, ...]) -> Identity:
    """Serial number, else product UUID, else the first physical MAC. Empty `value` where all are junk."""
    junk = is_junk(serial)
    if not junk:
        return Identity(value=serial.strip(), source="serial number", serial_is_junk=False)
    if not is_junk_uuid(uuid):
        return Identity(value=uuid.strip().lower(), source="product UUID", serial_is_junk=True)
    mac = next((m for m in macs if len(set(m.replace(":", ""))) > 1), "")
    return Identity(value=mac, source="first network card's address", serial_is_junk=True)


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """`virtualisation` is vmx, svm or empty."""

    model: str = ""
    count: int = 1
    virtualisation: str = ""


def parse_cpuinfo(text: str) -> Cpu:
    """/proc/cpuinfo as Linux on x86 and arm64 writes it."""
    rows = (line.partition(":") for line in text.splitlines())
    fields = [(key.strip(), value.strip()) for key, colon, value in rows if colon]
    flags = {flag for key, value in fields if key == "flags" for flag in value.split()}
    return Cpu(
        model=next((value for key, value in fields if key == "model name"), ""),
        count=max(1, sum(key == "processor" for key, _ in fields)),
        virtualisation=next((name for name in ("vmx", "svm") if name in flags), ""),
    )


def parse_meminfo(text: str) -> int:
    """MemTotal in bytes. Raises DamagedData where it is missing."""
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB$", text, re.MULTILINE)
    if found is None:
        raise DamagedData("/proc/meminfo says no MemTotal.")
    return int(found.group(1)) * 1024


class _Smart(msgspec.Struct, frozen=True):
    passed: bool


class _Smartctl(msgspec.Struct, frozen=True):
    smart_status: _Smart | None = None


def smartctl(disk: str) -> Command:
    """The drive's own overall health. smartctl's status is a bit mask, so none is refused."""
    return read("smartctl", "--json", "--health", disk, timeout=60, ok=frozenset(range(256)))


def parse_smartctl(text: str) -> str:
    """ "passed", "failing", or "" where the drive says nothing (smartctl(8), --json)."""
    status = from_json(text, _Smartctl, "smartctl's report").smart_status
    if status is None:
        return ""
    return "passed" if status.passed else "failing"


def parse_ipmi_lan(text: str) -> str:
    """The BMC's address from `ipmitool lan print`, empty where it has none."""
    found = re.search(r"^IP Address\s+:\s*([0-9a-fA-F.:]+)\s*$", text, re.MULTILINE)
    return found.group(1) if found and found.group(1) != "0.0.0.0" else ""


def sys_text(path: Path) -> str:
    """A one-value file of /sys or /proc without white space around it; empty where it can not be read."""
    try:
        return path.read_text(errors="replace").replace("\0", "").strip()
    except OSError:
        return ""


def dmi(root: Path, name: str) -> str:
    """A string of /sys/class/dmi/id (SMBIOS types 0, 1, 2)."""
    return sys_text(root / "sys/class/dmi/id" / name)


def physical_macs(root: Path) -> tuple[str, ...]:
    """Addresses of the network cards that sit on a bus, in the order of their place on it."""
    found = []
    with contextlib.suppress(OSError):
        for card in sorted((root / "sys/class/net").iterdir()):
            address = sys_text(card / "address").lower()
            if (card / "device").exists() and re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", address):
                found.append((os.path.realpath(card / "device"), address))
    return tuple(address for _, address in sorted(found))


def firmware(root: Path) -> tuple[Firmware, bool]:
    """Firmware kind and whether Secure Boot is on (the variable's last byte; efivarfs puts 4 before it)."""
    folder = root / "sys/firmware/efi"
    if not folder.is_dir():
        return Firmware.BIOS, False
    try:
        return Firmware.UEFI, (folder / "efivars" / SECURE_BOOT).read_bytes()[4:5] == b"\x01"
    except OSError:
        return Firmware.UEFI, False


def kvm_answers(root: Path) -> bool:
    """Whether the kernel makes a virtual machine with a CPU for us, which a device node alone does not prove.

    Whether a whole system runs in it is seen when the twin starts; nothing is run here.
    """
    try:
        device = os.open(root / "dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    machine = cpu = -1
    try:
        if fcntl.ioctl(device, KVM_GET_API_VERSION, 0) != 12:
            return False
        machine = fcntl.ioctl(device, KVM_CREATE_VM, 0)
        cpu = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
        return True
    except OSError:
        return False
    finally:
        for handle in (cpu, machine, device):
            if handle >= 0:
                os.close(handle)


def bmc_address(host: Host, root: Path) -> str:
    """The BMC's LAN address over the local interface; empty without a BMC."""
    if not any((root / "dev" / name).exists() for name in ("ipmi0", "ipmi/0", "ipmidev/0")):
        return ""
    try:
        return parse_ipmi_lan(host.run(read("ipmitool", "lan", "print", timeout=20)).stdout)
    except CommandFailed:
        return ""


def disk_health(host: Host, disk: str) -> str:
    """SMART in one word; empty where the drive or the tool has nothing to say."""
    try:
        return parse_smartctl(host.run(smartctl(disk)).stdout)
    except (CommandFailed, DamagedData):
        return ""
