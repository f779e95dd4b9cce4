"""Save what was chosen as a plan file on the stick, for machines where nobody will be."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.plan import Request, Verb
from appliance.model.service_messages import PlanSaved, SavePlanFile
from tui.look import Line, line, lines, pair, rule
from tui.screens.page import Page, key
from tui.widgets.field import Field
from tui.widgets.pane import Pane
from tui.words import wrap


class SavePlanPage(Page):
    """A name is typed and Enter saves. The engine writes the file and puts this machine's number in it."""

    NAME = "save as plan"
    HELP = """\
A plan file rehearses what you chose with nobody there, on this machine only:
its serial number is put in. It lies in the folder plans of the stick and runs
once when the kernel command line names it. F7 or Ctrl+Y decides whether it
also promotes when the verdict is PASS and restarts into the trial; F8 or
Ctrl+K whether a healthy trial keeps itself or waits for a person.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter", "save", "save"),
        key("ctrl+y,f7", "promote", "promote or not"),
        key("ctrl+k,f8", "keep", "keep by itself or not"),
        key("escape", "back", "back"),
    ]

    def __init__(self, request: Request, command_line: str) -> None:
        super().__init__()
        self.request, self.command_line = request, command_line
        self.promote = request.verb is Verb.PROMOTE
        self.keep = True
        self.saved: PlanSaved | None = None

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        yield Field(id="name", placeholder="(a name, as june)")
        yield Pane(id="main", classes="rest")

    def on_mount(self) -> None:
        self.query_one("#name", Field).focus()

    def draw(self) -> None:
        width = self.width
        machine = self.board.machine
        rows = [rule("Save as a plan file", width), *self._command(width)]
        rows += [
            pair("Machine", f"only {machine.identity if machine else 'this one'}"),
            pair(
                "Promote",
                "yes, when the verdict is PASS; then restart" if self.promote else "no, only rehearse",
            ),
            pair(
                "Keep",
                "by itself when the trial is healthy" if self.keep else "no, a healthy trial waits for you",
            ),
            line(),
            line((" Name of the file, then Enter:", "title")),
        ]
        self.pane("top").show(rows)
        self.pane("main").show(self._outcome(width))

    def _command(self, width: int) -> list[Line]:
        what = "the rehearsal of this run again" if self.request.verb is Verb.PROMOTE else self.command_line
        first, *more = wrap(what, width - 14)
        return [pair("What", first), *(line(" " * 12 + row) for row in more)]

    def _outcome(self, width: int) -> list[Line]:
        if self.saved is None:
            return []
        saved = self.saved
        words = (
            "To run it with nobody there, put this line into twinboot/boot.cfg on the stick, or the argument"
            " on the kernel command line of a network boot:"
        )
        return [
            rule("Saved", width),
            pair("File", (saved.path, "good")),
            *lines(wrap(words, width - 2, " ")),
            line(),
            line(f'   set extra_args="{saved.argument}"'),
            line(),
            *lines(wrap(f"From an address: twinboot.plan=URL#sha256={saved.sha256}", width - 2, "   ", " ")),
        ]

    def action_promote(self) -> None:
        self.promote = not self.promote
        self.redraw()

    def action_keep(self) -> None:
        self.keep = not self.keep
        self.redraw()

    def action_save(self) -> None:
        self.query_one("#name", Field).focus()

    def on_input_submitted(self, event: Field.Submitted) -> None:
        name = event.value.strip()
        if not name:
            self.say("Type a name first.", "warn")
            return
        say = SavePlanFile(name=name, request=self.request, promote=self.promote, keep=self.keep)
        self.ask("Writing the plan file ...", lambda s: s.save_plan_file(say), self._saved)

    def _saved(self, answer: PlanSaved) -> None:
        self.saved = answer
        self.say("Saved.", "good")
