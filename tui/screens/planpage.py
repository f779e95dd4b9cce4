"""Pages that show a plan of the engine's, or every reason against it, and start exactly what they show."""

from __future__ import annotations

from textual.app import ComposeResult

from appliance.errors import ApplianceError
from appliance.model.messages import Accepted, Planned
from appliance.model.plan import Request
from appliance.session import SaidNo
from tui.look import Line, line, rule
from tui.screens.question import Question
from tui.widgets.pane import Scroll
from tui.words import count, wrap


class PlanPage(Question):
    """Children ask for the plan (`planned`), draw it, and give the word that starts it."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request
        self.planned: Planned | None = None
        self.refused: ApplianceError | None = None
        self.would: tuple[str, ...] | None = None

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")
        yield from self.confirm_row()

    def ask_for_plan(self, words: str) -> None:
        """Forget what was planned, and ask; `words` stand in the notice meanwhile."""
        self.planned = self.refused = self.would = None
        self.ask(words, lambda s: s.plan(self.request), self.plan_made, self.plan_refused)

    def plan_made(self, planned: Planned) -> None:
        self.planned = planned

    def plan_refused(self, error: ApplianceError) -> None:
        self.refused = error
        self.hide_prompt()

    def confirmed_by(self) -> str:
        """What was typed, where it confirms the writes as well."""
        return ""

    def action_save(self) -> None:
        if self.planned is not None:
            self.desk.open_save_plan(self.request, self.planned.command_line)

    def action_dry(self) -> None:
        """To the commands that would be run, and back to the plan."""
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
            plan, typed = self.planned.plan, self.confirmed_by()
            self.ask("Starting ...", lambda s: s.start(plan), lambda _: self.desk.started(plan, typed))


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


def would_lines(would: tuple[str, ...], width: int) -> list[Line]:
    rows = [
        rule("What would be run; F6 or Ctrl+D goes back to the plan", width, count(len(would), "command"))
    ]
    return rows + [line(row) for text in would for row in wrap(text, width - 2, "     ", "   ")]
