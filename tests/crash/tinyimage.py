"""A unified kernel image of a few hundred bytes, laid out as ukify does it, and what its stub makes of one.

Written, and read with pefile, apart from the appliance's own reader. Sources: Microsoft's PE format;
systemd-stub(7): a command line that is given stands in for the one inside while Secure Boot is off.
"""

from __future__ import annotations

import struct

import pefile

from tests.crash.grubscript import Loaded

ALIGNED = 512
DEBIAN_13 = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\nVERSION="13 (trixie)"\n'


def image(sections: dict[str, bytes], signatures: int = 0) -> bytes:
    """The file for the firmware; `signatures` is how many bytes of them its header says there are."""
    count, start = len(sections), 64
    optional = bytearray(240)
    struct.pack_into("<H", optional, 0, 0x20B)
    struct.pack_into("<II", optional, 32, 4096, ALIGNED)
    struct.pack_into("<I", optional, 108, 16)
    struct.pack_into("<II", optional, 112 + 4 * 8, 0, signatures)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", start) + b"PE\0\0"
    head += struct.pack("<HHIIIHH", 0x8664, count, 0, 0, 0, len(optional), 0x22E) + optional
    table, body, address = b"", b"", 4096
    offset = _up(len(head) + 40 * count, ALIGNED)
    for name, data in sections.items():
        room = _up(len(data), ALIGNED)
        table += struct.pack("<8sIIII12xI", name.encode(), len(data), address, room, offset, 0x40000040)
        body += data.ljust(room, b"\0")
        address, offset = address + _up(len(data), 4096), offset + room
    return (head + table).ljust(offset - len(body), b"\0") + body


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def unified(kernel: bytes, initrd: bytes, options: str, release: str, **more: bytes) -> bytes:
    """What `ukify build` makes of them; `more` are further sections, without their dot."""
    texts = {".osrel": DEBIAN_13, ".cmdline": f" {options}", ".uname": release}
    sections = {name: text.encode() for name, text in texts.items()}
    sections |= {f".{name}": data for name, data in more.items()}
    return image(sections | {".linux": kernel, ".initrd": initrd})


def sections_of(data: bytes) -> dict[str, bytes] | None:
    """The sections of a whole image; None where the firmware would not load it."""
    try:
        found = pefile.PE(data=data, fast_load=True).sections
    except pefile.PEFormatError:
        return None
    ends = [s.PointerToRawData + s.SizeOfRawData for s in found]
    if not found or max(ends) > len(data):
        return None
    return {s.Name.rstrip(b"\0").decode(): s.get_data()[: s.Misc_VirtualSize] for s in found}


def started(data: bytes, options: str) -> Loaded:
    """What the stub starts, Secure Boot off; nothing where the image is not whole."""
    found = sections_of(data)
    if found is None or ".linux" not in found:
        return Loaded()
    line = options or found.get(".cmdline", b"").decode().strip()
    return Loaded(kernel=found[".linux"], line=line, initrd=found.get(".initrd", b""))
