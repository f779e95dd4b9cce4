"""What pages share that choose an installed system for a twin: which one, and whether it may be emulated."""

from __future__ import annotations

from appliance.model.machine import InstalledSystem
from tui import describe
from tui.look import Line, line, pair, rule
from tui.screens.page import Page


class SystemPage(Page):
    """Children bind "s" to system and "e" to emulate; `PURPOSE` is their verb."""

    PURPOSE = ""

    def __init__(self) -> None:
        super().__init__()
        self.system = 0
        self.emulate = False

    @property
    def systems(self) -> tuple[InstalledSystem, ...]:
        return self.board.machine.systems if self.board.machine else ()

    @property
    def chosen_system(self) -> InstalledSystem:
        """Where there is one."""
        return self.systems[min(self.system, len(self.systems) - 1)]

    def which_lines(self) -> list[Line]:
        if not self.systems:
            return [rule("Which system", self.width), line(" ", (self.why_none(), "warn"))]
        number = f" ({self.system + 1} of {len(self.systems)}, S changes)" if len(self.systems) > 1 else ""
        said = describe.system_sentence(self.chosen_system)
        return [rule("Which system" + number, self.width), line(" " + said)]

    def why_none(self) -> str:
        if self.board.machine is None:
            return "The machine is still being read. This page fills in by itself."
        return f"There is no system to {self.PURPOSE}. M on the home page shows what was found."

    def emulate_lines(self) -> list[Line]:
        """The choice to emulate, where this machine leaves no other."""
        if not self.may_emulate:
            return []
        tick = "x" if self.emulate else " "
        return [pair("E", f"[{tick}] emulate the twin: this machine has no KVM, expect hours", 3)]

    @property
    def may_emulate(self) -> bool:
        return self.board.machine is not None and not self.board.machine.kvm

    def on_rows_moved(self) -> None:
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_go()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "system":
            return len(self.systems) > 1
        return self.may_emulate if action == "emulate" else True

    def action_system(self) -> None:
        self.system = (self.system + 1) % max(1, len(self.systems))
        self.redraw()

    def action_emulate(self) -> None:
        self.emulate = not self.emulate
        self.redraw()

    def action_go(self) -> None:
        """To the pre-flight of what was chosen."""
        raise NotImplementedError
