"""The last gate before the terminal: nothing that steers it passes, and in BASIC mode nothing but ASCII."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from tui.glyphs import FONT
from tui.words import clean, to_ascii


@lru_cache(256)
def _without_colour(style: Style | None) -> Style | None:
    """Only bold and reverse survive: every terminal has them, and words carry the meaning."""
    if style is None:
        return None
    return Style(bold=bool(style.bold), reverse=bool(style.reverse))


class SafeText(LineFilter):
    """Removes control and direction characters from every text, whoever put them there."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or (segment.text.isascii() and segment.text.isprintable())
            else Segment(clean(segment.text), segment.style)
            for segment in segments
        ]


class FontText(LineFilter):
    """On a screen of the kernel's own: glyphs of its font; everything else as near as ASCII comes."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or FONT.issuperset(segment.text)
            else Segment(in_font(segment.text), segment.style)
            for segment in segments
        ]


def in_font(text: str) -> str:
    """`text` in glyphs of the font, with the same number of cells."""
    return "".join(c if c in FONT else to_ascii(c) for c in text)


class BasicText(LineFilter):
    """Pure ASCII, no colour, neighbours of equal style merged: short on a serial line, plain for a reader."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        merged: list[Segment] = []
        for text, style, control in segments:
            if control:
                merged.append(Segment(text, style, control))
                continue
            plain = Segment(to_ascii(text), _without_colour(style))
            if merged and not merged[-1].control and merged[-1].style == plain.style:
                merged[-1] = Segment(merged[-1].text + plain.text, plain.style)
            else:
                merged.append(plain)
        return merged
