"""What is inside an initrd: names, small files; our own cpio reader (newc, as the kernel's gen_init_cpio)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from appliance.boot.artifacts import image_at
from appliance.errors import BootConfigFailed
from appliance.host.run import Host, read
from appliance.probe.unified import Section

MAGIC = (b"070701", b"070702")
IN_IMAGE = (".ucode", ".initrd")
"""The sections of a unified image that are unpacked one after the other (systemd-stub(7))."""
HEADER = 110
_UNPACKED_BY_PROGRAM = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4", b"\x04\x22\x4d\x18": "lz4"}


@dataclass(slots=True)
class _Kept:
    """Names as they come, and the content of those that are `wanted`."""

    wanted: frozenset[str]
    names: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


LARGEST = 1 << 20
"""Bytes of a file that is wanted: one that is longer is cut there."""


def _skip(data: IO[bytes], count: int) -> None:
    while count > 0:
        piece = data.read(min(count, 1 << 20))
        if not piece:
            raise BootConfigFailed("The initrd ends in the middle of a file.")
        count -= len(piece)


def _members(data: IO[bytes], first: bytes, kept: _Kept) -> None:
    """Take in one cpio archive; `first` is its first 6 bytes, already read. Stops after the trailer."""
    magic = first
    while True:
        if magic not in MAGIC:
            raise BootConfigFailed("The initrd is damaged: a cpio header is missing.")
        head = data.read(HEADER - 6)
        try:
            size, length = int(head[48:56], 16), int(head[88:96], 16)
        except ValueError:
            raise BootConfigFailed("The initrd is damaged: a cpio header does not read.") from None
        name = data.read(length).rstrip(b"\0").decode("utf-8", "replace")
        _skip(data, -(HEADER + length) % 4)
        held, plain = b"", name.removeprefix("./")
        if plain in kept.wanted:
            held = kept.files[plain] = data.read(min(size, LARGEST))
        _skip(data, size - len(held) + -size % 4)
        if name == "TRAILER!!!":
            return
        kept.names.append(plain)
        magic = data.read(6)


def _next_magic(data: IO[bytes]) -> bytes:
    """The first 6 bytes after the padding between archives; fewer at the end."""
    while True:
        byte = data.read(1)
        if byte != b"\0":
            return byte + data.read(5) if byte else b""


def _unpacked(host: Host, path: Path, offset: int, magic: bytes, work: Path) -> IO[bytes]:
    """A stream of what is compressed from `offset` on."""
    part = work / "part"
    with path.open("rb") as source, part.open("wb") as out:
        source.seek(offset)
        while piece := source.read(1 << 20):
            out.write(piece)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(part, "rb"))
    if magic.startswith((b"\xfd7zXZ\x00", b"]\x00\x00")):
        return lzma.open(part, "rb")
    if magic.startswith(b"BZh"):
        return bz2.open(part, "rb")
    for start, program in _UNPACKED_BY_PROGRAM.items():
        if magic.startswith(start):
            plain = work / "plain"
            host.run(
                read(program, "-d", "-q", "-f", str(part), "-o" if program == "zstd" else "--", str(plain))
            )
            return plain.open("rb")
    raise BootConfigFailed(f"The initrd is packed in a way that is not known ({magic.hex()}).")


def initrd_names(host: Host, path: Path) -> tuple[str, ...]:
    """Every name in an initrd, or in those of a unified image, early archives (microcode) included. Raises
    BootConfigFailed when damaged."""
    return tuple(_read(host, path, frozenset()).names)


def initrd_files(host: Host, path: Path, wanted: frozenset[str]) -> dict[str, bytes]:
    """The files of these names that such a file has, by their names. Raises BootConfigFailed when damaged."""
    return _read(host, path, wanted).files


def _read(host: Host, path: Path, wanted: frozenset[str]) -> _Kept:
    kept = _Kept(wanted)
    with tempfile.TemporaryDirectory(prefix="twinboot-initrd-") as folder:
        found = image_at(path)
        parts = [path] if found is None else _taken_out(path, found.sections, Path(folder))
        for part in parts:
            _read_in(host, part, Path(folder), kept)
    if not kept.names:
        raise BootConfigFailed(f"{path.name} is empty.")
    return kept


def _taken_out(path: Path, sections: tuple[Section, ...], folder: Path) -> list[Path]:
    """The initrds of a unified image as files in `folder`."""
    out = []
    with path.open("rb") as data:
        for section in (s for name in IN_IMAGE for s in sections if s.name == name):
            out.append(folder / section.name)
            data.seek(section.offset)
            out[-1].write_bytes(data.read(section.size))
    return out


def _read_in(host: Host, path: Path, work: Path, kept: _Kept) -> None:
    with path.open("rb") as data:
        while magic := _next_magic(data):
            if magic in MAGIC:
                _members(data, magic, kept)
                continue
            offset = data.tell() - len(magic)
            with _unpacked(host, path, offset, magic, work) as stream:
                try:
                    _inner(stream, kept)
                except (OSError, EOFError, lzma.LZMAError) as error:
                    raise BootConfigFailed(f"The initrd does not unpack: {error}.") from error
            data.seek(0, os.SEEK_END)


def _inner(stream: IO[bytes], kept: _Kept) -> None:
    while magic := _next_magic(stream):
        _members(stream, magic, kept)
