"""Our loader code over a disk of a grubmachine: open, stage, arm, as promotion does."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from appliance.boot.choose import grub_script_check
from appliance.boot.flip import open_boot
from appliance.boot.grub import Grub
from appliance.boot.place import Boot, BootDisk, BootPlace, Sector, SectorPlace
from appliance.boot.raw import GrubReader
from appliance.boot.shapes import Artifacts, BootFile, StagedSystem
from appliance.host.run import RealHost
from tests.crash import grubmachine
from tests.crash.fatdisk import FatDisk
from tests.crash.tinykernel import tiny_kernel

NEW = "6.1.0-40-amd64"
OLD_ROOT = "/dev/mapper/vg0-root"
NEW_ROOT = "/dev/mapper/vg0-tb1--trial"
HOST = RealHost()
LOADER = Grub(check=lambda text: grub_script_check(HOST, text))


def sources(folder: Path, version: str = NEW, tag: str = "") -> Artifacts:
    """A new system's boot files, as the twin's /boot would hold them."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        f"vmlinuz-{version}": tiny_kernel(f"kernel {version}{tag}", 60_000),
        f"initrd.img-{version}": f"initrd {version}{tag}".encode() + b"\0" * 9000,
        f"config-{version}": b"CONFIG_X=y\n" * 50,
        f"System.map-{version}": b"0000 T _text\n" * 40,
    }
    files = []
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        found = hashlib.sha256(data).hexdigest()
        files.append(BootFile(name=name, source=str(folder / name), sha256=found, size=len(data)))
    return Artifacts(
        version=version, kernel=f"vmlinuz-{version}", initrds=(f"initrd.img-{version}",), files=tuple(files)
    )


def wanted(folder: Path, run: str = "tb1", version: str = NEW, tag: str = "") -> StagedSystem:
    return StagedSystem(
        run=run,
        title="Debian GNU/Linux 12 patched",
        root=f"/dev/mapper/vg0-{run}--trial",
        old_root=OLD_ROOT if run == "tb1" else NEW_ROOT,
        artifacts=sources(folder, version, tag),
        machine_esp="7A11-0C3D",
        efi_loader="/EFI/debian/grubx64.efi",
    )


SECTOR = f"twinboot/{grubmachine.UUID}/env"
"""Where the sector lies on the ESP of a machine with /boot on LVM."""


@contextlib.contextmanager
def opened_apart(disk: Path, work: Path) -> Iterator[Boot]:
    """A machine with /boot on LVM: GRUB can not write there, so the sector lies on the ESP."""
    with (
        opened(disk, work) as boot,
        grubmachine.looped(disk, grubmachine.ESP_START, grubmachine.ESP_SECTORS) as esp,
    ):
        sector = SectorPlace(Path("/nowhere"), esp, "vfat", grubmachine.ESP, "/boot/efi", SECTOR)
        apart = Sector(cast("BootDisk", FatDisk(disk)), GrubReader(HOST, esp), SECTOR)
        yield replace(boot, place=replace(boot.place, sector=sector), apart=apart)


@contextlib.contextmanager
def opened(disk: Path, work: Path) -> Iterator[Boot]:
    with grubmachine.mounted(disk, work / "mnt") as (at, loop):
        yield open_boot(HOST, BootPlace(mount=at, device=loop, fstype="ext4", fsuuid=grubmachine.UUID))
