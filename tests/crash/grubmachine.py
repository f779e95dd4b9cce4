"""A machine of a disk and GRUB only: real SeaBIOS, real GRUB 2, a generated Debian grub.cfg, tiny kernels.

The disk is GPT with a BIOS boot partition and an ext4 /boot; or with two roots that have one inside each, of
which GRUB reads the first. Boots take about half a second, emulated. With /boot on LVM it lies in the same
place, in the one linear volume of a group, and an ESP stands behind it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.probe.lvm import lvm_config
from tests.crash.tinykernel import tiny_kernel

UUID = "5c2ad7a4-3f6e-4b9e-8f6c-0f3c4e3c9f11"
GRUB_CFG = Path(__file__).parents[1] / "unit/boot/debian12-grub.cfg"
PLATFORM = Path("/usr/lib/grub/i386-pc")
OLD = "6.1.0-13-amd64"
START = 4096  # first sector of /boot
SECTORS = 40 << 11
UUID_2 = "a1c7e9b2-6d04-4f3a-8e5b-2b9d7c1f0e36"
START_2 = START + SECTORS  # first sector of the second root, where there is one
INSIDE = "/boot"  # the path of /boot in each
CORE = 2048  # first sector of the BIOS boot partition
PV = 2048  # first sector of a physical volume whose first extent is START
CORE_BEFORE_PV = 64
ESP_START, ESP_SECTORS = START + SECTORS, 4 << 11
ESP = "7A3B-91C4"
_SAID = re.compile(rb"<<([^|>]*)\|([^|>]*)\|([^|>]*)>>")


@dataclass(frozen=True)
class Started:
    """What one boot came to: which kernel, with which command line and initrd. Empty: nothing started."""

    kernel: str = ""
    line: str = ""
    initrd: str = ""

    @property
    def root(self) -> str:
        return next((w[5:] for w in self.line.split() if w.startswith("root=")), "")


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def missing_tools(*more: str) -> list[str]:
    tools = (
        "qemu-system-x86_64",
        "grub-mkimage",
        "grub-fstest",
        "sfdisk",
        "mkfs.ext4",
        "losetup",
        "fsfreeze",
        *more,
    )
    lost = [tool for tool in tools if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    return lost + ([] if PLATFORM.is_dir() else ["grub-pc-bin"])


def build(disk: Path, work: Path) -> None:
    """A disk as Debian's installer leaves it, with kernels that say which they are."""
    lay_out(disk, (START,))
    install_grub(disk, work, "(,gpt2)/grub")
    make_file_system(disk, work, START, UUID)
    with mounted(disk, work / "m") as (at, _):
        fill(at, GRUB_CFG.read_text())


def build_on_lvm(disk: Path, work: Path) -> None:
    """The same with /boot on LVM, which GRUB can only read."""
    _lay_out_lvm(disk)
    install_grub(disk, work, "(lvm/vg0-boot)/grub", CORE_BEFORE_PV, ("lvm",))
    _make_volume(disk)
    _make_esp(disk, work)
    make_file_system(disk, work, START, UUID)
    with mounted(disk, work / "m") as (at, _):
        fill(at, GRUB_CFG.read_text())


def build_inside(disk: Path, work: Path) -> None:
    """Two roots with /boot inside: the one GRUB reads, and an empty one. Entries name roots by UUID."""
    lay_out(disk, (START, START_2))
    install_grub(disk, work, f"(,gpt2){INSIDE}/grub")
    for start, uuid in ((START, UUID), (START_2, UUID_2)):
        make_file_system(disk, work, start, uuid)
    with mounted(disk, work / "m") as (at, _):
        fill(at / INSIDE.strip("/"), config_inside(UUID))


def config_inside(uuid: str, version: str = OLD) -> str:
    """The grub.cfg of a root with that UUID and /boot inside, which starts that kernel by default."""
    text = GRUB_CFG.read_text().replace("/dev/mapper/vg0-root", f"UUID={uuid}").replace(UUID, uuid)
    for word in ("vmlinuz", "initrd.img"):
        text = text.replace(f"\t/{word}-", f"\t{INSIDE}/{word}-")
    return text.replace(OLD, version)


def lay_out(disk: Path, starts: tuple[int, ...]) -> None:
    with disk.open("wb") as out:
        out.truncate((starts[-1] + SECTORS + 2048) * 512)
    table = f"label: gpt\nstart={CORE}, size=2048, type=21686148-6449-6E6F-744E-656564454649\n"
    table += "".join(f"start={start}, size={SECTORS}\n" for start in starts)
    subprocess.run(["sfdisk", "-q", str(disk)], input=table.encode(), check=True, capture_output=True)


def _lay_out_lvm(disk: Path) -> None:
    with disk.open("wb") as out:
        out.truncate((ESP_START + ESP_SECTORS + 2048) * 512)
    core = CORE_BEFORE_PV
    table = f"label: gpt\nfirst-lba: {core}\n"
    table += f"start={core}, size={PV - core}, type=21686148-6449-6E6F-744E-656564454649\n"
    table += f"start={PV}, size={START + SECTORS - PV}, type=V\n"
    table += f"start={ESP_START}, size={ESP_SECTORS}, type=U\n"
    subprocess.run(["sfdisk", "-q", str(disk)], input=table.encode(), check=True, capture_output=True)


def make_file_system(disk: Path, work: Path, start: int, uuid: str) -> None:
    boot = work / "boot.img"
    with boot.open("wb") as out:
        out.truncate(SECTORS * 512)
    run(
        "mkfs.ext4", "-q", "-F", "-b", "4096", "-U", uuid, "-O", "^metadata_csum_seed,^orphan_file", str(boot)
    )
    with disk.open("r+b") as out:
        out.seek(start * 512)
        out.write(boot.read_bytes())


