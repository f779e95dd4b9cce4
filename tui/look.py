"""Lines of a pane: what stands on them and how it looks. Styles repeat words, they never replace them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tui.words import clean, fit

# A span is text and the name of a style in STYLES; a line is spans from left to right.
Span = tuple[str, str]
Line = tuple[Span, ...]

STYLES = {
    "": "",
    "strong": "bold",
    "title": "bold",
    "bar": "reverse",
    "cursor": "reverse bold",
    "quiet": "",
    "good": "green",
    "warn": "bold yellow",
    "bad": "bold red",
    "busy": "cyan",
    "key": "bold",
}

EMPTY: Line = ()


@dataclass(frozen=True)
class Row:
    """A line of a list; `key` names what it stands for, None is a remark that cannot be selected."""

    line: Line
    key: str | None = None


def line(*parts: str | Span) -> Line:
    """A line of plain strings and (text, style) spans; every text is cleaned of control characters."""
    return tuple((clean(p), "") if isinstance(p, str) else (clean(p[0]), p[1]) for p in parts)


def lines(texts: Iterable[str], style: str = "") -> list[Line]:
    return [line((text, style)) for text in texts]


def rule(title: str, width: int, right: str = "") -> Line:
    """A heading across the pane: "--- Title ------------- right --"."""
    left = f"─── {title} " if title else ""
    tail = f" {right} ──" if right else ""
    return line(left + "─" * max(0, width - len(left) - len(tail)) + tail)


def bar(fraction: float, width: int) -> str:
    """A progress bar of `width` cells with its brackets; `fraction` is cut to 0..1."""
    inner = max(1, width - 2)
    full = int(inner * min(1.0, max(0.0, fraction)))
    return "[" + "█" * full + "░" * (inner - full) + "]"


def pair(label: str, value: str | Span, width: int = 10) -> Line:
    """A labelled line: " Label    value"."""
    return line((" " + fit(label, width), "title"), " ", value)


def columns(cells: Iterable[tuple[str, int]], style: str = "") -> Line:
    """Texts in columns of fixed width; width 0 takes what the text needs."""
    text = " ".join(fit(clean(t), w) if w else clean(t) for t, w in cells)
    return ((text, style),)


def beside(rows: Iterable[Line]) -> list[Line]:
    """Lines of a pane that stands right of another one, with a line between them."""
    found = list(rows)
    if found and found[0] and found[0][0][0].startswith("─"):
        found[0] = (("┬" + found[0][0][0][1:], found[0][0][1]), *found[0][1:])
        return [found[0], *((("│", ""), *row) for row in found[1:])]
    return [(("│", ""), *row) for row in found]
