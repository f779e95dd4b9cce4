"""Promote, keep, roll back, retire: every write that will be made, then a typed confirmation."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from textual.binding import BindingType

from appliance.model.messages import Planned, RecordOf, Status
from appliance.model.plan import PlannedStep, Request, Verb, Write
from appliance.model.verdict import Outcome, Result, Verdict
from tui.goingback import MIGRATED, can_choose, choice_lines, loss_lines
from tui.look import Line, line, lines, pair, rule
from tui.reading import outcome_counts, truth_labels
from tui.screens.page import key
from tui.screens.planpage import PlanPage, refusal_lines, would_lines
from tui.widgets.typed import Typed
from tui.words import count, size, wrap

QUESTIONS = {
    Verb.PROMOTE: "Promote {run}: let this machine's next boot try it?",
    Verb.KEEP: "Keep {run}: make it the system this machine boots?",
    Verb.ROLLBACK: "Roll back from {run}: boot the old system again?",
    Verb.RETIRE: "Retire {run}: delete its volume for good?",
    Verb.UNDO: "Undo everything: delete all that Twinboot made on this machine?",
}
BUTTONS = {
    Verb.PROMOTE: "promote",
    Verb.KEEP: "keep",
    Verb.ROLLBACK: "roll back",
    Verb.RETIRE: "DELETE",
    Verb.UNDO: "UNDO",
}
MEANING = {
    Verb.ROLLBACK: "Nothing is deleted: the patched system stays and can be promoted again.",
    Verb.RETIRE: "What is deleted here does not come back. The system this machine boots is not touched.",
    Verb.UNDO: "This machine boots what it booted before Twinboot came, by its own loader and files. Nothing"
    " that was there before is deleted. To keep the verdicts, export them first (X).",
    Verb.KEEP: "The old system stays in the boot menu as Previous system until it is retired.",
}

SWITCH = "<- the switch"


class Act(PlanPage):
    """Asks for the plan when it opens, shows its writes, starts exactly that plan."""

    NAME = "confirm"
    HELP = """\
Every write to this machine is listed, in order, with what a power cut at that
point leaves. Nothing is written before the last characters of this machine's
identity are typed: they make sure you are on the machine you think you are.
F6 shows the commands themselves. F8 on the promotion page saves rehearsal and
promotion as a plan file. F9 on the roll back page changes what goes back: the
system only, or the system and its data. Esc goes back, nothing is done.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "enter", "do it (when typed)"),
        key("ctrl+d,f6", "dry", "commands"),
        key("ctrl+r,f5", "again", "check again"),
        key("f9,ctrl+g", "data", "data too"),
        key("ctrl+f,f7", "force", "promote anyway"),
        key("ctrl+o,f8", "save", "save plan"),
        key("escape", "back", "back, do nothing"),
    ]

    def __init__(self, verb: str, run: str, retire_on: str = "") -> None:
        self.verb = Verb(verb)
        super().__init__(Request(verb=self.verb, run=run, retire_on=retire_on))
        self.NAME = BUTTONS[self.verb].lower()
        self.verdict: Verdict | None = None

    def on_mount(self) -> None:
        self.hide_prompt()
        if self.verb is Verb.PROMOTE:
            self.ask(
                "Reading the verdict ...",
                lambda s: s.record(self.request.run),
                self._recorded,
                self.plan_refused,
            )
        else:
            self.action_again()

    def _recorded(self, record: RecordOf) -> None:
        self.verdict = record.verdict
        self.action_again()

    def action_again(self) -> None:
        self.ask_for_plan("Working out every write ...")

    def plan_made(self, planned: Planned) -> None:
        super().plan_made(planned)
        last, identity = self._secret()
        verb = BUTTONS[self.verb]
        self.show_prompt(f"To {verb}, type the last {len(last)} characters of {identity}:", last)

    def confirmed_by(self) -> str:
        return self._secret()[0]

    def _secret(self) -> tuple[str, str]:
        """What has to be typed, and of what it is the end."""
        identity = self.board.machine.identity if self.board.machine else ""
        return identity[-4:].strip(), identity

    def draw(self) -> None:
        pane, width = self.pane("main"), self.width
        title = QUESTIONS[self.verb].format(run=self.request.run)
        if self.would is not None:
            pane.show(would_lines(self.would, width))
        elif self.refused is not None:
            pane.show([*refusal_lines(self.refused, width), *self._force_lines(), *self._choice_lines()])
        elif self.planned is not None:
            pane.show([rule(title, width), *self._lines(self.planned)])
        else:
            pane.show([rule(title, width), line(" The engine reads the disks and works out every write ...")])

    def _force_lines(self) -> list[Line]:
        if not self._can_force():
            return []
        words = (
            "F7 or Ctrl+F plans the promotion all the same. The old system still boots if this one does not"
            " come up."
        )
        return lines(wrap(words, self.width - 2, " "), "warn")

    def _choice_lines(self) -> list[Line]:
        return choice_lines(self.request.with_data, self.width) if self._can_switch() else []

    def _lines(self, planned: Planned) -> list[Line]:
        width, plan, status = self.width, planned.plan, self.board.status
        rows: list[Line] = []
        for warning in plan.warnings:
            rows += [line((row, "warn")) for row in wrap(warning, width - 2, "     ", " [!] ")]
        if self.verdict is not None:
            rows += verdict_lines(self.verdict, plan.warnings, width)
        rows += [*self._choice_lines(), *loss_lines(plan, width)] if self.verb is Verb.ROLLBACK else []
        rows += write_lines(plan.steps, width)
        if self.verb is Verb.PROMOTE:
            target = plan.system.default_target or "its usual target"
            rows += meaning_lines(target, status, width)
        else:
            rows += [rule("What this means", width), *lines(wrap(MEANING[self.verb], width - 2, " "))]
        if self.verb is Verb.KEEP and self.request.retire_on:
            rows.append(pair("Retire", f"the old system is offered for deletion on {self.request.retire_on}"))
        if planned.command_line:
            rows += [
                rule("The same as a command", width),
                *lines(wrap(planned.command_line, width - 2, "   ", " ")),
            ]
        return rows

    def _can_force(self) -> bool:
        bad = self.verdict is not None and self.verdict.result is Result.FAIL
        return self.verb is Verb.PROMOTE and bad and self.refused is not None and not self.request.force_bad

    def _can_switch(self) -> bool:
        """Between system only and system with data; from a refused one always back to the other."""
        offered = self.planned is not None and can_choose(self.planned.plan)
        return self.verb is Verb.ROLLBACK and (offered or self.request.with_data)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "force":
                return self._can_force()
            case "data":
                return self._can_switch()
            case "dry" | "enter":
                return self.planned is not None
            case "save":
                return self.planned is not None and self.verb is Verb.PROMOTE
            case "again":
                return self.refused is not None
            case _:
                return True

    def action_force(self) -> None:
        if self._can_force():
            self.request = replace(self.request, force_bad=True)
            self.action_again()

    def action_data(self) -> None:
        """What was typed so far was typed below another plan."""
        if self._can_switch() and not self.asking:
            self.query_one(Typed).value = ""
            self.request = replace(self.request, with_data=not self.request.with_data)
            self.action_again()