def _make_volume(disk: Path) -> None:
    """A volume group whose one linear volume begins at START. LVM needs no device-mapper for that."""
    with looped(disk, PV, START + SECTORS - PV) as loop:
        config = lvm_config((loop,))
        run("pvcreate", *config, "-q", "--dataalignment", "1m", loop)
        run("vgcreate", *config, "-q", "-s", "1m", "vg0", loop)
        run(
            "lvcreate",
            *config,
            "-q",
            "--driverloaded",
            "n",
            "-an",
            "-Zn",
            "-Wn",
            "-l",
            str(SECTORS >> 11),
            "-n",
            "boot",
            "vg0",
        )


def _make_esp(disk: Path, work: Path) -> None:
    image = work / "esp.img"
    run("mkfs.vfat", "-C", "-i", ESP.replace("-", ""), "-s", "1", str(image), str(ESP_SECTORS // 2))
    with disk.open("r+b") as out:
        out.seek(ESP_START * 512)
        out.write(image.read_bytes())


def fill(at: Path, config: str, platform: Path = PLATFORM) -> None:
    """/boot as Debian's packages and grub-install leave it."""
    fill_grub(at, config, platform)
    for version in (OLD, "6.1.0-12-amd64"):
        (at / f"vmlinuz-{version}").write_bytes(tiny_kernel(f"kernel {version}", 60_000))
        (at / f"initrd.img-{version}").write_bytes(f"initrd {version}".encode() + b"\0" * 5000)


def fill_grub(at: Path, config: str, platform: Path = PLATFORM) -> None:
    folder = at / "grub/i386-pc"
    folder.mkdir(parents=True)
    for module in platform.glob("*.mod"):
        shutil.copy(module, folder)
    for listing in platform.glob("*.lst"):
        shutil.copy(listing, folder)
    (at / "grub/grub.cfg").write_text(config.replace("set timeout=5", "set timeout=0"))
    (at / "grub/grubenv").write_bytes(b"# GRUB Environment Block\n".ljust(1024, b"#"))


def install_grub(
    disk: Path,
    work: Path,
    prefix: str,
    at: int = CORE,
    more: tuple[str, ...] = (),
    platform: Path = PLATFORM,
) -> None:
    """What grub-bios-setup does for a BIOS boot partition (util/setup.c: the two block lists), which
    begins at sector `at`; `more` modules are in the core image, all of them from `platform`."""
    core = work / "core.img"
    run("grub-mkimage", "-O", "i386-pc", "-d", str(platform), "-p", prefix, "-o", str(core),
        "biosdisk", "part_gpt", "ext2", *more)  # fmt: skip
    image = bytearray(core.read_bytes().ljust(-(-core.stat().st_size // 512) * 512, b"\0"))
    struct.pack_into("<QHH", image, 0x1F4, at + 1, len(image) // 512 - 1, 0x820)
    mbr = bytearray((platform / "boot.img").read_bytes()[:440])
    struct.pack_into("<Q", mbr, 0x5C, at)
    mbr[0x64] = 0xFF
    mbr[0x66:0x68] = b"\x90\x90"
    with disk.open("r+b") as out:
        out.write(mbr)
        out.seek(at * 512)
        out.write(image)


def _ends_well(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True).returncode == 0


def _soon(*argv: str) -> bool:
    """What the metal's sh left in the background may hold the mount, or freeze it itself, for a moment."""
    for _ in range(20):
        if _ends_well(*argv):
            return True
        time.sleep(0.25)
    return False


def _unmount(at: Path) -> None:
    """Frozen once before: GRUB reads no journal, and a mount namespace that another program of this host
    made meanwhile keeps the file system up behind our umount."""
    frozen = _soon("fsfreeze", "--freeze", str(at))
    _ends_well("fsfreeze", "--unfreeze", str(at))
    if not (frozen and _soon("umount", str(at))):
        run("umount", "--lazy", str(at))
        raise RuntimeError(f"{at} is still in use")


@contextlib.contextmanager
def mounted(disk: Path, at: Path, start: int = START) -> Iterator[tuple[Path, str]]:
    """/boot of the disk, mounted, or a root; yields the mount point and the loop device."""
    at.mkdir(exist_ok=True)
    with looped(disk, start, SECTORS) as loop:
        run("mount", "-t", "ext4", loop, str(at))
        try:
            yield at, loop
        finally:
            _unmount(at)


@contextlib.contextmanager
def looped(disk: Path, start: int, sectors: int) -> Iterator[str]:
    """A part of the disk as a loop device."""
    window = ("-o", str(start * 512), "--sizelimit", str(sectors * 512))
    argv = ["losetup", "-f", "--show", *window, str(disk)]
    loop = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield loop
    finally:
        run("losetup", "-d", loop)


def start(disk: Path, *, readonly: bool = False, throwaway: bool = False, limit: float = 60.0) -> Started:
    """Power on, and what came of it. `readonly` gives the machine a disk that refuses every write,
    `throwaway` one whose writes are forgotten."""
    drive = f"file={disk},format=raw,if=none,id=d,cache=unsafe" + (",read-only=on" if readonly else "")
    drive += ",snapshot=on" if throwaway else ""
    argv = [
        "qemu-system-x86_64", "-accel", "tcg", "-m", "128", "-display", "none", "-vga", "none",
        "-drive", drive, "-device", "virtio-blk-pci,drive=d", "-no-reboot", "-nic", "none",
        "-serial", "stdio", "-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
    ]  # fmt: skip
    try:
        said = subprocess.run(argv, capture_output=True, timeout=limit, stdin=subprocess.DEVNULL).stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    found = _SAID.search(said)
    return Started(*(part.decode() for part in found.groups())) if found else Started()
