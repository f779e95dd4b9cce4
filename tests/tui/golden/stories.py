"""All golden stories."""

from __future__ import annotations

from tests.tui.golden.stage import Story
from tests.tui.golden.stories_acts import ACTS
from tests.tui.golden.stories_errors import PANELS
from tests.tui.golden.stories_home import HOME
from tests.tui.golden.stories_more import MORE
from tests.tui.golden.stories_repair import REPAIR
from tests.tui.golden.stories_runs import RUNS
from tests.tui.golden.stories_services import SERVICES

STORIES: tuple[Story, ...] = (*HOME, *RUNS, *ACTS, *MORE, *SERVICES, *REPAIR, *PANELS)
