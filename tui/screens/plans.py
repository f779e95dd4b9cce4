"""The plan files on the stick: what each does, for which machine, and running one here and now."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from appliance.model.service_messages import PlanFile, PlanFiles
from tui.look import Line, columns, line, lines, pair, rule
from tui.screens.page import Page, key
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import count, wrap


class PlansPage(Page):
    """Enter goes on to the pre-flight of the selected plan: there it is checked, shown and asked."""

    NAME = "plan files"
    HELP = """\
Plan files lie in the folder plans of the stick. Enter takes the selected one
to its pre-flight: it is checked against this machine and starts only when you
say so. A plan for another machine cannot be run here. A new plan is saved
from the pre-flight of a rehearsal, or from the promotion page.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("enter,r", "run", "check and run"),
        key("f5,i", "again", "read the stick again"),
        key("escape", "back", "back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.found: PlanFiles | None = None

    def body(self) -> ComposeResult:
        yield Pane(id="top")
        yield Rows(id="files", classes="rest")
        yield Pane(id="about", classes="eight")

    def on_mount(self) -> None:
        self.query_one("#files", Rows).focus()
        self.action_again()

    def action_again(self) -> None:
        self.ask("Reading the stick ...", lambda s: s.plan_files(), self._read)

    def _read(self, found: PlanFiles) -> None:
        self.found = found
        self.redraw()

    @property
    def chosen(self) -> PlanFile | None:
        name = self.query_one("#files", Rows).selected
        files = self.found.files if self.found else ()
        return next((f for f in files if f.name == name), None)

    def draw(self) -> None:
        width, found = self.width, self.found
        right = count(len(found.files), "file") if found else ""
        self.pane("top").show([rule("Plan files on the stick", width, right), *_stick(found)])
        rows = [Row(_row(file), file.name) for file in found.files] if found else []
        self.query_one("#files", Rows).fill(rows or [Row(line(" no plan files"))])
        self.pane("about").show(_about(self.chosen, width))

    def on_rows_moved(self) -> None:
        self.redraw()

    def on_rows_chosen(self) -> None:
        self.action_run()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "run":
            return self.is_mounted and self.chosen is not None
        return True

    def action_run(self) -> None:
        file = self.chosen
        if file is None:
            return
        if file.request is None or file.why_not:
            self.say(file.why_not, "warn")
            return
        self.desk.open_preflight(file.request)


def _stick(found: PlanFiles | None) -> list[Line]:
    if found is None or found.stick:
        return []
    return [line((" [!] There is no stick: what is here is in memory and gone at power-off.", "warn"))]


def _row(file: PlanFile) -> Line:
    what = file.command_line or "does not read"
    cells = [(file.name, 22), (file.serial, 14), (what, 40)]
    return ((" ", ""), *columns(cells, "warn" if file.why_not else ""))


def _about(file: PlanFile | None, width: int) -> list[Line]:
    if file is None:
        return [rule("", width)]
    rows = [rule(f"Selected: {file.name}", width)]
    if file.why_not:
        rows += lines(wrap(file.why_not, width - 2, "     ", " [!] "), "warn")
    if file.request is not None:
        rows += lines(wrap(file.command_line, width - 2, " " * 12, " What       "))
        rows.append(pair("Promote", "unattended: yes, when the verdict is PASS" if file.promote else "no"))
        rows.append(
            pair("Keep", "a healthy trial keeps itself" if file.keep else "a healthy trial waits for you")
        )
    return rows
