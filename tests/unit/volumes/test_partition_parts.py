"""What dumpe2fs, xfs_db and a sector of ours say, and when there is no room for a second root."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.errors import DamagedData
from appliance.model.machine import Bus, Disk, Partition
from appliance.model.partitions import second_uuid
from appliance.probe.partition_ours import LENGTH, Record, decode
from appliance.volumes import partition_room
from appliance.volumes.base import Snapshot, SnapshotRole
from appliance.volumes.partition_fs import Used, between, ext4_free, pieces, xfs_free, xfs_log, xfs_values
from appliance.volumes.partition_record import check_words, encode
from appliance.volumes.table import MIB

DUMPE2FS = """\
Filesystem volume name:   a b
Block count:              102400
Free blocks:              90319
Block size:               1024
Group descriptor size:    64

Group 0: (Blocks 1-8192) csum 0x6fc3 [ITABLE_ZEROED]
  Primary superblock at 1, Group descriptors at 2-2
  1498 free blocks, 1989 free inodes, 2 directories, 1989 unused inodes
  Free blocks: 6695-8192
  Free inodes: 12-2000
Group 1: (Blocks 8193-16384) csum 0x4b99 [INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]
  Free blocks: 8451-16000, 16384
Group 2: (Blocks 16385-24576) csum 0x37d7 [INODE_UNINIT, BLOCK_UNINIT, ITABLE_ZEROED]
  Free blocks:\x20
"""
"""dumpe2fs 1.47.0 of a file system of 100 MiB, shortened."""

SUPER = """\
blocksize = 4096
dblocks = 81920
agblocks = 20480
agblklog = 15
logstart = 65542
logblocks = 16384
"""
FREESP = """\
    agno    agbno      len
       0        6        1
       0       24    20456
       2    16394     4086
   from      to extents  blocks    pct
      1       1      16      16   0.02
  16384   20480       3   61396  93.73
