"""Hostile text made plain: what a guest, a disk or a stick says may hold anything."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor moves, reports
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, device strings, with their payload
    r"|\x1b[ -/]*[0-~]"
)
# C0 and C1 controls, and the invisible and direction-changing characters that make a line read as another.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def plain(text: str) -> str:
    """One line fit for any terminal and any page: no escape sequence, no control character, no tab.

    Of a line that rewrites itself with carriage returns, what it showed last is kept.
    """
    last = text.rstrip("\r\n").rsplit("\r", 1)[-1]
    return _CONTROL.sub("", _ESCAPE.sub("", last).replace("\t", "    ").replace("\n", " "))
