"""The error panel: code, what happened, what is safe, what to do; stays until acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.errors import ApplianceError
from appliance.session import SaidNo
from tui.look import Line, line, rule
from tui.runboard import RunBoard
from tui.screens.page import Page, key
from tui.widgets.pane import Scroll
from tui.words import wrap

REPAIR = "twinboot repair"


class ErrorPanel(Page):
    """Shows one error, of a run that STOPPED or of a wish that was NOT DONE. Enter or Esc says: read."""

    NAME = "not done"
    HELP = """\
Every error says four things: its code, what happened, what is safe, and what
can be done, the suggested first. Quote the code when you ask for support.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter,o", "back", "I have read this"),
        key("escape", "back", "back", show=False),
        key("x", "repair", "repair a copy"),
        key("l", "log", "log"),
    ]

    def __init__(
        self,
        code: str,
        what: str,
        safe: str,
        actions: Sequence[str],
        reasons: Sequence[str] = (),
        where: str = "",
        head: str = "NOT DONE",
    ) -> None:
        super().__init__()
        self.head, self.NAME = head, head.lower()
        self.code, self.what, self.safe = code, what, safe
        self.actions, self.reasons, self.where = tuple(actions), tuple(reasons), where

    @classmethod
    def of_error(cls, error: ApplianceError) -> ErrorPanel:
        reasons = error.reasons if isinstance(error, SaidNo) else ()
        return cls(error.code, error.what, error.safe, error.next_actions, reasons)

    @classmethod
    def of_run(cls, run: RunBoard) -> ErrorPanel:
        failed = run.failed
        assert failed is not None
        step = run.current
        number = run.steps.index(step) + 1 if step in run.steps and step else 0
        where = f" at step {number} of {len(run.steps)}, {step.title}" if step and number else ""
        return cls(failed.code, failed.what, failed.safe, failed.next_actions, (), where, "STOPPED")

    def body(self) -> ComposeResult:
        yield Scroll(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one(Scroll).focus()

    def holds_keys(self) -> bool:
        return True

    def draw(self) -> None:
        self.pane("main").show(self._lines())

    def _lines(self) -> list[Line]:
        width = self.width
        rows = [
            rule("", width),
            line((f" [X] {self.head}{self.where}", "bad")),
            line(" ", ("Code ", "title"), self.code),
        ]
        rows += [
            line(""),
            *_part(
                "What happened", self.what if not self.reasons else "This cannot be done, because:", width
            ),
        ]
        for reason in self.reasons:
            rows += [line(row) for row in wrap(reason, width - 2, "     ", "   - ")]
        rows += [
            line(""),
            *_part("What is safe", self.safe, width),
            line(""),
            line((" Do one of these", "title")),
        ]
        for number, action in enumerate(self.actions, 1):
            mark = "   <- suggested" if number == 1 and len(self.actions) > 1 else ""
            rows += [line(row) for row in wrap(action + mark, width - 2, "      ", f"   {number}  ")]
        rows.append(line(""))
        rows += [line(row) for row in wrap(f"For support: quote the code {self.code}.", width - 2, " ", " ")]
        return rows

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Repair is offered where the error itself names it."""
        return action != "repair" or any(REPAIR in text for text in self.actions)

    def action_repair(self) -> None:
        self.desk.open_repair()

    def action_log(self) -> None:
        self.desk.open_log()


def _part(label: str, text: str, width: int) -> list[Line]:
    rows = wrap(text, width - 20)
    return [line((f" {label if not i else '':15} ", "title"), row) for i, row in enumerate(rows)]
