"""PNG from the pixel map QEMU draws its screen as (netpbm's P6; PNG specification, third edition)."""

from __future__ import annotations

import re
import struct
import zlib

from appliance.errors import TwinFailed

_HEADER = re.compile(rb"P6\s+(?:#[^\n]*\n)?(\d{1,5})\s+(\d{1,5})\s+255\s")


def png_from_ppm(data: bytes) -> bytes:
    """The same picture as PNG, 8 bits per colour. Raises TwinFailed where `data` is no such pixel map."""
    header = _HEADER.match(data)
    if header is None:
        raise TwinFailed("The twin's screen came in a form that is not understood.")
    width, height = int(header[1]), int(header[2])
    pixels = data[header.end() :]
    if width == 0 or height == 0 or len(pixels) < width * height * 3:
        raise TwinFailed("The picture of the twin's screen is cut short.")
    row = width * 3
    lines = b"".join(b"\0" + pixels[y * row : (y + 1) * row] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(lines))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
