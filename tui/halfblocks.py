"""A small picture in half blocks: two pixels to a cell, in the sixteen colours terminals have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from tui.look import Line

# The Linux console's colours (vt.c, default_red and its sisters); xterm's differ by a shade.
COLOURS = (
    ("black", (0, 0, 0)), ("red", (170, 0, 0)), ("green", (0, 170, 0)), ("yellow", (170, 85, 0)),
    ("blue", (0, 0, 170)), ("magenta", (170, 0, 170)), ("cyan", (0, 170, 170)), ("white", (170, 170, 170)),
    ("bright_black", (85, 85, 85)), ("bright_red", (255, 85, 85)), ("bright_green", (85, 255, 85)),
    ("bright_yellow", (255, 255, 85)), ("bright_blue", (85, 85, 255)), ("bright_magenta", (255, 85, 255)),
    ("bright_cyan", (85, 255, 255)), ("bright_white", (255, 255, 255)),
)  # fmt: skip

Pixel = tuple[int, int, int]


@lru_cache(4096)
def nearest(pixel: Pixel) -> int:
    """The number of the colour that differs least."""
    return min(
        range(len(COLOURS)),
        key=lambda n: sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[n][1], strict=True)),
    )


def cell(upper: int, lower: int) -> tuple[str, str]:
    """Character and style of two pixels, by their colours.

    A background has no bright colours on a Linux console, and none is the same as its foreground.
    """
    if upper == lower:
        return (" ", "") if upper == 0 else ("█", COLOURS[upper][0])
    front, back, character = (lower, upper, "▄") if lower > 7 >= upper else (upper, lower, "▀")
    ground = back % 8
    if ground == front:
        return "█", COLOURS[front][0]
    return character, f"{COLOURS[front][0]} on {COLOURS[ground][0]}"


def lines(pixels: bytes, columns: int) -> list[Line]:
    """The picture's lines; none where `pixels` are not whole rows of RGB."""
    if not pixels or len(pixels) % (6 * columns):
        return []
    points: Sequence[int] = [
        nearest((pixels[at], pixels[at + 1], pixels[at + 2])) for at in range(0, len(pixels), 3)
    ]
    found: list[Line] = []
    for top in range(0, len(points), 2 * columns):
        cells = [cell(points[top + x], points[top + columns + x]) for x in range(columns)]
        found.append(
            tuple(
                ("".join(character for character, _ in group), style)
                for style, group in groupby(cells, key=lambda pair: pair[1])
            )
        )
    return found
