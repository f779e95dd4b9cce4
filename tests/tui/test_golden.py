"""Every screen looks as it did when somebody last looked at it; the other half is in test_golden_too.py.

`python -m tests.tui.golden renew` takes the pictures again; look at them (any browser) before committing.
"""

from __future__ import annotations

import pytest

from tests.tui.golden.check import differences
from tests.tui.golden.picture import svg
from tests.tui.golden.stage import FOLDER, SIZES, Story, in_basic, rows_at, staged
from tests.tui.golden.stories import STORIES
from tui.terminal import Mode


@pytest.mark.parametrize("told", STORIES[::2], ids=lambda told: told.name)
async def test_screens_look_as_they_did(told: Story) -> None:
    found = await differences(told)
    assert not found, "\n".join(found)


async def test_basic_pictures_show_what_basic_mode_shows() -> None:
    told = next(told for told in STORIES if told.name == "home")
    async with staged(told) as stage:
        rich = await rows_at(stage, SIZES[0])
        stage.desk.app.mode = Mode.BASIC
        shown = await rows_at(stage, SIZES[0])
        assert svg([in_basic(row) for row in rich], 80) == svg(shown, 80)


def test_there_are_enough_of_them_none_is_left_over_and_all_are_small() -> None:
    files = list(FOLDER.glob("*.svg"))
    names = [told.name for told in STORIES]
    assert len(names) == len(set(names))
    stories = {f"{told.name}-{shot.name}" for told in STORIES for shot in told.shots}
    assert {path.name.partition(".")[0] for path in files} == stories
    assert len(files) == 4 * len(stories) >= 80
    assert all(path.stat().st_size < 30_000 for path in files)
    assert all(path.read_text().isascii() for path in files if path.name.endswith(".basic.svg"))
