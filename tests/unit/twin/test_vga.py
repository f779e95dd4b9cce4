"""The VGA text screen out of QEMU's memory dump."""

from __future__ import annotations

import pytest

from appliance.errors import TwinFailed
from appliance.twin.picture import png_from_ppm, small
from appliance.twin.vga import png_size, text_of


def dump(lines: list[bytes]) -> str:
    """As QEMU's `xp /2000hx 0xb8000` prints it: eight words a line behind their address."""
    cells = b"".join(line.ljust(80)[:80] for line in lines + [b""] * (25 - len(lines)))
    words = [f"0x07{cell:02x}" for cell in cells]
    rows = [words[at : at + 8] for at in range(0, 2000, 8)]
    return "".join(f"{0xB8000 + 16 * n:016x}: {' '.join(row)}\r\n" for n, row in enumerate(rows))


def test_what_stands_on_the_screen_is_read() -> None:
    lines = text_of(
        dump([b"GRUB loading.", b"error: no such device: 4f\x00\x01.", b"\xc9\xcd\xbb \x1b[6n \x81"])
    )
    assert len(lines) == 25
    assert lines[:3] == ("GRUB loading.", "error: no such device: 4f ..", "╔═╗ .[6n ü")
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("answer", ["", "unknown command: 'xp'", dump([])[:-200], dump([]) + dump([])])
def test_another_answer_is_an_error_and_no_screen(answer: str) -> None:
    with pytest.raises(TwinFailed, match="another form"):
        text_of(answer)


def test_the_size_of_a_picture() -> None:
    assert png_size(png_from_ppm(b"P6\n3 2\n255\n" + bytes(18))) == (3, 2)
    with pytest.raises(TwinFailed):
        png_size(b"GIF89a")


def test_a_small_picture_has_the_colours_of_the_large_one() -> None:
    """160x80: left half red, right half blue; the lower half of both darker."""
    line = bytes((200, 0, 0)) * 80 + bytes((0, 0, 200)) * 80
    dark = bytes((100, 0, 0)) * 80 + bytes((0, 0, 100)) * 80
    png = png_from_ppm(b"P6\n160 80\n255\n" + line * 40 + dark * 40)
    assert small(png, 2, 2) == bytes((200, 0, 0, 0, 0, 200, 100, 0, 0, 0, 0, 100))
    assert len(small(png, 80, 40)) == 80 * 40 * 3
    assert len(small(png_from_ppm(b"P6\n1 1\n255\nabc"), 80, 40)) == 80 * 40 * 3
    for other in (b"", b"GIF89a" + png, png[:60], png.replace(b"\x08\x02", b"\x08\x06", 1)):
        assert small(other, 2, 2) == b""
