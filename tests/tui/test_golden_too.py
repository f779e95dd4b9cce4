"""The other half of the golden screens: a file of its own, so that two workers share them."""

from __future__ import annotations

import pytest

from tests.tui.golden.check import differences
from tests.tui.golden.stage import Story
from tests.tui.golden.stories import STORIES


@pytest.mark.parametrize("told", STORIES[1::2], ids=lambda told: told.name)
async def test_screens_look_as_they_did(told: Story) -> None:
    found = await differences(told)
    assert not found, "\n".join(found)
