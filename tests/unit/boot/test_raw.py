"""Files and parts of them as GRUB's own code reads them from a FAT."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from appliance.boot.raw import GrubReader
from appliance.errors import BootConfigFailed
from appliance.host.run import Command, Output, RealHost
from appliance.probe.unified import read_unified
from tests.crash.tinyimage import unified

CONTENT = random.Random(7).randbytes(70_001)


class Files(RealHost):
    """A file stands for the block device: it has no cache to be emptied."""

    def run(self, command: Command) -> Output:
        return Output(0, "") if command.argv[0] == "blockdev" else super().run(command)


@pytest.fixture
def fat(tmp_path: Path) -> GrubReader:
    image = tmp_path / "fat.img"
    image.write_bytes(bytes(4 << 20))
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", image, "-", "::/long name.efi"], input=CONTENT, check=True)
    return GrubReader(Files(), str(image))


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 4096), (5000, 1), (511, 66_000), (70_000, 9), (70_001, 9), (1 << 31, 9), (3, 0)],
)
def test_a_part_is_what_lies_there_or_less_at_the_end(fat: GrubReader, offset: int, length: int) -> None:
    assert fat.part("long name.efi", offset, length) == CONTENT[offset : offset + length]


def test_a_file_that_is_not_there_has_no_part(fat: GrubReader) -> None:
    assert fat.part("none.efi", 0, 10) is None and fat.read("none.efi") is None
    assert fat.read("long name.efi") == CONTENT


def test_a_device_that_does_not_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BootConfigFailed, match=r"could not read /boot/x\.efi"):
        GrubReader(Files(), str(tmp_path / "none")).part("x.efi", 0, 10)


def test_an_image_is_read_by_its_parts(tmp_path: Path, fat: GrubReader) -> None:
    data = unified(b"kernel" * 3000, b"initrd" * 3000, "root=/dev/mapper/vg0-root ro", "6.1")
    subprocess.run(["mcopy", "-i", fat.device, "-", "::/a.efi"], input=data, check=True)
    found = read_unified(lambda offset, length: fat.part("a.efi", offset, length) or b"")
    assert found is not None and (found.kernel, found.options) == ("6.1", "root=/dev/mapper/vg0-root ro")
