"""Unified kernel images: one file for the firmware with kernel, initrd and command line in it. Pure.

Sources: the UAPI group's Unified Kernel Image and Boot Loader Specifications (type 2); Microsoft's PE format
(section table, certificate table); systemd-boot's boot.c for what its menu makes of one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import msgspec

from appliance.probe.bls import BlsEntry, parse_name

FOLDER = "EFI/Linux"
"""Where a loader looks for them, below the root of its file system."""
HEAD = 4096
"""Bytes that hold the headers of every such image."""
LARGEST = 1 << 16
"""Bytes of a section that is text; a larger one is none."""
_TEXTS = (".osrel", ".cmdline", ".uname")
_CERTIFICATES = 112 + 4 * 8
"""Where the optional header of a 64-bit image says how long its signatures are: past the address of them."""

Part = Callable[[int, int], bytes]
"""The bytes of a file at an offset, so many, or fewer at its end."""


class Section(msgspec.Struct, frozen=True):
    """`size` bytes at `offset` of the file, in a place of `room` bytes; `header` is its line of the table."""

    name: str
    offset: int
    size: int
    room: int
    header: int


class Unified(msgspec.Struct, frozen=True, kw_only=True):
    """What an image says of itself: .osrel as it is, the kernel's command line and release."""

    sections: tuple[Section, ...]
    signed: bool
    release: str
    options: str
    kernel: str

    def section(self, name: str) -> Section | None:
        """The first of that name: a second one belongs to another profile."""
        return next((section for section in self.sections if section.name == name), None)


def images(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a folder's names that a loader takes for such images."""
    return tuple(name for name in names if name.lower().endswith(".efi"))


def read_unified(part: Part) -> Unified | None:
    """None where the file is no such image, or not a whole one."""
    try:
        sections, signed = _headers(part(0, HEAD))
    except (struct.error, ValueError):
        return None
    first = {section.name: section for section in reversed(sections)}
    if not {".linux", ".osrel"} <= set(first):
        return None
    text = {name: _text(part, first[name]) for name in _TEXTS if name in first}
    return Unified(
        sections=sections,
        signed=signed or ".pcrsig" in first,
        release=text.get(".osrel", ""),
        options=" ".join(text.get(".cmdline", "").split()),
        kernel=text.get(".uname", "").strip(),
    )


def _headers(head: bytes) -> tuple[tuple[Section, ...], bool]:
    """The section table, and whether the image is signed. Raises struct.error, ValueError."""
    (start,) = struct.unpack_from("<I", head, 0x3C)
    if head[:2] != b"MZ" or head[start : start + 4] != b"PE\0\0":
        raise ValueError("no PE file")
    count, optional = struct.unpack_from("<H12xH", head, start + 6)
    (magic,) = struct.unpack_from("<H", head, start + 24)
    if magic != 0x20B:
        raise ValueError("no 64-bit image")
    (certificates,) = struct.unpack_from("<I", head, start + 24 + _CERTIFICATES + 4)
    table = start + 24 + optional
    return tuple(_section(head, table + 40 * number) for number in range(count)), bool(certificates)


def _section(head: bytes, at: int) -> Section:
    name, size, _, room, offset = struct.unpack_from("<8sIIII", head, at)
    return Section(name.rstrip(b"\0").decode("ascii"), offset, min(size, room), room, at)


def _text(part: Part, section: Section) -> str:
    if section.size > LARGEST:
        return ""
    return part(section.offset, section.size).rstrip(b"\0").decode("utf-8", "replace")


def entry_of(file: str, found: Unified | None) -> BlsEntry:
    """The entry that a loader makes of the image `file` of its folder; by its name alone where it does not
    read. Its version is the system's, not the kernel's (boot.c, bootspec_pick_name_version_sort_key)."""
    path = f"/{FOLDER}/{file}"
    if found is None:
        return BlsEntry(file=file, name=parse_name(file), efi=path)
    said = dict(re.findall(r"^([A-Z_]+)=[\"']?(.*?)[\"']?\s*$", found.release, re.MULTILINE))

    def first(*keys: str) -> str:
        return next((said[key] for key in keys if said.get(key)), "")

    return BlsEntry(
        file=file,
        name=parse_name(file),
        title=first("PRETTY_NAME", "IMAGE_ID", "NAME", "ID"),
        version=first("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"),
        sort_key=first("IMAGE_ID", "ID"),
        options=found.options,
        efi=path,
        kernel=found.kernel,
    )


def with_options(data: bytes, options: str) -> bytes | None:
    """The image `data` with that command line and else byte for byte; None where it has no room for it."""
    found = read_unified(lambda at, length: data[at : at + length])
    section = found.section(".cmdline") if found else None
    text = options.encode()
    if section is None or len(text) > section.room:
        return None
    out = bytearray(data)
    struct.pack_into("<I", out, section.header + 8, len(text))
    out[section.offset : section.offset + section.room] = text.ljust(section.room, b"\0")
    return bytes(out)
