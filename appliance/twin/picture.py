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


SAMPLES = 4
"""Points of a block's width and height that its colour is the mean of."""


def small(png: bytes, columns: int, rows: int) -> bytes:
    """A PNG of ours as `columns` x `rows` pixels, RGB, row by row; empty for one made in another way."""
    pixels = _pixels(png)
    if pixels is None:
        return b""
    width, height, lines = pixels
    found = bytearray()
    for row in range(rows):
        ys = {(row * SAMPLES + n) * height // (rows * SAMPLES) for n in range(SAMPLES)}
        for column in range(columns):
            xs = {(column * SAMPLES + n) * width // (columns * SAMPLES) for n in range(SAMPLES)}
            points = [lines[y][3 * x : 3 * x + 3] for y in ys for x in xs]
            found += bytes(sum(channel) // len(points) for channel in zip(*points, strict=True))
    return bytes(found)


def _pixels(png: bytes) -> tuple[int, int, list[bytes]] | None:
    """Width, height and the lines of a picture as `png_from_ppm` writes it: RGB, one IDAT, no filter."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR" or png[24:29] != b"\x08\x02\0\0\0":
        return None
    width, height, length = *struct.unpack(">II", png[16:24]), int.from_bytes(png[33:37], "big")
    try:
        data = zlib.decompress(png[41 : 41 + length])
    except zlib.error:
        return None
    size = 3 * width + 1
    lines = [data[at : at + size] for at in range(0, len(data), size)]
    if len(data) != size * height or any(line[0] for line in lines):
        return None
    return width, height, [line[1:] for line in lines]
