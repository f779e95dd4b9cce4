"""A screen as SVG: one text line a row, the 16 colours of a console, the same bytes for the same screen."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rich.segment import Segment
from rich.style import Style

WIDE, HIGH = 8, 16  # pixels of a cell
FOREGROUND, BACKGROUND = "#aaaaaa", "#000000"
COLOURS = (
    "#000000", "#aa0000", "#00aa00", "#aa5500", "#0000aa", "#aa00aa", "#00aaaa", "#aaaaaa",
    "#555555", "#ff5555", "#55ff55", "#ffff55", "#5555ff", "#ff55ff", "#55ffff", "#ffffff",
)  # fmt: skip


def colours(style: Style | None) -> tuple[str, str, bool]:
    """Foreground, background and boldness as a console without bright backgrounds shows them."""
    front, back, bold = FOREGROUND, BACKGROUND, False
    if style is not None:
        bold = bool(style.bold)
        if style.color is not None and style.color.number is not None:
            front = COLOURS[style.color.number % 16]
        if style.bgcolor is not None and style.bgcolor.number is not None:
            back = COLOURS[style.bgcolor.number % 16]
        if style.reverse:
            front, back = back, front
    return front, back, bold


def row_svg(y: int, segments: Iterable[Segment]) -> str:
    """One row: a background where it has one, then its texts; blanks of plain style are left out."""
    backs, texts, x = "", "", 0
    for segment in merged(segments):
        front, back, bold = colours(segment.style)
        cells = segment.cell_length
        if back != BACKGROUND:
            backs += (
                f'<rect x="{x * WIDE}" y="{y * HIGH}" width="{cells * WIDE}" height="{HIGH}" fill="{back}"/>'
            )
        text = segment.text.rstrip(" ")
        if text:
            attributes = f' fill="{front}"' if front != FOREGROUND else ""
            attributes += ' font-weight="bold"' if bold else ""
            length = (cells - len(segment.text) + len(text)) * WIDE
            place = f'x="{x * WIDE}" y="{y * HIGH + 12}" textLength="{length}"'
            texts += f"<text {place}{attributes}>{escape(text)}</text>"
        x += cells
    return backs + texts


def merged(segments: Iterable[Segment]) -> list[Segment]:
    """Neighbours that look the same are one."""
    found: list[Segment] = []
    for segment in segments:
        if segment.control or not segment.text:
            continue
        if found and colours(found[-1].style) == colours(segment.style):
            found[-1] = Segment(found[-1].text + segment.text, segment.style)
        else:
            found.append(segment)
    return found


def svg(rows: Iterable[Iterable[Segment]], columns: int) -> str:
    lines = [row_svg(y, row) for y, row in enumerate(rows)]
    width, height = columns * WIDE, len(lines) * HIGH
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="Terminus,DejaVu Sans Mono,monospace" font-size="13.29"'
        f' fill="{FOREGROUND}" xml:space="preserve">'
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>'
    )
    return "\n".join([head, *lines, "</svg>", ""])
