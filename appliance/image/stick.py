"""Grows the stick's data partition to the whole stick at its first start. Safe to be cut at any write.

A new FAT is made in the free space behind the image and the files are copied into it; only then does the
partition table name it, in one write of each of its two copies, the second copy first. Before that the old
partition is whole, after it the new one is; in between Linux (kernel argument `gpt`) reads the second copy.
What is done is asked of the disk: a table whose second copy lies in the disk's last sector has been grown.
Source of the table's fields: UEFI specification, 5.3.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import sys
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import ApplianceError, CommandFailed, DamagedData
from appliance.host.run import Host, RealHost, read, write

SECTOR = 512
MIB = 2048  # sectors
# Below this much new room growing is not worth a write, and FAT32 wants more clusters than would fit.
WORTHWHILE = 64 * MIB
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")
SPARE_NUMBER = 9  # a partition number the table does not use, for the kernel's mapping while we copy


@dataclass(frozen=True, slots=True)
class Table:
    """A GUID partition table: the fields we change, its entries as raw bytes. Sectors are of 512 bytes."""

    header: bytes
    alternate: int
    last_usable: int
    entries: bytes
    entry_size: int

    def entry(self, number: int) -> tuple[int, int]:
        """(first, last) sector of partition `number`, counted from 1."""
        fields = ENTRY.unpack_from(self.entries, (number - 1) * self.entry_size)
        return fields[2], fields[3]


def parse_table(head: bytes) -> Table:
    """From a disk's first 34 sectors. Raises DamagedData when the table or its checksums are not right."""
    header = head[SECTOR : 2 * SECTOR]
    fields = HEADER.unpack_from(header)
    if fields[0] != b"EFI PART":
        raise DamagedData("The stick has no GUID partition table.")
    blank = header[:16] + bytes(4) + header[20 : fields[2]]
    if zlib.crc32(blank) != fields[3]:
        raise DamagedData("The stick's partition table does not match its checksum.")
    count, size = fields[11], fields[12]
    entries = head[2 * SECTOR : 2 * SECTOR + count * size]
    if len(entries) != count * size or size < ENTRY.size or zlib.crc32(entries) != fields[13]:
        raise DamagedData("The stick's list of partitions does not match its checksum.")
    return Table(header[: fields[2]], fields[6], fields[8], entries, size)


@dataclass(frozen=True, slots=True)
class Growth:
    """Where the data partition goes: first and last sector, and the table that will say so."""

    first: int
    last: int
    table: Table


