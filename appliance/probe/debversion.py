"""The order of Debian versions (deb-version(7)). Pure."""

from __future__ import annotations

import functools
import re
from itertools import zip_longest

Turn = tuple[tuple[int, ...], int]
END: Turn = ((0,), 0)
"""What stands after the last turn of a text, as often as wanted."""


def compare(one: str, other: str) -> int:
    """Below 0 where `one` is older, above 0 where it is newer, 0 where both are one. Takes any text."""
    for left, right in zip(_parts(one), _parts(other), strict=True):
        for mine, theirs in zip_longest(left, right, fillvalue=END):
            if mine != theirs:
                return -1 if mine < theirs else 1
    return 0


version_key = functools.cmp_to_key(compare)


def _parts(version: str) -> tuple[list[Turn], ...]:
    """Epoch, upstream version and revision, each in turns of what is no digit and of digits."""
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "", version
    upstream, dash, revision = rest.rpartition("-")
    return turns(epoch), turns(upstream if dash else rest), turns(revision if dash else "")


def turns(text: str) -> list[Turn]:
    """A text in turns of what is no digit and of digits, each in its order."""
    found = re.findall(r"([^0-9]*)([0-9]*)", text)
    return [((*map(_weight, letters), 0), int(digits[-18:] or 0)) for letters, digits in found]


def _weight(character: str) -> int:
    """A tilde comes before the end of the text, letters before all other characters."""
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 256
