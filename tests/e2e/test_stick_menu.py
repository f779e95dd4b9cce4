"""The stick's menu on a machine with a disk of its own: who starts, with and without a pending trial.

The machine's disk is as small as can be: a GRUB that says hello and an env block. No kernel is started on it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from appliance.host.run import RealHost
from appliance.image.grub import BIOS, LIBRARY, UEFI, boot_sector, make_image, placed_core
from appliance.image.usb import MIB, SECTOR, plan_layout, write_table

ROOT = Path(__file__).parents[2]
STICK = ROOT / "dist/twinboot.img"
pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

HELLO = """\
serial --unit=0 --speed=115200
terminal_output serial
echo HELLO FROM THE MACHINES OWN LOADER
sleep 60
"""


def machine_disk(folder: Path, env: dict[str, str] | None) -> Path:
    """A disk with GRUB for BIOS and UEFI (at /EFI/debian only, as Debian installs it) and an ext4 /boot."""
    host, disk, layout = RealHost(), folder / "machine.img", plan_layout(8 * MIB)
    write_table(disk, layout)
    hello, core, efi = folder / "hello.cfg", folder / "core.img", folder / "grubx64.efi"
    hello.write_text(HELLO)
    make_image(host, "i386-pc", core, "/nowhere", BIOS, hello)
    make_image(host, "x86_64-efi", efi, "/nowhere", UEFI, hello)
    with disk.open("r+b") as file:
        file.write(boot_sector((LIBRARY / "i386-pc/boot.img").read_bytes(), layout.boot.start))
        file.seek(layout.boot.offset)
        file.write(placed_core(core.read_bytes(), layout.boot.start))
    esp = f"{disk}@@{layout.esp.offset}"
    run("mformat", "-i", esp, "-T", str(layout.esp.length), "-h", "64", "-s", "32", "-c", "4", "::")
    run("mmd", "-i", esp, "::/EFI", "::/EFI/debian")
    run("mcopy", "-i", esp, str(efi), "::/EFI/debian/grubx64.efi")
    boot = folder / "boot"
    (boot / "twinboot").mkdir(parents=True)
    if env is not None:
        block = boot / "twinboot/env"
        run("grub-editenv", str(block), "create")
        run("grub-editenv", str(block), "set", *(f"{name}={value}" for name, value in env.items()))
    offset = f"offset={layout.system.offset}"
    run(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-d",
        str(boot),
        "-E",
        offset,
        str(disk),
        f"{layout.system.length // 2}k",
    )
    assert disk.stat().st_size == layout.sectors * SECTOR
    return disk


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def power_on(folder: Path, firmware: str, disk: Path, stick: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """The machine with the stick first in the boot order; its serial line goes to a file."""
    serial = folder / "serial"
    argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max,-erms,-fsrm", "-m", "1024"]
    argv += [
        "-display",
        "none",
        "-nic",
        "none",
        "-serial",
        f"file:{serial}",
        "-no-reboot",
        "-device",
        "qemu-xhci",
    ]
    argv += ["-drive", f"if=none,id=stick,format=raw,snapshot=on,file={stick}"]
    argv += ["-device", "usb-storage,drive=stick,bootindex=1"]
    argv += ["-drive", f"if=none,id=disk,format=raw,snapshot=on,file={disk}"]
    argv += ["-device", "virtio-blk-pci,drive=disk,bootindex=2"]
    if firmware == "uefi":
        shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", folder / "vars.fd")
        argv += ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]
        argv += ["-drive", f"if=pflash,format=raw,file={folder / 'vars.fd'}"]
    return subprocess.Popen(argv), serial


def what_starts(folder: Path, firmware: str, env: dict[str, str] | None, limit: float = 180.0) -> str:
    """Which of the two speaks on the serial line first: "machine", "twinboot", or what was said instead."""
    assert STICK.exists(), "run `make image` first"
    process, serial = power_on(folder, firmware, machine_disk(folder, env), STICK)
    try:
        end = time.monotonic() + limit
        while time.monotonic() < end and process.poll() is None:
            text = serial.read_bytes() if serial.exists() else b""
            if b"HELLO FROM THE MACHINES OWN LOADER" in text:
                return "machine"
            if b"Twinboot: looking for the medium" in text:
                return "twinboot"
            time.sleep(0.5)
        return "nothing in time: " + serial.read_text(errors="replace")[-2000:]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_with_a_trial_pending_the_machine_starts_from_its_own_disk(tmp_path: Path, firmware: str) -> None:
    assert what_starts(tmp_path, firmware, {"tb_pending": "1"}) == "machine"


def test_the_menu_says_why_it_hands_over(tmp_path: Path) -> None:
    assert what_starts(tmp_path, "bios", {"tb_pending": "1"}) == "machine"
    text = (tmp_path / "serial").read_text(errors="replace")
    assert "a trial or its fallback is pending" in text


@pytest.mark.parametrize("env", [None, {"tb_pending": "0"}, {"other": "1"}], ids=["no-env", "zero", "other"])
def test_without_one_the_stick_starts(tmp_path: Path, env: dict[str, str] | None) -> None:
    assert what_starts(tmp_path, "bios", env) == "twinboot"


def test_a_uefi_machine_without_a_trial_starts_the_stick(tmp_path: Path) -> None:
    assert what_starts(tmp_path, "uefi", None) == "twinboot"
