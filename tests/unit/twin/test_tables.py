"""Lengthened partition tables, judged by sgdisk and sfdisk, and hostile ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.twin.tables import Patch, lengthen_gpt, lengthen_mbr

SECTORS = 20 * 2048
LONGER = 30 * 2048


def _run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def gpt(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(SECTORS * 512)
    _run(
        "sgdisk",
        "-n",
        "1:2048:+4M",
        "-t",
        "1:ef00",
        "-c",
        "1:EFI",
        "-n",
        "2:0:+8M",
        "-t",
        "2:8e00",
        str(disk),
    )
    return disk


def _apply(disk: Path, patches: tuple[Patch, ...], sectors: int) -> None:
    with disk.open("r+b") as out:
        out.truncate(sectors * 512)
        for patch in patches:
            out.seek(patch.offset)
            out.write(patch.data)


def _ids(disk: Path) -> list[str]:
    lines = _run("sfdisk", "--dump", str(disk)).splitlines()
    return [word for line in lines for word in line.split() if "uuid=" in word or "label-id" in line]


def test_both_copies_hold_and_every_id_stays(gpt: Path) -> None:
    before = _ids(gpt)
    end = LONGER - 2048
    _apply(gpt, lengthen_gpt(gpt.read_bytes()[: 1 << 20], 512, LONGER, 2, end - 1), LONGER)
    assert "No problems found" in _run("sgdisk", "-v", str(gpt))
    assert _ids(gpt) == before
    dump = _run("sfdisk", "--dump", str(gpt))
    second = next(line for line in dump.splitlines() if line.startswith(f"{gpt}2"))
    start, size = (int(part.split("=")[1]) for part in second.split(":")[1].split(",")[:2])
    assert start + size == end
    assert f"last-lba: {LONGER - 34}" in dump


def test_the_second_copy_alone_is_enough(gpt: Path) -> None:
    patches = lengthen_gpt(gpt.read_bytes()[: 1 << 20], 512, LONGER, 2, LONGER - 2049)
    _apply(gpt, patches, LONGER)
    before = _ids(gpt)
    with gpt.open("r+b") as out:
        out.seek(512)
        out.write(bytes(33 * 512))
    assert _ids(gpt) == before


def test_a_gpt_in_4096_byte_blocks(tmp_path: Path) -> None:
    """Built by hand from a 512-byte one: the same header and entries at the places of larger blocks."""
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(SECTORS * 512)
    _run("sgdisk", "-n", "1:2048:+4M", str(disk))
    small = disk.read_bytes()
    head = bytearray(1 << 20)
    head[:512] = small[:512]
    head[4096:4608] = small[512:1024]
    head[8192 : 8192 + 16384] = small[1024 : 1024 + 16384]
    patches = lengthen_gpt(bytes(head), 4096, 10_000, 1, 9_000)
    assert [p.offset for p in patches] == [0, 4096, 8192, (10_000 - 5) * 4096, 9_999 * 4096]
    assert all(len(p.data) <= 4096 * 4 for p in patches)


@pytest.mark.parametrize("last", [SECTORS, 5, LONGER])
def test_an_end_that_can_not_be_is_refused(gpt: Path, last: int) -> None:
    with pytest.raises(DamagedData):
        lengthen_gpt(gpt.read_bytes()[: 1 << 20], 512, LONGER if last == LONGER else SECTORS, 2, last)


@pytest.mark.parametrize("number", [0, 3, 129, 5000])
def test_a_partition_that_is_not_there_is_refused(gpt: Path, number: int) -> None:
    with pytest.raises(DamagedData):
        lengthen_gpt(gpt.read_bytes()[: 1 << 20], 512, LONGER, number, LONGER - 2049)


@given(at=st.integers(512, 512 + 91), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_in_the_header_is_noticed(at: int, bit: int) -> None:
    head = bytearray(_small_gpt())
    head[at] ^= 1 << bit
    with pytest.raises(DamagedData):
        lengthen_gpt(bytes(head), 512, LONGER, 1, LONGER - 2049)


@given(st.binary(max_size=4096))
@settings(deadline=None)
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedData):
        lengthen_gpt(data, 512, LONGER, 1, 4000)
    if len(data) < 512 or data[510:512] != b"\x55\xaa":
        with pytest.raises(DamagedData):
            lengthen_mbr(data, 1, 4000)


_cache: list[bytes] = []


def _small_gpt() -> bytes:
    if not _cache:
        path = Path("/tmp") / "twinboot-test-gpt"
        with path.open("wb") as out:
            out.truncate(SECTORS * 512)
        _run("sgdisk", "-n", "1:2048:+4M", str(path))
        _cache.append(path.read_bytes()[: 1 << 20])
        path.unlink()
    return _cache[0]


def test_an_mbr_is_lengthened(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(SECTORS * 512)
    _run("sfdisk", str(disk), stdin="label: dos\n2048,8192,83\n10240,20480,8e\n")
    before = _ids(disk)
    _apply(disk, lengthen_mbr(disk.read_bytes()[:512], 2, LONGER), LONGER)
    assert _ids(disk) == before
    dump = _run("sfdisk", "--dump", str(disk))
    assert f"start=       10240, size={LONGER - 10240:>12}" in dump


@pytest.mark.parametrize(("number", "end"), [(3, LONGER), (5, LONGER), (2, 10240), (2, 1 << 33)])
def test_an_mbr_end_that_can_not_be_is_refused(tmp_path: Path, number: int, end: int) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as out:
        out.truncate(SECTORS * 512)
    _run("sfdisk", str(disk), stdin="label: dos\n2048,8192,83\n10240,20480,8e\n")
    with pytest.raises(DamagedData):
        lengthen_mbr(disk.read_bytes()[:512], number, end)
