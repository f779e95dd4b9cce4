"""Unified kernel images: what ukify 257 made of Debian's kernel, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from appliance.probe.bls import in_systemd_boot_order
from appliance.probe.unified import HEAD, LARGEST, entry_of, images, read_unified, with_options
from tests.crash.tinyimage import image, sections_of, unified

RECORDED = Path(__file__).with_name("ukify-257.part").read_bytes()
"""Its headers, and its sections .osrel, .cmdline and .uname, which begin at byte 92160."""
TEXTS = 92160
VERSION = "6.12.116+deb13-amd64"


def recorded(offset: int, length: int) -> bytes:
    whole = RECORDED[:1536].ljust(TEXTS, b"\0") + RECORDED[1536:]
    return whole[offset : offset + length]


def test_what_ukify_made_is_read_to_its_last_section() -> None:
    found = read_unified(recorded)
    assert found is not None and not found.signed
    names = [section.name for section in found.sections]
    assert names[-5:] == [".osrel", ".cmdline", ".uname", ".linux", ".initrd"]
    initrd = found.section(".initrd")
    assert initrd is not None and (initrd.offset, initrd.size) == (12260864, 19101335)
    assert found.kernel == VERSION and found.options.startswith("root=/dev/mapper/vg0-root ro console=ttyS0 ")


def test_its_entry_is_the_loader_s_own() -> None:
    entry = entry_of(f"7f1b-{VERSION}+3-0.efi", read_unified(recorded))
    assert (entry.title, entry.version, entry.sort_key) == (
        "Debian GNU/Linux 13 (trixie)",
        "13 (trixie)",
        "debian",
    )
    assert (entry.id, entry.release, entry.name.left) == (f"7f1b-{VERSION}.efi", VERSION, 3)
    assert entry.efi == f"/EFI/Linux/7f1b-{VERSION}+3-0.efi" and entry.is_image


def test_of_one_release_the_newest_name_comes_first() -> None:
    """All have the version of the system, not of their kernel."""
    found = [entry_of(f"t-6.12.{n}.efi", read_unified(recorded)) for n in (9, 30, 100)]
    assert [e.file for e in in_systemd_boot_order(found)] == [
        "t-6.12.100.efi",
        "t-6.12.30.efi",
        "t-6.12.9.efi",
    ]


def test_signatures_are_seen() -> None:
    parts = {".osrel": b"ID=debian\n", ".linux": b"k"}
    for data, signed in ((image(parts), False), (image(parts, 1500), True)):
        found = read_unified(_part(data))
        assert found is not None and found.signed is signed
    found = read_unified(_part(unified(b"k", b"i", "ro", "6.1", pcrsig=b"{}")))
    assert found is not None and found.signed


def _part(data: bytes):  # type: ignore[no-untyped-def]
    return lambda offset, length: data[offset : offset + length]


WHOLE = unified(b"kernel" * 400, b"initrd" * 900, "root=/dev/mapper/vg0-root ro quiet", VERSION)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MZ",
        b"\x7fELF".ljust(HEAD, b"\0"),
        WHOLE[:200],
        WHOLE[:64] + b"NE\0\0" + WHOLE[68:],
        b"MZ".ljust(60, b"\0") + struct.pack("<I", 0xFFFFFFF0),
        WHOLE[:70] + b"\xff\xff" + WHOLE[72:],
        WHOLE.replace(b".linux", b".linus", 1),
        WHOLE.replace(b".osrel", b".\xff\xfe\xfd\xfc\xfb", 1),
        WHOLE[:88] + b"\x0b\x01" + WHOLE[90:],
    ],
    ids=["empty", "two", "elf", "cut", "ne", "far", "many", "no-kernel", "name", "32-bit"],
)
def test_what_is_no_such_image_is_none(data: bytes) -> None:
    assert read_unified(_part(data)) is None
    assert entry_of("a-6.1.efi", None).id == "a-6.1.efi" and with_options(data, "ro") is None


def test_a_section_of_text_that_is_none_says_nothing() -> None:
    found = read_unified(_part(unified(b"k", b"i", "x" * (LARGEST + 1), "6.1")))
    assert found is not None and found.options == "" and found.kernel == "6.1"


def test_another_command_line_changes_its_section_alone() -> None:
    line = "root=/dev/mapper/vg0-tb1--trial ro quiet"
    for text in (line, "ro", line + " " + "x" * (511 - len(line))):
        made = with_options(WHOLE, text)
        assert made is not None and len(made) == len(WHOLE)
        assert sections_of(made) == {**(sections_of(WHOLE) or {}), ".cmdline": text.encode()}
    assert with_options(WHOLE, "x" * 513) is None
    assert with_options(image({".osrel": b"ID=a", ".linux": b"k"}), "ro") is None


def test_a_loader_takes_names_for_images_in_any_case() -> None:
    assert images(("a.efi", "B.EFI", "README", "c.efi.twinboot")) == ("a.efi", "B.EFI")
