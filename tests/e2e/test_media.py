"""Stick and disc, seen as a machine may see them, under each firmware, Secure Boot among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.host.run import RealHost
from appliance.image.grub import UEFI, make_image
from appliance.image.usb import MIB, plan_layout, write_table
from tests.e2e.hello import Medium, what_starts, with_files, with_grub
from tests.lab.circle import IMAGE
from tests.lab.native import run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(500)]
DISC = IMAGE.with_suffix(".iso")
MORE_WAYS = (("bios", "drive"), ("bios", "stick"), ("uefi", "stick"), ("uefi", "virtual"))
WAYS = [("bios", "virtual"), *(pytest.param(*way, marks=pytest.mark.full) for way in MORE_WAYS)]


@pytest.mark.parametrize(("firmware", "seen_as"), WAYS)
def test_the_disc_starts(tmp_path: Path, firmware: str, seen_as: str) -> None:
    assert what_starts(tmp_path, firmware, None, Medium(DISC, seen_as)) == "twinboot"


@pytest.mark.parametrize(
    "medium", [Medium(IMAGE), Medium(DISC, "virtual")], ids=["the stick", "the disc on virtual media"]
)
def test_with_secure_boot_on_it_starts(tmp_path: Path, medium: Medium) -> None:
    assert what_starts(tmp_path, "secure", None, medium) == "twinboot"


def test_that_firmware_refuses_a_loader_nobody_signed(tmp_path: Path) -> None:
    """What the test above is worth: the same stick, its first loader replaced by one of our own making."""
    stick, efi = tmp_path / "stick.img", tmp_path / "unsigned.efi"
    shutil.copyfile(IMAGE, stick)
    make_image(RealHost(), "x86_64-efi", efi, "(,gpt4)/twinboot/grub", UEFI)
    esp = f"{stick}@@{plan_layout(8 * MIB).esp.offset}"
    run("mcopy", "-o", "-i", esp, efi, "::/EFI/BOOT/BOOTX64.EFI")
    assert what_starts(tmp_path, "secure", None, Medium(stick)) == "refused"


@pytest.mark.parametrize(
    ("firmware", "seen_as"), [("bios", "drive"), pytest.param("uefi", "virtual", marks=pytest.mark.full)]
)
def test_a_disc_left_in_hands_over_to_a_pending_trial(tmp_path: Path, firmware: str, seen_as: str) -> None:
    assert what_starts(tmp_path, firmware, {"tb_pending": "1"}, Medium(DISC, seen_as)) == "machine"


def test_the_disc_starts_as_a_file_on_a_multi_boot_stick(tmp_path: Path) -> None:
    sectors = (DISC.stat().st_size // 2**20 + 40) * MIB
    stick, files = tmp_path / "multi.img", tmp_path / "files"
    (files / "isos").mkdir(parents=True)
    shutil.copyfile(DISC, files / "isos/any-name.iso")
    write_table(stick, plan_layout(sectors))
    with_files(stick, sectors, files)
    with_grub(
        stick,
        "set iso_path=/isos/any-name.iso\nexport iso_path\n"
        "loopback loop (hd0,gpt4)$iso_path\nset root=loop\nset timeout=0\nset default=0\nexport timeout\n"
        "configfile /boot/grub/loopback.cfg\n",
        tmp_path,
        ("loopback", "iso9660"),
    )
    (tmp_path / "machine").mkdir()
    assert what_starts(tmp_path / "machine", "bios", None, Medium(stick)) == "twinboot"
