"""host → Machine: what this machine is and what is installed on it, read without writing one sector."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from appliance.errors import CommandFailed
from appliance.host.lock import locked
from appliance.host.passphrases import Passphrases
from appliance.host.run import Host
from appliance.model.machine import BootOrder, Bus, Disk, Firmware, InstalledSystem, Machine, Trouble
from appliance.probe import beneath, hardware, lsblk, trouble
from appliance.probe.adapter import adapter_driver
from appliance.probe.efi import efibootmgr, parse_efibootmgr
from appliance.probe.ground import lay
from appliance.probe.partition_ours import read_copies
from appliance.probe.shown import FOLDER, showing
from appliance.probe.systems import Firmly, installed_systems

LOCK_WAIT = 120.0
NO_SMART = frozenset({Bus.VIRTIO})


@dataclass(frozen=True, slots=True)
class Board:
    """What /sys, /proc and the BMC say, without looking at any disk."""

    identity: hardware.Identity
    cpu: hardware.Cpu
    firmware: Firmware
    secure_boot: bool
    kvm: bool
    bmc: str
    order: BootOrder


def probe(host: Host, root: Path = Path("/"), passphrases: Passphrases | None = None) -> Machine:
    """Read the machine: firmware, CPU, disks, volume groups and every installed system.

    `root` is where /sys, /proc, /dev and /run are found. Installed roots are read through private read-only
    mappings named twinboot-probe-*, which are removed again whatever happens; leftovers of an earlier probe
    are removed first. Only the machine's own disks are looked at, never the appliance's medium. Encrypted
    devices are looked into where `passphrases` has what opens them.
    Raises ProbeFailed, DamagedData or CommandFailed when the machine cannot be read well enough, Busy while
    another probe runs; what stands in the way of a rehearsal is no error but a Trouble with `refuses` set.
    """
    with exclusive(root):
        board = _board(host, root)
        devices = lsblk.listed(host)
        disks = tuple(_disk(host, root, device) for device in devices)
        with showing(host, root) as shown:
            below = beneath.show(shown, devices, passphrases or Passphrases())
            ground = lay(host, root, (*devices, *below.rows), disks, shown, below.layers)
            systems, unread = installed_systems(ground, Firmly(board.firmware, board.order))
    own = _board_trouble(root, board) + below.trouble
    return Machine(
        vendor=hardware.dmi(root, "sys_vendor"),
        product=hardware.dmi(root, "product_name"),
        serial=hardware.dmi(root, "product_serial"),
        serial_is_junk=board.identity.serial_is_junk,
        identity=board.identity.value,
        uuid=hardware.dmi(root, "product_uuid").lower(),
        firmware=board.firmware,
        secure_boot=board.secure_boot,
        cpu=board.cpu.model,
        cpus=board.cpu.count,
        virtualisation=board.cpu.virtualisation,
        kvm=board.kvm,
        ram=hardware.parse_meminfo(hardware.sys_text(root / "proc/meminfo")),
        bmc=board.bmc,
        disks=disks,
        layers=below.layers,
        locked=below.locked,
        volume_groups=ground.groups,
        systems=systems,
        boot_order=board.order,
        trouble=own
        + _disk_trouble(disks, systems)
        + below.locked_out(alone=not systems)
        + ground.unread
        + unread,
    )


def exclusive(root: Path) -> AbstractContextManager[None]:
    """Held by whoever shows the machine's volumes. Raises Busy where somebody else does for too long."""
    return locked(root / FOLDER.parent / "probe.lock", "Another look at this machine", LOCK_WAIT)


def _board(host: Host, root: Path) -> Board:
    kind, secure_boot = hardware.firmware(root)
    return Board(
        identity=hardware.choose_identity(
            hardware.dmi(root, "product_serial"),
            hardware.dmi(root, "product_uuid"),
            hardware.physical_macs(root),
        ),
        cpu=hardware.parse_cpuinfo(hardware.sys_text(root / "proc/cpuinfo")),
        firmware=kind,
        secure_boot=secure_boot,
        kvm=hardware.kvm_answers(root),
        bmc=hardware.bmc_address(host, root),
        order=_boot_order(host, kind),
    )


def _boot_order(host: Host, kind: Firmware) -> BootOrder:
    """The firmware's boot entries; none where it keeps no variables (efibootmgr then ends with an error)."""
    if kind is not Firmware.UEFI:
        return BootOrder()
    try:
        return parse_efibootmgr(host.run(efibootmgr()).stdout)
    except CommandFailed:
        return BootOrder()


def _disk(host: Host, root: Path, device: lsblk.BlockDevice) -> Disk:
    disk = lsblk.disk(device)
    copies = read_copies(root / disk.path.lstrip("/"), disk)
    disk = replace(disk, driver=adapter_driver(root, disk.path), copies=copies)
    return disk if disk.bus in NO_SMART else replace(disk, smart=hardware.disk_health(host, disk.path))


def _board_trouble(root: Path, board: Board) -> tuple[Trouble, ...]:
    why = [] if board.kvm else [trouble.no_kvm(board.cpu.virtualisation)]
    if board.identity.serial_is_junk:
        serial = hardware.dmi(root, "product_serial")
        why.append(trouble.junk_serial(serial, board.identity.source, board.identity.value))
    return tuple(why)


def _disk_trouble(disks: tuple[Disk, ...], systems: tuple[InstalledSystem, ...]) -> tuple[Trouble, ...]:
    """Failing disks no system lies on: a system names its own."""
    named = {t.sentence for s in systems for t in s.trouble}
    failing = (trouble.failing_disk(disk) for disk in disks if disk.smart == "failing")
    why = [replace(t, refuses=False) for t in failing if t.sentence not in named]
    return tuple(why)
