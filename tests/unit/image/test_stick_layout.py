"""The stick's partition table as pyparted and GRUB's images are laid down, read back by other programs."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import parted
import pytest

from appliance.image.contents import sums
from appliance.image.grub import boot_sector, placed_core
from appliance.image.stick import parse_table
from appliance.image.usb import MIB, SECTOR, Layout, plan_layout, write_table


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, Layout]:
    layout = plan_layout(4 * MIB)
    path = tmp_path / "stick.img"
    write_table(path, layout)
    return path, layout


def test_sfdisk_reads_the_planned_table(image: tuple[Path, Layout]) -> None:
    path, layout = image
    text = subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True, check=True).stdout
    table = json.loads(text)["partitiontable"]
    found = [(part["name"], part["start"], part["size"]) for part in table["partitions"]]
    planned = [layout.data, layout.boot, layout.esp, layout.system]
    assert sorted(found) == sorted((part.name, part.start, part.length) for part in planned)
    assert table["label"] == "gpt"


def test_the_data_partition_is_the_first_entry_and_the_last_on_disk(image: tuple[Path, Layout]) -> None:
    path, layout = image
    disk = parted.newDisk(parted.getDevice(str(path)))
    by_number = {part.number: part.get_name() for part in disk.partitions}
    assert by_number == {1: "TWINBOOT", 2: "TWINBOOT-BIOS", 3: "TWINBOOT-ESP", 4: "TWINBOOT-SYS"}
    assert layout.data.start > max(layout.boot.start, layout.esp.start, layout.system.start)


def test_types_are_what_windows_and_firmware_look_for(image: tuple[Path, Layout]) -> None:
    path, _ = image
    text = subprocess.run(["sfdisk", "--json", path], capture_output=True, text=True, check=True).stdout
    types = {part["name"]: part["type"] for part in json.loads(text)["partitiontable"]["partitions"]}
    assert types["TWINBOOT"] == "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"  # Windows: basic data
    assert types["TWINBOOT-ESP"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert types["TWINBOOT-BIOS"] == "21686148-6449-6E6F-744E-656564454649"


def test_both_copies_of_the_table_are_there(image: tuple[Path, Layout]) -> None:
    path, layout = image
    raw = path.read_bytes()
    assert len(raw) == layout.sectors * SECTOR
    assert parse_table(raw).alternate == layout.sectors - 1
    assert raw[-SECTOR:][:8] == b"EFI PART"


def test_everything_starts_on_a_mebibyte() -> None:
    layout = plan_layout(200 * MIB)
    for part in (layout.data, layout.boot, layout.esp, layout.system):
        assert part.start % MIB == 0 and part.length % MIB == 0


def test_the_boot_sector_names_the_core_image_and_leaves_the_partition_table_alone() -> None:
    code = boot_sector(bytes(range(256)) * 2, 2048)
    assert len(code) == 440
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,)
    assert code[0x66:0x68] == b"\x90\x90"


@pytest.mark.parametrize(("length", "sectors"), [(513, 1), (1024, 1), (1025, 2), (5 * 512, 4)])
def test_the_core_image_knows_how_much_follows_its_first_sector(length: int, sectors: int) -> None:
    core = placed_core(bytes(length), 4096)
    assert struct.unpack_from("<QHH", core, 500) == (4097, sectors, 0x820)
    assert len(core) == length


def test_sums_are_in_the_form_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "grub").mkdir()
    (tmp_path / "grub/grub.cfg").write_text("menu")
    (tmp_path / "vmlinuz").write_bytes(b"\0" * 5000)
    (tmp_path / "SHA256SUMS").write_text(sums(tmp_path))
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count("OK") == 2
    (tmp_path / "vmlinuz").write_bytes(b"\0" * 4999 + b"\1")
    assert subprocess.run(["sha256sum", "-c", "--status", "SHA256SUMS"], cwd=tmp_path).returncode == 1
