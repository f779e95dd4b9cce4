"""Takes a story's pictures and compares them with those that somebody has looked at."""

from __future__ import annotations

import re

from tests.tui.golden.stage import FOLDER, Story, pictures


def text_of(picture: str) -> list[str]:
    """The words of a picture, a line a row, for a difference one can read."""
    return [" ".join(re.findall(r">([^<]+)</text>", row)) for row in picture.splitlines()[1:-1]]


async def differences(told: Story) -> list[str]:
    """Each picture that looks otherwise, with its rows; empty where all are the same."""
    wrong: list[str] = []
    for name, picture in (await pictures(told)).items():
        path = FOLDER / name
        before = path.read_text() if path.is_file() else ""
        if before == picture:
            continue
        wrong.append(f"{name}:")
        for old, new in zip(text_of(before) or [""], text_of(picture), strict=False):
            wrong += [f"  - {old}", f"  + {new}"] if old != new else []
    return [*wrong[:60], "look at them, then: python -m tests.tui.golden renew"] if wrong else []
