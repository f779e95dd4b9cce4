"""Pre-flight of a rehearsal: every reason against it at once, or the plan and the word that starts it."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from textual.binding import BindingType

from appliance.model.messages import Planned
from appliance.model.plan import Plan
from appliance.session import SaidNo
from tui.look import Line, line, pair, rule
from tui.screens.page import key
from tui.screens.pick import PickOne
from tui.screens.planpage import PlanPage, refusal_lines, would_lines
from tui.words import about, room, size, wrap

PROMPT = "To start, type yes and press Enter:"


class Preflight(PlanPage):
    """Asks the engine for the plan when it opens; starts exactly the plan it shows."""

    NAME = "pre-flight"
    HELP = """\
The engine checked this machine and what you chose. If something stands in the
way, ALL reasons are listed: put them right and come back. Otherwise you see
each step, the names of what will be made, and the room it needs. Nothing that
exists is changed: the rehearsal works in a snapshot, which can be deleted.
F8 or Ctrl+O saves what you chose as a plan file, to run with nobody there.
Where this machine has no room, O rehearses with the copy elsewhere: the verdict
is full, nothing is written to the machine, and nothing can be promoted.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "enter", "start (when typed)"),
        key("ctrl+r,f5", "again", "check again"),
        key("ctrl+d,f6", "dry", "what would be run"),
        key("ctrl+o,f8", "save", "save plan"),
        key("o", "elsewhere", "rehearse only"),
        key("escape", "back", "back, do nothing"),
    ]

    def on_mount(self) -> None:
        self.hide_prompt()
        self.action_again()

    def action_again(self) -> None:
        self.ask_for_plan("Checking this machine against the plan ...")

    def plan_made(self, planned: Planned) -> None:
        super().plan_made(planned)
        self.show_prompt(PROMPT, "yes")

    def draw(self) -> None:
        pane, width = self.pane("main"), self.width
        if self.would is not None:
            pane.show(would_lines(self.would, width))
        elif self.planned is not None:
            pane.show(plan_lines(self.planned, width))
        elif self.refused is not None:
            pane.show(refusal_lines(self.refused, width))
        else:
            pane.show(
                [rule("Pre-flight", width), line(" The engine reads disks, volumes and the loader ...")]
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "elsewhere":
            return bool(self.elsewhere)
        return self.planned is not None if action in ("dry", "enter", "save") else True

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Where a copy could lie, in a refusal that comes of too little room alone."""
        return self.refused.elsewhere if isinstance(self.refused, SaidNo) else ()

    def action_elsewhere(self) -> None:
        title = "Rehearse only: where shall the copy lie?"
        self.desk.push_screen(PickOne(title, self.elsewhere, "", self._elsewhere, other=False))

    def _elsewhere(self, store: str | None) -> None:
        self.request = replace(self.request, rehearse_only=True, store=store or "", added=(), into="")
        self.action_again()


def plan_lines(planned: Planned, width: int) -> list[Line]:
    """The plan: warnings first, then steps, names, room and the command that does the same."""
    plan = planned.plan
    total = sum(step.weight for step in plan.steps)
    rows = [rule(f"Plan {plan.names.run}: nothing stands in the way", width, about(total))]
    for warning in plan.warnings:
        rows += [line((row, "warn")) for row in wrap(warning, width - 2, "     ", " [!] ")]
    for number, step in enumerate(plan.steps, 1):
        gate = "  (waits for you)" if step.gate else ""
        rows.append(line(f" {number:>3}  {step.title}{gate}"))
    rows += [rule("What will be made, and can be deleted again", width), *_name_lines(plan)]
    if plan.expected_bytes:
        first, *rest = wrap(room(plan), width - 14)
        rows += [pair("Room", first), *(pair("", more) for more in rest)]
    if planned.command_line:
        rows.append(rule("The same as a command", width))
        rows += [line(row) for row in wrap(planned.command_line, width - 2, "   ", " ")]
    return rows


def _name_lines(plan: Plan) -> list[Line]:
    names = plan.names
    if plan.request.rehearse_only:
        root = plan.system.root.place
        rows = [pair("Copy", f"of {root}, {size(plan.copy_bytes)} on {plan.pool}, thrown away after")]
        return [*rows, pair("Twin", f"VM {names.domain or names.run}")]
    rows = [pair("Snapshot", f"{names.vg}/{names.base} of {plan.system.root.place}")]
    rows.append(pair("Twin", f"{names.vg}/{names.work}, VM {names.domain or names.run}"))
    rows.append(pair("Sealed", f"{names.vg}/{names.sealed} when the tests are done"))
    rows += [
        pair("With it", f"{names.vg}/{ours} of {origin}, sealed in the same freeze")
        for origin, ours in names.set_base
    ]
    rows += [
        pair("Data copy", f"{names.vg}/{ours} of {origin}, thrown away after")
        for origin, ours in names.data_work
    ]
    return rows
