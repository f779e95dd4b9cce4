"""The stick: one GPT image that starts on BIOS and on UEFI. The only user of parted in image building.

On disk, from the front: BIOS boot partition, ESP, the system (ext4), the data partition (FAT). In the table
the data partition is the first, since Windows shows the first; on disk it is the last, so that it can grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import parted

from appliance.host.run import Host, write
from appliance.image.contents import LABEL, Contents, system_folder
from appliance.image.esp import ON_STICK, fill_esp, make_fat
from appliance.image.esp import SECTORS as ESP_SIZE
from appliance.image.grub import BIOS, LIBRARY, boot_sector, make_image, placed_core

SECTOR = 512
MIB = 2048  # sectors
DATA, BOOT, ESP, SYSTEM = "TWINBOOT", "TWINBOOT-BIOS", "TWINBOOT-ESP", LABEL
DATA_SIZE = 16 * MIB
FOLDERS = ("plans", "bundles", "wanted", "scripts", "checks", "reports", "twinboot")


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: start and length in sectors of 512 bytes.

    From `content` parted takes the type: a FAT becomes what Windows calls basic data.
    """

    name: str
    start: int
    length: int
    content: str | None = None
    flag: int | None = None

    @property
    def offset(self) -> int:
        """Where it starts, in bytes."""
        return self.start * SECTOR


@dataclass(frozen=True, slots=True)
class Layout:
    """Partitions in the order of the table; `sectors` is the size of the whole image."""

    data: Part
    boot: Part
    esp: Part
    system: Part
    sectors: int


def plan_layout(system_sectors: int) -> Layout:
    """Where everything goes, for a system partition of `system_sectors` (a multiple of 2048)."""
    boot = Part(BOOT, MIB, MIB, None, parted.PARTITION_BIOS_GRUB)
    # On GPT parted's boot flag is the ESP's type.
    esp = Part(ESP, boot.start + boot.length, ESP_SIZE, "fat16", parted.PARTITION_BOOT)
    system = Part(SYSTEM, esp.start + esp.length, system_sectors, "ext4")
    data = Part(DATA, system.start + system.length, DATA_SIZE, "fat16")
    return Layout(data, boot, esp, system, data.start + data.length + MIB)


def write_table(image: Path, layout: Layout) -> None:
    """Creates `image` with the layout's partition table, both copies."""
    with image.open("wb") as file:
        file.truncate(layout.sectors * SECTOR)
    device = parted.getDevice(str(image))
    disk = parted.freshDisk(device, "gpt")
    # parted numbers partitions in the order they are added.
    for part in (layout.data, layout.boot, layout.esp, layout.system):
        geometry = parted.Geometry(device=device, start=part.start, length=part.length)
        content = parted.FileSystem(type=part.content, geometry=geometry) if part.content else None
        partition = parted.Partition(disk=disk, type=parted.PARTITION_NORMAL, geometry=geometry, fs=content)
        disk.addPartition(partition=partition, constraint=parted.Constraint(exactGeom=geometry))
        partition.set_name(part.name)
        if part.flag is not None:
            partition.setFlag(part.flag)
    disk.commit()


def _put_loaders(host: Host, image: Path, layout: Layout, signed: Path, work: Path) -> None:
    core = work / "core.img"
    # "(,gpt4)": on the disk GRUB was started from, so a second stick is never taken for the first.
    make_image(host, "i386-pc", core, "(,gpt4)/twinboot/grub", BIOS)
    put_core(image, layout.boot, core)
    where = make_fat(host, image, layout.esp.offset, layout.esp.length, DATA + "ESP", "54574553")
    fill_esp(host, where, signed, ON_STICK, work)


def put_core(image: Path, boot: Part, core: Path) -> None:
    """Writes GRUB for BIOS: its boot sector, and the core image `core` into the partition `boot`."""
    placed = placed_core(core.read_bytes(), boot.start)
    if len(placed) > boot.length * SECTOR:
        raise ValueError(f"GRUB's core image has {len(placed)} bytes, more than its partition holds")
    with image.open("r+b") as file:
        file.write(boot_sector((LIBRARY / "i386-pc/boot.img").read_bytes(), boot.start))
        file.seek(boot.offset)
        file.write(placed)


def _put_data(host: Host, image: Path, layout: Layout, readme: Path) -> None:
    where = make_fat(host, image, layout.data.offset, layout.data.length, DATA, "54574442")
    host.run(write("mmd", "-i", where, *(f"::/{folder}" for folder in FOLDERS)))
    host.run(write("mcopy", "-i", where, str(readme), "::/README.txt"))


def _system_sectors(folder: Path) -> int:
    """Room for the files and ext4's own needs, whole MiB."""
    content = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return ((content // (1024 * 1024)) + 4) * MIB


def make_stick(host: Host, contents: Contents, image: Path, work: Path) -> Layout:
    """Writes the whole stick to `image`. `work` is an empty folder on the file system of the sources."""
    folder = system_folder(contents, work)
    layout = plan_layout(_system_sectors(folder))
    write_table(image, layout)
    _put_loaders(host, image, layout, contents.signed, work)
    _put_data(host, image, layout, Path(__file__).parent / "stick-readme.txt")
    # No journal, no reserved blocks, few inodes: nobody writes here and it holds a handful of files.
    features = "none,extent,filetype,sparse_super,large_file"
    argv = [
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-O",
        features,
        "-b",
        "4096",
        "-m",
        "0",
        "-N",
        "64",
        "-L",
        SYSTEM,
        "-d",
        str(folder),
    ]
    argv += [
        "-E",
        f"offset={layout.system.offset},root_owner=0:0",
        str(image),
        f"{layout.system.length // 2}k",
    ]
    host.run(write(*argv, timeout=600))
    return layout
