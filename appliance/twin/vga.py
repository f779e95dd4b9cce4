"""The text of a PC's VGA text screen, from its memory: what stands there when nothing can be heard any more.

80x25 cells of two bytes, character and attribute, at 0xb8000 (IBM VGA, mode 3); characters are code page 437.
"""

from __future__ import annotations

import re
import struct

from appliance.errors import TwinFailed

COLUMNS, LINES = 80, 25
DUMP = f"xp /{COLUMNS * LINES}hx 0xb8000"
"""QEMU's monitor command for it ("xp /fmt addr", physical memory dump); needs no file QEMU could write to."""

TEXT_SIZES = ((720, 400), (640, 400), (720, 350), (640, 350))
"""Width and height in pixels of what QEMU draws in text modes; anything else is a picture."""

_WORD = re.compile(r"\b0x([0-9a-fA-F]{4})\b")


def text_of(dump: str) -> tuple[str, ...]:
    """25 lines from the answer to DUMP. Raises TwinFailed where it is not that."""
    cells = [
        int(word, 16) & 0xFF for line in dump.splitlines() for word in _WORD.findall(line.partition(":")[2])
    ]
    if len(cells) != COLUMNS * LINES:
        raise TwinFailed("The twin's text screen can not be read: QEMU's answer is of another form.")
    text = "".join(_character(cell) for cell in cells)
    return tuple(text[at : at + COLUMNS].rstrip() for at in range(0, len(text), COLUMNS))


def _character(cell: int) -> str:
    """Below 0x20 the code page has pictures (smileys, notes), which a font of letters lacks."""
    if cell in (0x00, 0xFF):
        return " "
    return bytes((cell,)).decode("cp437") if cell >= 0x20 and cell != 0x7F else "."


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels (PNG specification, 11.2.2 IHDR). Raises TwinFailed for what is no PNG."""
    if len(png) < 24 or not png.startswith(b"\x89PNG\r\n\x1a\n"):
        raise TwinFailed("The picture of the twin's screen is no PNG.")
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)
