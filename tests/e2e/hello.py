"""The smallest machine: its disk holds a GRUB that says hello and an env block. No kernel is started from it.

For questions to the image's own loaders and menus: who starts, from which medium, under which firmware.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.host.run import RealHost
from appliance.image.esp import make_fat
from appliance.image.grub import BIOS, UEFI, make_image
from appliance.image.usb import MIB, SECTOR, plan_layout, put_core, write_table
from tests.lab import firmware as firmwares
from tests.lab import qemu
from tests.lab.native import run

GREETING = "HELLO FROM THE MACHINES OWN LOADER"
HELLO = f"""\
serial --unit=0 --speed=115200
terminal_output serial
echo {GREETING}
sleep 60
"""

SAYS = {
    "machine": GREETING.encode(),
    "twinboot": b"Twinboot: medium is",
    "refused": b"Access Denied",
}
"""Who speaks, and what is heard on the serial line. The last is the firmware, of a loader nobody signed."""


@dataclass(frozen=True, slots=True)
class Medium:
    """An image and how the machine sees it: a USB `stick`, a BMC's `virtual` disc on USB, or in a `drive`."""

    image: Path
    seen_as: str = "stick"


def with_grub(disk: Path, start: str, folder: Path, modules: tuple[str, ...] = ()) -> None:
    """Puts a GRUB for BIOS into `disk` (laid out as plan_layout says) that runs the script `start`."""
    script, core = folder / "start.cfg", folder / "core.img"
    script.write_text(start)
    make_image(RealHost(), "i386-pc", core, "/nowhere", [*BIOS, *modules], script)
    put_core(disk, plan_layout(8 * MIB).boot, core)


def with_files(disk: Path, sectors: int, content: Path) -> None:
    """Puts an ext4 with the files of `content` into the system partition, `sectors` of 512 bytes long."""
    layout = plan_layout(sectors)
    offset = f"offset={layout.system.offset}"
    run("mke2fs", "-q", "-t", "ext4", "-d", content, "-E", offset, disk, f"{sectors // 2}k")
    assert disk.stat().st_size == layout.sectors * SECTOR


def machine_disk(folder: Path, env: Mapping[str, str] | None) -> Path:
    """A disk with GRUB for BIOS and UEFI (at /EFI/debian only, as Debian installs it) and an ext4 /boot."""
    disk, layout, host = folder / "machine.img", plan_layout(8 * MIB), RealHost()
    write_table(disk, layout)
    with_grub(disk, HELLO, folder)
    efi = folder / "grubx64.efi"
    make_image(host, "x86_64-efi", efi, "/nowhere", UEFI, folder / "start.cfg")
    esp = make_fat(host, disk, layout.esp.offset, layout.esp.length, "MACHINE", "4d414348")
    run("mmd", "-i", esp, "::/EFI", "::/EFI/debian")
    run("mcopy", "-i", esp, efi, "::/EFI/debian/grubx64.efi")
    boot = folder / "boot"
    (boot / "twinboot").mkdir(parents=True)
    if env is not None:
        block = boot / "twinboot/env"
        run("grub-editenv", block, "create")
        run("grub-editenv", block, "set", *(f"{name}={value}" for name, value in env.items()))
    with_files(disk, 8 * MIB, boot)
    return disk


def command_line(folder: Path, firmware: str, disk: Path, medium: Medium) -> list[str]:
    """The medium first in the boot order, the serial line to a file; `firmware` is bios, uefi or secure."""
    secure = firmware == "secure"
    argv = [*qemu.program(), "-machine", f"q35,smm={'on' if secure else 'off'}", "-accel", "tcg"]
    argv += ["-cpu", "max,-erms,-fsrm", "-m", "1024", "-display", "none", "-nic", "none", "-no-reboot"]
    argv += ["-serial", f"file:{folder / 'serial'}", "-device", "qemu-xhci"]
    kind = "disk" if medium.seen_as == "stick" else "cdrom"
    argv += ["-drive", f"if=none,id=medium,format=raw,media={kind},snapshot=on,file={medium.image}"]
    argv += {
        "stick": ["-device", "usb-storage,drive=medium,bootindex=1"],
        "virtual": ["-device", "usb-bot,id=bot", "-device", "scsi-cd,bus=bot.0,drive=medium,bootindex=1"],
        "drive": ["-device", "ide-cd,bus=ide.1,drive=medium,bootindex=1"],
    }[medium.seen_as]
    argv += ["-drive", f"if=none,id=disk,format=raw,snapshot=on,file={disk}"]
    argv += ["-device", "virtio-blk-pci,drive=disk,bootindex=2"]
    if firmware != "bios":
        code, variables = firmwares.uefi_code(secure), firmwares.variables_template(secure)
        shutil.copyfile(variables, folder / "vars.fd")
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
        argv += ["-drive", f"if=pflash,format=raw,file={folder / 'vars.fd'}"]
    if secure:
        # Only system management mode may write the store of keys.
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    return argv


def what_starts(
    folder: Path, firmware: str, env: Mapping[str, str] | None, medium: Medium, limit: float = 240.0
) -> str:
    """Who of SAYS is heard first on the serial line, or what was said instead."""
    assert medium.image.exists(), "run `make image` first"
    argv = command_line(folder, firmware, machine_disk(folder, env), medium)
    process, serial = subprocess.Popen(argv), folder / "serial"
    try:
        end = time.monotonic() + limit
        while time.monotonic() < end and process.poll() is None:
            text = serial.read_bytes() if serial.exists() else b""
            for who, words in SAYS.items():
                if words in text:
                    return who
            time.sleep(0.5)
        return "nothing in time: " + serial.read_text(errors="replace")[-2000:]
    finally:
        process.kill()
        process.wait()
