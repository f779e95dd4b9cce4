"""Every screen looks as it did when somebody last looked at it.

`python -m tests.tui.golden renew` takes the pictures again; look at them (any browser) before committing.
"""

from __future__ import annotations

import re

import pytest

from tests.tui.golden.picture import svg
from tests.tui.golden.stage import FOLDER, SIZES, Story, in_basic, pictures, rows_at, staged
from tests.tui.golden.stories import STORIES
from tui.terminal import Mode

pytestmark = pytest.mark.skipif(not any(FOLDER.glob("*.svg")), reason="no pictures were taken yet")


def text_of(picture: str) -> list[str]:
    """The words of a picture, a line a row, for a difference one can read."""
    return [" ".join(re.findall(r">([^<]+)</text>", row)) for row in picture.splitlines()[1:-1]]


@pytest.mark.parametrize("told", STORIES, ids=lambda told: told.name)
async def test_screens_look_as_they_did(told: Story) -> None:
    wrong: list[str] = []
    for name, picture in (await pictures(told)).items():
        path = FOLDER / name
        before = path.read_text() if path.is_file() else ""
        if before == picture:
            continue
        wrong.append(f"{name}:")
        for old, new in zip(text_of(before) or [""], text_of(picture), strict=False):
            wrong += [f"  - {old}", f"  + {new}"] if old != new else []
    assert not wrong, "\n".join([*wrong[:60], "look at them, then: python -m tests.tui.golden renew"])


async def test_basic_pictures_show_what_basic_mode_shows() -> None:
    told = next(told for told in STORIES if told.name == "home")
    async with staged(told) as stage:
        rich = await rows_at(stage, SIZES[0])
        stage.desk.app.mode = Mode.BASIC
        shown = await rows_at(stage, SIZES[0])
        assert svg([in_basic(row) for row in rich], 80) == svg(shown, 80)


def test_there_are_enough_of_them_none_is_left_over_and_all_are_small() -> None:
    files = list(FOLDER.glob("*.svg"))
    stories = {f"{told.name}-{shot.name}" for told in STORIES for shot in told.shots}
    assert {path.name.partition(".")[0] for path in files} == stories
    assert len(files) == 4 * len(stories) >= 80
    assert all(path.stat().st_size < 30_000 for path in files)
    assert all(path.read_text().isascii() for path in files if path.name.endswith(".basic.svg"))