def plan_growth(table: Table, sectors: int) -> Growth | None:
    """What to do on a disk of `sectors`; None when it is grown already or there is little to gain."""
    if table.alternate >= sectors - 1:
        return None
    # Behind the image: the old second copy of the table ends at `alternate`.
    first = (table.alternate // MIB + 1) * MIB
    last_usable = sectors - 34
    last = (last_usable + 1) // MIB * MIB - 1
    if last - first < WORTHWHILE:
        return None
    entry = bytearray(table.entries)
    struct.pack_into("<QQ", entry, 32, first, last)
    grown = replace(table, alternate=sectors - 1, last_usable=last_usable, entries=bytes(entry))
    return Growth(first, last, grown)


def header_bytes(table: Table, primary: bool) -> bytes:
    """One sector: the header for the first or the second copy of the table."""
    fields = list(HEADER.unpack_from(table.header))
    fields[3] = 0
    here, other, entries = 1, table.alternate, 2
    if not primary:
        here, other, entries = table.alternate, 1, table.alternate - 32
    fields[5:7] = here, other
    fields[8] = table.last_usable
    fields[10] = entries
    fields[13] = zlib.crc32(table.entries)
    raw = HEADER.pack(*fields) + table.header[HEADER.size :]
    checksum = zlib.crc32(raw)
    return (raw[:16] + struct.pack("<I", checksum) + raw[20:]).ljust(SECTOR, b"\0")


def table_writes(table: Table) -> tuple[tuple[int, bytes], ...]:
    """The writes that put `table` on the disk, in order: (offset in bytes, data), each to be flushed."""
    second = table.entries.ljust(32 * SECTOR, b"\0") + header_bytes(table, primary=False)
    first = header_bytes(table, primary=True) + table.entries
    return ((table.alternate - 32) * SECTOR, second), (SECTOR, first)


def grow(host: Host, disk: Path, work: Path) -> bool:
    """Grows the data partition of `disk`; False when there was nothing to do. `work` is for mount points."""
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        sectors = os.lseek(descriptor, 0, os.SEEK_END) // SECTOR
        table = parse_table(os.pread(descriptor, 34 * SECTOR, 0))
    finally:
        os.close(descriptor)
    growth = plan_growth(table, sectors)
    if growth is None:
        return False
    _fill_new_partition(host, disk, growth, work)
    descriptor = os.open(disk, os.O_WRONLY)
    try:
        for offset, data in table_writes(growth.table):
            os.pwrite(descriptor, data, offset)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # The kernel's own view, for this partition alone: the rest of the stick is in use.
    forget_partition(disk, 1)
    tell_partition(disk, 1, growth)
    return True


def _fill_new_partition(host: Host, disk: Path, growth: Growth, work: Path) -> None:
    """Makes the new FAT and copies the old files into it; the table does not know of it yet."""
    old, new = work / "old", work / "new"
    for folder in (old, new):
        folder.mkdir(parents=True, exist_ok=True)
    spare = partition_device(disk, SPARE_NUMBER)
    # By the kernel's own call: Debian 13's util-linux has no addpart, and the image no util-linux-extra.
    forget_partition(disk, SPARE_NUMBER)
    tell_partition(disk, SPARE_NUMBER, growth)
    try:
        host.run(write("mkfs.vfat", "-F", "32", "-n", "TWINBOOT", str(spare)))
        host.run(write("mount", "-t", "vfat", "-o", "ro", str(partition_device(disk, 1)), str(old)))
        try:
            host.run(write("mount", "-t", "vfat", str(spare), str(new)))
            try:
                host.run(write("cp", "-r", "--preserve=timestamps", f"{old}/.", str(new)))
            finally:
                host.run(write("umount", str(new)))
        finally:
            host.run(write("umount", str(old)))
        host.run(write("blockdev", "--flushbufs", str(disk)))
    finally:
        forget_partition(disk, SPARE_NUMBER)


class _Partition(ctypes.Structure):
    """struct blkpg_partition of linux/blkpg.h; start and length in bytes."""

    _fields_ = (
        ("start", ctypes.c_longlong),
        ("length", ctypes.c_longlong),
        ("number", ctypes.c_int),
        ("names", ctypes.c_char * 128),
    )


class _Request(ctypes.Structure):
    """struct blkpg_ioctl_arg of linux/blkpg.h."""

    _fields_ = (
        ("operation", ctypes.c_int),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_int),
        ("partition", ctypes.POINTER(_Partition)),
    )


BLKPG, BLKPG_ADD_PARTITION, BLKPG_DEL_PARTITION = 0x1269, 1, 2


def _blkpg(disk: Path, operation: int, partition: _Partition) -> None:
    request = _Request(operation, 0, ctypes.sizeof(partition), ctypes.pointer(partition))
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, BLKPG, request)
    finally:
        os.close(descriptor)


def tell_partition(disk: Path, number: int, growth: Growth) -> None:
    """Makes the kernel know a partition at the new place; the disk itself is not touched."""
    length = (growth.last - growth.first + 1) * SECTOR
    _blkpg(disk, BLKPG_ADD_PARTITION, _Partition(growth.first * SECTOR, length, number))


def forget_partition(disk: Path, number: int, patience: float = 20.0) -> None:
    """Makes the kernel forget a partition that nobody uses; the disk itself is not touched.

    udev looks at each new file system for a moment: waits up to `patience` seconds for it to let go.
    """
    end = time.monotonic() + patience
    while True:
        try:
            _blkpg(disk, BLKPG_DEL_PARTITION, _Partition(0, 0, number))
            return
        except OSError as error:
            if error.errno == errno.ENXIO:  # not known to the kernel: nothing to forget
                return
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
        time.sleep(0.5)


def partition_device(disk: Path, number: int) -> Path:
    """The kernel's name of a partition: sda1, nvme0n1p1."""
    between = "p" if disk.name[-1].isdigit() else ""
    return disk.with_name(f"{disk.name}{between}{number}")


def main() -> int:
    """`python -m appliance.image.stick DISK`: called by twinboot-data before it mounts the partition."""
    host = RealHost()
    disk = Path(sys.argv[1])
    try:
        size = host.run(read("blockdev", "--getss", str(disk))).stdout.strip()
        if size != str(SECTOR):
            raise CommandFailed(f"{disk} has sectors of {size} bytes; only 512 is known here.")
        grown = grow(host, disk, Path("/run/twinboot/grow"))
    except (ApplianceError, OSError) as error:
        print(f"The data partition of {disk} was not grown: {error}", file=sys.stderr)
        return 1
    print(
        "The data partition was grown to the whole stick."
        if grown
        else "The data partition has its full size."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
