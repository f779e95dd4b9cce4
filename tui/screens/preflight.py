"""Pre-flight of a rehearsal: every reason against it at once, or the plan and the word that starts it."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.errors import ApplianceError
from appliance.model.messages import Accepted, Planned
from appliance.model.plan import Plan, Request
from appliance.session import SaidNo
from tui.look import Line, line, pair, rule
from tui.screens.page import key
from tui.screens.pick import PickOne
from tui.screens.question import Question
from tui.widgets.pane import Scroll
from tui.words import about, count, room, size, wrap

PROMPT = "To start, type yes and press Enter:"


class Preflight(Question):
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

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.planned: Planned | None = None
        self.refused: ApplianceError | None = None
        self.would: tuple[str, ...] | None = None

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")
        yield from self.confirm_row()

    def on_mount(self) -> None:
        self.hide_prompt()
        self.action_again()

    def action_again(self) -> None:
        self.planned = self.refused = self.would = None
        self.ask(
            "Checking this machine against the plan ...",
            lambda s: s.plan(self.request),
            self._planned,
            self._no,
        )

    def _planned(self, planned: Planned) -> None:
        self.planned = planned
        self.show_prompt(PROMPT, "yes")

    def _no(self, error: ApplianceError) -> None:
        self.refused = error
        self.hide_prompt()

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
        self.request = replace(self.request, rehearse_only=True, store=store or "")
        self.action_again()

    def action_save(self) -> None:
        if self.planned is not None:
            self.desk.open_save_plan(self.request, self.planned.command_line)

    def action_dry(self) -> None:
        if self.would is not None:
            self.would = None
            self.redraw()
        elif self.planned is not None:
            plan = self.planned.plan
            self.ask("Asking what would be run ...", lambda s: s.start(plan, dry=True), self._would)

    def _would(self, answer: Accepted) -> None:
        self.would = answer.would
        self.redraw()

    def on_typed_right(self) -> None:
        if self.planned is not None:
            plan = self.planned.plan
            self.ask("Starting ...", lambda s: s.start(plan), lambda _: self.desk.started(plan))


def refusal_lines(error: ApplianceError, width: int) -> list[Line]:
    """All refusals at once, each a full sentence, and what is safe."""
    reasons = error.reasons if isinstance(error, SaidNo) and error.reasons else (error.what,)
    rows = [rule("This cannot be done yet", width), line("")]
    rows.append(line((f" {count(len(reasons), 'reason')}, code {error.code}:", "title")))
    for number, reason in enumerate(reasons, 1):
        rows += [line((row, "warn")) for row in wrap(reason, width - 2, "      ", f"   {number}  ")]
    if warnings := error.warnings if isinstance(error, SaidNo) else ():
        rows += [line(""), line((" To be read as well; it does not stand in the way:", "title"))]
        rows += [line(row) for text in warnings for row in wrap(text, width - 2, "     ", " [!] ")]
    rows += [line(""), *[line(row) for row in wrap(error.safe, width - 2, " ")], line("")]
    rows.append(line((" What you can do", "title")))
    for action in error.next_actions:
        rows += [line(row) for row in wrap(action, width - 2, "     ", "   - ")]
    return [*rows, line(""), line("   F5 or Ctrl+R checks again, Esc goes back.")]


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
    rows = [pair("Snapshot", f"{names.vg}/{names.base} of {plan.system.root.vg}/{plan.system.root.lv}")]
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


def would_lines(would: tuple[str, ...], width: int) -> list[Line]:
    rows = [
        rule("What would be run; F6 or Ctrl+D goes back to the plan", width, count(len(would), "command"))
    ]
    return rows + [line(row) for text in would for row in wrap(text, width - 2, "     ", "   ")]