"""
"""xfs_db 6.1 of a file system of 320 MiB, shortened."""


def test_what_is_free_in_ext4() -> None:
    size, free = ext4_free(DUMPE2FS)
    assert size == 100 * MIB
    assert free == (
        (6695 * 1024, 1498 * 1024),
        (8451 * 1024, 7550 * 1024),
        (16384 * 1024, 1024),
    )


def test_dumpe2fs_that_says_nothing_is_an_error() -> None:
    with pytest.raises(DamagedData):
        ext4_free("dumpe2fs 1.47.0\n")


def test_what_is_free_in_xfs_and_where_its_log_is() -> None:
    values = xfs_values(SUPER)
    size, free = xfs_free(values, FREESP)
    assert size == 320 * MIB
    assert free == ((6 * 4096, 4096), (24 * 4096, 20456 * 4096), ((2 * 20480 + 16394) * 4096, 4086 * 4096))
    assert xfs_log(values) == ((2 * 20480 + 6) * 4096, 64 * MIB)
    assert xfs_log({**values, "logstart": 0}) == (0, 0)


RANGES = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), max_size=20)


@given(free=RANGES, close=st.integers(1, 50))
def test_every_byte_that_is_not_free_is_copied_once(free: list[tuple[int, int]], close: int) -> None:
    size = 1000
    used = between(size, free, close)
    copied = [n for part in pieces(used, 64) for n in range(part.start, part.start + part.size)]
    assert len(copied) == len(set(copied)) and copied == sorted(copied)
    nothing = {n for start, length in free for n in range(start, min(size, start + length))}
    assert set(range(size)) - nothing <= set(copied) <= set(range(size))
    gaps = [b.start - (a.start + a.size) for a, b in itertools.pairwise(used)]
    assert all(gap >= close for gap in gaps)


def test_a_long_part_goes_in_pieces() -> None:
    assert list(pieces((Used(10, 25),), 10)) == [Used(10, 10), Used(20, 10), Used(30, 5)]


RECORD = Record(
    lv="nvme0n1p22-tb999", run="tb999", role="previous", origin="nvme0n1p22", at=5 << 40, size=15 << 40,
    uuid=second_uuid("2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052", "tb1", "x"), base="nvme0n1p22-tb999-base",
    witness="0" * 32, old=128, old_at=9 << 40, previous="previous", label="sixteen bytes it",
)  # fmt: skip


def test_a_record_of_long_names_fits_one_sector_and_is_read_where_it_stands() -> None:
    raw = encode(RECORD)
    assert len(raw) == LENGTH
    assert decode(raw, RECORD.at) == RECORD
    assert decode(raw, RECORD.at + MIB) is None, "copied with the disk's content to another place"
    assert RECORD.start == RECORD.at + MIB


@given(st.integers(0, LENGTH - 1), st.integers(1, 255))
def test_one_byte_that_differs_and_it_is_nothing(spot: int, by: int) -> None:
    raw = bytearray(encode(RECORD))
    behind = raw.rstrip(b"\0")
    raw[spot] ^= by
    assert spot >= len(behind) or decode(bytes(raw), RECORD.at) is None


@given(st.binary(min_size=LENGTH, max_size=LENGTH))
def test_chance_is_no_record(raw: bytes) -> None:
    assert decode(raw, 0) is None


@pytest.mark.parametrize("lv", ["", "a/b", "a b", "x" * 61])
def test_a_name_that_can_not_be_written_down(lv: str) -> None:
    with pytest.raises(DamagedData):
        check_words(Snapshot("vda", lv, "vda4", "tb1", SnapshotRole.TRIAL))


ROOT = Partition(path="/dev/vda4", number=4, start=642 * MIB, size=2048 * MIB, fstype="ext4")
SWAP = Partition(path="/dev/vda5", number=5, start=2690 * MIB, size=512 * MIB, fstype="swap")
HEAD = Partition(path="/dev/vda3", number=3, start=MIB, size=641 * MIB, fstype="ext4")


def disk(size: int, table: str = "gpt", *more: Partition) -> Disk:
    return Disk(path="/dev/vda", size=size * MIB, bus=Bus.VIRTIO, table=table, partitions=(HEAD, ROOT, *more))


def test_there_is_room_behind_the_last_partition() -> None:
    assert partition_room.why_not(disk(6144, "gpt", SWAP), ROOT, 200 * MIB) == ()
    assert partition_room.lacking_bytes(disk(6144, "gpt", SWAP), ROOT, 200 * MIB) == 0


def test_too_little_in_one_piece_is_said_with_its_numbers() -> None:
    (why,) = partition_room.why_not(disk(5800, "gpt", SWAP), ROOT, 200 * MIB)
    assert "of /dev/vda in one piece" in why and "2049 for the copy" in why and "2597 MiB are free" in why
    assert partition_room.lacking_bytes(disk(5800, "gpt", SWAP), ROOT, 200 * MIB) > 0


def test_the_end_of_a_disk_is_nobodys() -> None:
    (extent,) = disk(4096, "gpt", SWAP).extents
    assert extent.end == 4095 * MIB
    (extent,) = disk(4096, "dos", SWAP).extents
    assert extent.end == 4095 * MIB, "a controller may have written there"


def test_room_in_an_extended_partition_is_not_free() -> None:
    extended = Partition(path="/dev/vda1", number=1, start=2690 * MIB, size=1024, type_id="0x5")
    logical = Partition(path="/dev/vda5", number=5, start=2691 * MIB, size=512 * MIB)
    assert disk(8192, "dos", extended, logical).extents == ()
    last = Partition(path="/dev/vda2", number=2, start=4000 * MIB, size=MIB)
    (extent,) = disk(8192, "dos", extended, logical, last).extents
    assert extent.start == 4001 * MIB


def test_an_mbr_needs_an_entry_and_a_root_on_one_of_the_four() -> None:
    full = [replace(SWAP, number=n, start=2690 * MIB + n, size=MIB) for n in (1, 2)]
    (why,) = partition_room.why_not(disk(8192, "dos", *full), ROOT, 200 * MIB)
    assert "All four entries of the partition table of /dev/vda are taken" in why
    logical = replace(ROOT, number=5, path="/dev/vda5")
    whys = partition_room.why_not(disk(8192, "dos"), logical, 200 * MIB)
    assert any("/dev/vda5 is a logical partition" in why for why in whys)


def test_what_can_not_be_copied_is_named() -> None:
    (why,) = partition_room.why_not(disk(8192), replace(ROOT, fstype="jfs"), 200 * MIB)
    assert "kept as jfs; a second one can be made of ext4 or xfs" in why
    (why,) = partition_room.why_not(disk(8192, ""), ROOT, 200 * MIB)
    assert "no partition table that is known here" in why