def verdict_lines(verdict: Verdict, warned: tuple[str, ...], width: int) -> list[Line]:
    """What was tested, said again where it matters; what was not, and the data the patch wrote."""
    style = "good" if verdict.result is Result.PASS else "bad"
    rows = [line(" ", (fit_label("Verdict"), "title"), (verdict.headline, style))]
    rows.append(line(" ", (fit_label("Tested"), "title"), f"{outcome_counts(verdict)}"))
    rows.append(line(" ", (fit_label(""), "title"), truth_labels(verdict)))
    for check in verdict.checks:
        if check.outcome is Outcome.WORSE:
            rows += lines(wrap(f"WORSE: {check.name}. {check.why}", width - 2, "     ", " [!] "), "bad")
    for write in verdict.data_writes:
        if any(write.target in words for words in warned):
            continue
        words = f"The patch wrote {size(write.bytes)} to {write.target}. {MIGRATED}"
        rows += lines(wrap(words, width - 2, "     ", " [!] "), "warn")
    return rows


def fit_label(label: str) -> str:
    return f"{label:9} "


def write_lines(steps: tuple[PlannedStep, ...], width: int) -> list[Line]:
    """All writes numbered through; what a power cut leaves once for neighbours that leave the same."""
    writes = [(step, write) for step in steps for write in step.writes]
    rows = [rule(f"What will be written: {count(len(writes), 'write')}, in this order", width)]
    for number, (step, write) in enumerate(writes, 1):
        first = f" {number:>3}  "
        told = wrap(write.what, width - 2, "      ", first)
        if step.commit and write is step.writes[-1]:
            told = _marked(told, width - 2)
        rows += lines(told, "title" if step.commit else "")
        if number == len(writes) or _differs(write, writes[number][1]):
            rows += lines(wrap(write.if_cut, width - 2, "      | ", "      | power cut up to here: "))
    return rows if writes else [*rows, line(" Nothing is written to this machine's disks.")]


def _marked(told: list[str], width: int) -> list[str]:
    """The write that is the switch, with its mark whole: behind the last row, or below where it is full."""
    *before, last = told
    longer = f"{last}   {SWITCH}"
    return [*before, longer] if len(longer) <= width else [*told, f"      {SWITCH}"]


def _differs(write: Write, after: Write) -> bool:
    return write.if_cut != after.if_cut


def meaning_lines(target: str, status: Status | None, width: int) -> list[Line]:
    """What happens at the next boots, in the order it happens."""
    good = (
        f"it reaches {target}, no unit fails that did not fail before, the checks of the verdict hold and the"
        " network answers, all before its deadline."
    )
    rows = [rule("What happens then", width)]
    rows += lines(
        wrap(
            "Restart when you like: the next boot, and only that one, tries the patched system.",
            width - 2,
            " ",
        )
    )
    rows += lines(wrap("It starts well when " + good + " Then it is kept.", width - 2, " "))
    rows.append(rule("If it does not start well", width))
    told = status.standing.falls_back if status else ()
    for sentence in told or ("It restarts into the old system by itself.",):
        rows += lines(wrap(sentence, width - 2, "   ", " - "))
    if status and status.fallback:
        rows += lines(wrap("Fallback: " + status.fallback, width - 2, " "), "title")
    return rows
