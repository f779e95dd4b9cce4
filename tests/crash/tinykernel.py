"""A "kernel" of 200 bytes that says what it was started with and leaves: half a second a boot.

GRUB's `linux` command takes it for a bzImage (boot protocol 2.06, entered in 32-bit mode with %esi at
boot_params, Documentation/x86/boot.rst). It writes to COM1: its own marker, the command line it was given,
and the text of its initrd; then it ends QEMU through isa-debug-exit at port 0xf4.
"""

from __future__ import annotations

import struct

SETUP = 1024


def _code(marker: bytes) -> bytes:
    strings = {"marker": b"\n<<" + marker + b"|", "mark": b"|", "end": b">>\n"}
    program: list[bytes | tuple[str, str]] = [
        b"\xe8\x00\x00\x00\x00\x5b",  # call next; next: pop ebx
        b"\x89\xf7",  # mov edi, esi
        ("lea", "marker"),
        ("call", "puts"),
        b"\x8b\xb7\x28\x02\x00\x00",  # mov esi, [edi+0x228]: cmd_line_ptr
        ("call", "puts"),
        ("lea", "mark"),
        ("call", "puts"),
        b"\x8b\xb7\x18\x02\x00\x00",  # mov esi, [edi+0x218]: ramdisk_image
        b"\x85\xf6\x74\x05",  # test esi, esi; jz over the call
        ("call", "puts"),
        ("lea", "end"),
        ("call", "puts"),
        b"\x66\xba\xf4\x00\xb0\x31\xee",  # mov dx, 0xf4; mov al, 0x31; out dx, al
        b"\xf4\xeb\xfd",  # hlt; jmp back
        ("label", "puts"),
        b"\xac\x84\xc0\x74\x07",  # lodsb; test al, al; jz to the ret
        b"\x66\xba\xf8\x03\xee\xeb\xf4\xc3",  # mov dx, 0x3f8; out dx, al; jmp puts; ret
    ]
    sizes = {"lea": 6, "call": 5, "label": 0}
    labels, at = {}, 0
    for part in program:
        if isinstance(part, tuple) and part[0] == "label":
            labels[part[1]] = at
        at += len(part) if isinstance(part, bytes) else sizes[part[0]]
    for name, text in strings.items():
        labels[name], at = at, at + len(text) + 1
    out = b""
    for part in program:
        if isinstance(part, bytes):
            out += part
        elif part[0] == "lea":  # lea esi, [ebx + label - 5]
            out += b"\x8d\xb3" + struct.pack("<i", labels[part[1]] - 5)
        elif part[0] == "call":
            out += b"\xe8" + struct.pack("<i", labels[part[1]] - (len(out) + 5))
    return out + b"".join(text + b"\0" for text in strings.values())


def tiny_kernel(marker: str, size: int = 0) -> bytes:
    """A bzImage that says `marker`; padded to at least `size` bytes."""
    code = _code(marker.encode()).ljust(max(512, size - SETUP), b"\0")
    head = bytearray(SETUP)
    struct.pack_into("<BHI", head, 0x1F1, SETUP // 512 - 1, 0, (len(code) + 15) // 16)
    struct.pack_into("<H", head, 0x1FE, 0xAA55)
    head[0x200:0x202] = b"\xeb\x66"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x0206)
    head[0x211] = 1
    struct.pack_into("<I", head, 0x214, 0x100000)
    struct.pack_into("<I", head, 0x22C, 0x37FFFFFF)
    struct.pack_into("<I", head, 0x230, 0x100000)
    struct.pack_into("<I", head, 0x238, 0x7FF)
    return bytes(head) + code
