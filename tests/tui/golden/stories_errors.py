"""The error panel of each error class, with what is safe and the ways on that the class itself gives."""

from __future__ import annotations

from appliance.errors import ApplianceError
from tests.tui.golden.stage import Shot, Stage, Story
from tests.tui.player import ERRORS
from tui.screens.error import ErrorPanel


def panel(kind: type[ApplianceError]) -> Shot:
    """Acknowledge the last one, meet the next."""

    def first(stage: Stage) -> None:
        app = stage.desk.app
        if isinstance(app.screen, ErrorPanel):
            app.back()
        app.show_error(kind((kind.__doc__ or kind.__name__).splitlines()[0]))

    return Shot(kind.code.lower(), first=first, sees=(f"Code {kind.code}", "What is safe"))


PANELS = (Story("error", tuple(panel(kind) for _, kind in sorted(ERRORS.items()))),)
