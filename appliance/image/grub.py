"""GRUB's images, made from the build machine's packages: for BIOS, for UEFI, and both over the network."""

from __future__ import annotations

import struct
from pathlib import Path

from appliance.host.run import Host, write

LIBRARY = Path("/usr/lib/grub")
SECTOR = 512
# What the menus use: file systems a machine's /boot can lie on, searching, env blocks, handing over.
MODULES = (
    *(
        "part_gpt",
        "part_msdos",
        "ext2",
        "fat",
        "xfs",
        "btrfs",
        "normal",
        "linux",
        "echo",
        "cat",
        "ls",
        "test",
    ),
    *(
        "true",
        "regexp",
        "search",
        "search_label",
        "search_fs_file",
        "search_fs_uuid",
        "loadenv",
        "configfile",
    ),
    *("chain", "boot", "serial", "terminal", "terminfo", "sleep", "reboot", "halt", "minicmd"),
)
BIOS = ["biosdisk", "drivemap"]
UEFI = ["efi_gop", "efi_uga", "all_video", "efifwsetup"]
NETWORK = ["net", "tftp", "http"]

# The folder that grub was loaded from holds its grub.cfg; cmdpath names it without a trailing slash.
NETWORK_START = """\
set prefix=$cmdpath
regexp --set=1:tb_here '^\\([^)]*\\)(.*)$' "$cmdpath"
configfile $cmdpath/grub.cfg
echo "Twinboot: $cmdpath/grub.cfg was not found: back to what started GRUB."
sleep 3
exit
"""


def make_image(
    host: Host, kind: str, out: Path, prefix: str, modules: list[str], start: Path | None = None
) -> None:
    """Runs grub-mkimage for `kind` (as i386-pc); `start` is a script run before anything else."""
    argv = [
        "grub-mkimage",
        "-O",
        kind,
        "-o",
        str(out),
        "-p",
        prefix,
        "-d",
        # i386-pc-pxe and i386-pc-eltorito are made of i386-pc's modules.
        str(LIBRARY / "-".join(kind.split("-")[:2])),
    ]
    if start is not None:
        argv += ["-c", str(start)]
    host.run(write(*argv, *MODULES, *modules))


def network_images(host: Host, folder: Path, work: Path) -> None:
    """twinboot.0 (BIOS) and twinbootx64.efi, to be named as the boot file by DHCP or chained from iPXE."""
    start = work / "network-start.cfg"
    start.write_text(NETWORK_START)
    make_image(host, "i386-pc-pxe", folder / "twinboot.0", "/", [*BIOS, "pxe", *NETWORK], start)
    make_image(host, "x86_64-efi", folder / "twinbootx64.efi", "/", [*UEFI, "efinet", *NETWORK], start)


def boot_sector(boot_img: bytes, core_at: int) -> bytes:
    """The 440 bytes of code for the MBR, told that the core image starts at sector `core_at`."""
    code = bytearray(boot_img[:440])
    """The core image, told where its second sector lies: the list of blocks at its first one's end."""
    # on its workaround for BIOSes that report a wrong boot drive, as grub-bios-setup does for hard disks.
    struct.pack_into("<Q", code, 0x5C, core_at)
    code[0x66:0x68] = b"\x90\x90"
    return bytes(code)


def placed_core(core_img: bytes, core_at: int) -> bytes:
    """The core image, told where its second sector lies: the block list at the end of its first."""
    core = bytearray(core_img)
    sectors = (len(core) - 1) // SECTOR  # of what follows the first sector, the last one perhaps not full
    struct.pack_into("<QHH", core, SECTOR - 12, core_at + 1, sectors, 0x820)
    return bytes(core)
