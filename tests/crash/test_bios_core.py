"""Which /boot GRUB's core image reads, of images that GRUB's own tools made."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from appliance.boot.bios_core import read_core
from tests.crash.grubmachine import CORE, INSIDE, PLATFORM, UUID, UUID_2, install_grub, run, start

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("number", "other"), [(2, 3), (3, 2), (12, 1)])
def test_the_partition_it_names_is_told_from_others(
    inside: Path, tmp_path: Path, number: int, other: int
) -> None:
    install_grub(inside, tmp_path, f"(,gpt{number}){INSIDE}/grub")
    core = read_core(inside)
    assert core is not None
    assert core.reads(number, UUID) and not core.reads(other, UUID_2) and not core.reads(other, "")


def test_the_file_system_it_searches_for_is_told_from_others(inside: Path, tmp_path: Path) -> None:
    config, image = tmp_path / "load.cfg", tmp_path / "core.img"
    config.write_text(f"search.fs_uuid {UUID_2} root\nset prefix=($root)'{INSIDE}/grub'\n")
    run("grub-mkimage", "-O", "i386-pc", "-d", str(PLATFORM), "-p", f"{INSIDE}/grub", "-c", str(config), "-o",
        str(image), "biosdisk", "part_gpt", "ext2", "search_fs_uuid")  # fmt: skip
    packed = bytearray(image.read_bytes().ljust(-(-image.stat().st_size // 512) * 512, b"\0"))
    struct.pack_into("<QHH", packed, 0x1F4, CORE + 1, len(packed) // 512 - 1, 0x820)
    with inside.open("r+b") as disk:
        disk.seek(CORE * 512)
        disk.write(packed)
    core = read_core(inside)
    assert core is not None and core.reads(3, UUID_2) and not core.reads(2, UUID)


@pytest.mark.parametrize("harm", ["no boot.img", "no image", "cut short", "another packing", "empty"])
def test_what_is_no_such_image_is_none(inside: Path, harm: str) -> None:
    begin = CORE * 512
    with inside.open("r+b") as disk:
        if harm == "no boot.img":
            disk.write(b"\0" * 440)
        elif harm == "no image":
            disk.seek(begin)
            disk.write(b"\0" * 65536)
        elif harm == "cut short":
            disk.seek(begin + 8192)
            disk.write(b"\0" * 65536)
        elif harm == "another packing":
            disk.seek(begin + 512 + 12)
            disk.write(struct.pack("<I", 77))
        else:
            disk.truncate(0)
    core = read_core(inside)
    assert core is None or not core.reads(2, UUID)


def test_the_machine_that_is_built_here_reads_what_it_is_told(inside: Path) -> None:
    core = read_core(inside)
    assert core is not None and core.reads(2, UUID) and start(inside).kernel
