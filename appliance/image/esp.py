"""The EFI system partition of stick and disc: Debian's signed shim and GRUB, and where they find the menu.

Firmware with Secure Boot on starts shim, shim starts the GRUB beside it, and that GRUB only what Debian
signed: its own modules and our kernel, which is Debian's. Source: wiki.debian.org/SecureBoot.
"""

from __future__ import annotations

from pathlib import Path

from appliance.host.run import Host, write

FILES = {"shimx64.efi": "BOOTX64.EFI", "grubx64.efi": "grubx64.efi", "mmx64.efi": "mmx64.efi"}
"""Debian's name: the name in /EFI/BOOT. The first is what the firmware looks for on removable media."""

SECTORS = 8 * 2048
"""Of 512 bytes, for the whole partition: the loaders take 5 MiB."""

ON_STICK = "set root=$tb_own,gpt4"
"""On the disk GRUB was started from, so that a second stick is never taken for the first."""

_START = Path(__file__).with_name("esp-grub.cfg")


def on_disc(build: str) -> str:
    """The disc GRUB was started from; where firmware shows the boot image alone, any disc of this build."""
    return (
        "set root=$tb_own\n"
        "if [ ! -f ($tb_own)/twinboot/grub/grub.cfg ]; then\n"
        f"    search --no-floppy --set=root --file /boot/grub/{build}\n"
        "fi"
    )


def start_script(find: str) -> str:
    """What the signed GRUB reads first: /EFI/debian/grub.cfg."""
    return _START.read_text().replace("@FIND@", find)


def make_fat(host: Host, image: Path, offset: int, sectors: int, label: str, serial: str) -> str:
    """Makes a FAT at `offset` bytes of `image`, `sectors` of 512 bytes long; returns mtools' name for it."""
    where = f"{image}@@{offset}"
    argv = ["mformat", "-i", where, "-T", str(sectors), "-h", "64", "-s", "32", "-c", "4"]
    host.run(write(*argv, "-v", label, "-N", serial, "::"))
    return where


def fill_esp(host: Host, where: str, signed: Path, find: str, work: Path) -> None:
    """Puts the loaders of `signed` into the FAT `where`; `find` is GRUB script that sets root."""
    start = work / "esp-grub.cfg"
    start.write_text(start_script(find))
    host.run(write("mmd", "-i", where, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"))
    for source, name in FILES.items():
        host.run(write("mcopy", "-i", where, str(signed / source), f"::/EFI/BOOT/{name}"))
    host.run(write("mcopy", "-i", where, str(start), "::/EFI/debian/grub.cfg"))
