"""The console font: its list, how it is drawn from a PCF file, and that the console knows the same glyphs."""

from __future__ import annotations

import gzip
import random
import runpy
import struct
import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color

from tui.filters import FontText
from tui.glyphs import FONT

ROOT = Path(__file__).parents[3]
ELEMENT = ROOT / "elements/twinboot-font"
PROGRAM = ELEMENT / "bin/twinboot-psf"
LIST = (ELEMENT / "font/glyphs").read_text()
WANTED: list[tuple[int, ...]] = runpy.run_path(str(PROGRAM))["glyphs"](LIST)
BITMAPS = {glyph[0]: random.Random(glyph[0]).randbytes(16) for glyph in WANTED} | {0x20: bytes(16)}


def pcf(bitmaps: dict[int, bytes]) -> bytes:
    """A PCF font of 8x16 dots, as X's mkfontscale and Debian's packages have them."""
    codes = sorted(bitmaps)
    order = {code: number for number, code in enumerate(codes)}
    metrics = struct.pack("<I", 0x10E) + struct.pack(">H", len(codes))
    metrics += bytes((0x80, 0x88, 0x88, 0x8C, 0x84)) * len(codes)
    rows = b"".join(bytes((row, 0, 0, 0)) for code in codes for row in bitmaps[code])
    offsets = struct.pack(f">{len(codes)}I", *(64 * n for n in range(len(codes))))
    bits = struct.pack("<I", 0xE) + struct.pack(">I", len(codes)) + offsets
    bits += struct.pack(">4I", 0, 0, len(rows), 0) + rows
    numbers = [order.get(code, 0xFFFF) for code in range(0x10000)]
    encodings = struct.pack("<I", 0xE) + struct.pack(">5h", 0, 255, 0, 255, 0)
    encodings += struct.pack(">65536H", *numbers)
    out, place = b"\x01fcp" + struct.pack("<I", 3), 8 + 3 * 16
    for kind, table in ((4, metrics), (8, bits), (32, encodings)):
        out += struct.pack("<4I", kind, 0, len(table), place)
        place += len(table)
    return out + metrics + bits + encodings


def drawn(tmp_path: Path, bitmaps: dict[int, bytes]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "font.pcf.gz").write_bytes(gzip.compress(pcf(bitmaps)))
    command = [PROGRAM, ELEMENT / "font/glyphs", tmp_path / "font.pcf.gz", tmp_path / "out.psf"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_list_has_256_glyphs_and_none_twice() -> None:
    codes = [code for glyph in WANTED for code in glyph]
    assert len(WANTED) == 256 and len(set(codes)) == len(codes)
    assert set(range(0x20, 0x7F)) | set(range(0xA0, 0x100)) <= set(codes)


def test_the_console_knows_exactly_the_glyphs_of_the_font() -> None:
    assert {chr(code) for glyph in WANTED for code in glyph} == FONT


def test_every_glyph_is_drawn_and_found_by_each_of_its_characters(tmp_path: Path) -> None:
    done = drawn(tmp_path, BITMAPS)
    assert done.returncode == 0, done.stderr
    psf = (tmp_path / "out.psf").read_bytes()
    head = struct.unpack_from("<8I", psf)
    assert head == (0x864AB572, 0, 32, 1, 256, 16, 16, 8)
    table = psf[32 + 256 * 16 :].split(b"\xff")[:256]
    shown = {c: psf[32 + n * 16 :][:16] for n, chars in enumerate(table) for c in chars.decode()}
    assert shown == {chr(code): BITMAPS[glyph[0]] for glyph in WANTED for code in glyph}
    assert [table[code].decode()[0] for code in range(0x20, 0x7F)] == [chr(c) for c in range(0x20, 0x7F)]
    joined = {c for chars in table[0xC0:0xE0] for c in chars.decode()}
    assert {c for c in "─┌└├┬┴┼═╔╠━┏┣" if BITMAPS[ord(c)][0] & 1} <= joined


def test_a_font_that_lacks_a_glyph_is_named(tmp_path: Path) -> None:
    done = drawn(tmp_path, {code: bits for code, bits in BITMAPS.items() if code != 0x2588})
    assert done.returncode != 0 and "The font has no U+2588." in done.stderr
    assert not (tmp_path / "out.psf").exists()


@given(st.text(max_size=40))
def test_a_screen_is_sent_nothing_its_font_has_not(text: str) -> None:
    ((sent, _, _),) = FontText().apply([Segment(text)], Color(0, 0, 0))
    assert FONT.issuperset(sent)
    if all(cell_len(character) for character in text):
        assert cell_len(sent) == cell_len(text) or not text.isprintable()


def test_nothing_the_console_itself_says_is_lost_in_its_font() -> None:
    """What stands in the code of the pages is shown as it stands there."""
    for path in (ROOT / "tui").rglob("*.py"):
        if path.name not in ("words.py", "glyphs.py"):  # these list what is replaced
            lost = {c for c in path.read_text() if c.isprintable()} - FONT
            assert not lost, f"{path.name}: {lost}"
